"""Identifies a board's hardware by its revision code or device tree, and compares it with the inventory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from pytest_microcloud.catalog import revisions, shipped
from pytest_microcloud.errors import WrongBoard

if TYPE_CHECKING:
    from pytest_microcloud.catalog import BoardModel
    from pytest_microcloud.inventory.target import Target

T = TypeVar("T")
CODE = re.compile(r"[0-9a-f]{1,8}", re.IGNORECASE)
MEANING = 0xFFFFFF
"""The bits of a revision code that identify the board. Higher bits are flags (overvoltage, OTP, warranty)."""


@dataclass(frozen=True)
class Identity:
    """A board's hardware as the board reports it; unreported values are None. RAM is in bytes, as sold.

    `model` is the id of the board's model in the catalog, if the catalog has the model. `kind` is a Raspberry
    Pi's type, such as "3B", or the device tree entry of another board. `evidence` is the source of the
    identification.
    """

    kind: str
    name: str
    evidence: str
    model: str | None = None
    pcb: str | None = None
    ram_bytes: int | None = None
    soc: str | None = None
    manufacturer: str | None = None


def recognised(
    code: str | None, compatible: Sequence[str], tree_model: str | None, memory_bytes: int
) -> Identity | None:
    """Identify a board by its revision code, otherwise by its device tree; None if both are unknown.

    Without a code, `memory_bytes` distinguishes models that differ only in their RAM.
    """
    found = (by_code(code) if code else None) or _by_tree(compatible, tree_model)
    if found is None:
        return None
    least = found.ram_bytes or memory_bytes
    alike = sorted(_alike(found, shipped().models.values()), key=lambda model: model.ram_bytes or 0)
    large = [model for model in alike if (model.ram_bytes or 0) >= least] or alike[-1:]
    return replace(found, model=large[0].id) if large else found


def by_code(code: str) -> Identity | None:
    """Decode a Raspberry Pi's hexadecimal revision code; None if the code is unknown. `model` stays None."""
    if not CODE.fullmatch(code):
        return None
    known, bits, evidence = revisions(), int(code, 16) & MEANING, f"revision code {code}"
    if old := known.old.get(bits):
        name = next(kind.name for kind in known.types.values() if kind.type == old.type)
        soc = known.processors[0]
        return Identity(old.type, name, evidence, None, old.pcb, old.ram_bytes, soc, old.manufacturer)
    kind = known.types.get(bits >> 4 & 0xFF)
    if not bits >> 23 & 1 or kind is None:
        return None
    return Identity(
        kind.type,
        kind.name,
        evidence,
        pcb=f"1.{bits & 0xF}",
        ram_bytes=_field(known.memory_bytes, bits >> 20 & 0x7),
        soc=_field(known.processors, bits >> 12 & 0xF),
        manufacturer=_field(known.manufacturers, bits >> 16 & 0xF),
    )


def check(target: Target, model: BoardModel, board: Identity | None) -> None:
    """Raise WrongBoard if the board's recognised hardware is not of the inventory's model.

    A custom model that is `like` another model inherits that model's revision codes and accepts that model's
    hardware. Nothing is checked if `board` is None or the model states neither codes nor device tree entries.
    """
    if board is None or not _kinds(model):
        return
    if model in _alike(board, [*shipped().models.values(), model]):
        return
    what = f"{board.name}{f', {board.ram_bytes >> 20} MB' if board.ram_bytes else ''}"
    if board.model is None:
        remedy = "the catalog has no such model: describe it in a TOML file named by microcloud_catalog"
    elif "microcloud_model" in target.variables:
        remedy = f"set microcloud_model={board.model}"
    else:
        remedy = f"put it into the group [{board.model}]"
    raise WrongBoard(
        target.name,
        f"the inventory says {model.name} ({model.id}), but the board is a {what} "
        f"({board.model or board.kind}, by its {board.evidence}): {remedy}",
    )


def _by_tree(compatible: Sequence[str], tree_model: str | None) -> Identity | None:
    evidence = "device tree"
    pcb = re.search(r"\bRev (\d+(?:\.\d+)?)$", tree_model or "")
    soc = next((entry.partition(",")[2].upper() for entry in compatible if entry.startswith("brcm,")), None)
    for kind in revisions().types.values():
        if not set(kind.compatible).isdisjoint(compatible):
            return Identity(kind.type, kind.name, evidence, pcb=pcb[1] if pcb else None, soc=soc)
    for model in shipped().models.values():
        for entry in compatible:
            if entry in model.compatible:
                return Identity(entry, tree_model or model.name, evidence, soc=model.soc)
    return None


def _alike(board: Identity, models: Iterable[BoardModel]) -> list[BoardModel]:
    """Return those `models` that are of the board's kind and have its RAM, or else all of its kind."""
    of_kind = [model for model in models if board.kind in {kind for kind, _ in _kinds(model)}]
    exactly = [model for model in of_kind if (board.kind, board.ram_bytes) in _kinds(model)]
    return exactly or of_kind


def _kinds(model: BoardModel) -> set[tuple[str, int | None]]:
    """Return what boards of a model may report: pairs of `Identity.kind` and RAM (bytes; None if unknown)."""
    decoded = [found for code in model.revision_codes if (found := by_code(code))]
    kinds: set[tuple[str, int | None]] = {(found.kind, found.ram_bytes) for found in decoded}
    return kinds | {(entry, None) for entry in model.compatible}


def _field(names: Sequence[T], number: int) -> T | None:
    return names[number] if number < len(names) else None
