"""The targets that --hosts selects, with the registry and the catalog used to read them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud import options
from pytest_microcloud.errors import InventoryError, MicrocloudError, UserMistake
from pytest_microcloud.session.state import WithoutBoards

if TYPE_CHECKING:
    from pytest_microcloud.catalog import Catalog
    from pytest_microcloud.inventory.target import Target
    from pytest_microcloud.redaction import Redactor
    from pytest_microcloud.registry import Registry


@dataclass(frozen=True)
class Chosen:
    """The targets of a session, with the registry and the catalog used to read them.

    `left_out` are targets that --hosts selects, but that are not used because they are out of service.
    """

    registry: Registry
    catalog: Catalog
    targets: list[Target]
    left_out: tuple[Target, ...] = ()


CHOSEN: pytest.StashKey[Chosen] = pytest.StashKey()
PASSED_OVER: pytest.StashKey[list[str]] = pytest.StashKey()
"""The key, in the config stash, of sentences about the boards that --microcloud-any does not use."""


def chosen(config: pytest.Config) -> Chosen:
    """Return the targets that --hosts selects; the inventory is read once per session.

    Raises WithoutBoards if --hosts selects hosts for testinfra instead of boards. Raises UserMistake if
    options, inventory or catalog are wrong.
    """
    if (known := config.stash.get(CHOSEN, None)) is not None:
        return known
    from pytest_microcloud.catalog import load
    from pytest_microcloud.inventory import words
    from pytest_microcloud.session.registered import registered
    from pytest_microcloud.suggest import listed

    _leave_what_is_testinfras(config)
    _refuse_what_the_inventory_sets(config)
    registry = registered(config)
    catalog = load(config.getini("microcloud_catalog"), registry.experiments)
    named = words(config.option.hosts)
    found = _targets(config, catalog, registry)
    targets = [target for target in found if target.out_of_service is None or target.name in named]
    left_out = tuple(target for target in found if target not in targets)
    if not targets:
        raise UserMistake(
            f"--hosts={config.option.hosts}: {'; '.join(out_of_service(left_out))}. "
            "To use such a board anyway, give the board's name (not its group) to --hosts"
        )
    if (count := options.any_boards(config)) > len(targets):
        there = [target.name for target in targets]
        raise UserMistake(
            f"--microcloud-any={count}: --hosts={config.option.hosts} names {len(there)} boards "
            f"({'; '.join([listed(there), *out_of_service(left_out)])})"
        )
    config.stash[CHOSEN] = Chosen(registry, catalog, targets, left_out)
    return config.stash[CHOSEN]


def not_used(config: pytest.Config) -> list[str]:
    """Return lines for pytest's header about boards that --hosts selects but the session does not use."""
    there = config.stash.get(CHOSEN, None)  # CHOSEN is not set in a worker
    lines = out_of_service(there.left_out if there else ())
    return [*lines, *config.stash.get(PASSED_OVER, ())]


def out_of_service(left_out: Iterable[Target]) -> list[str]:
    """Return a sentence for each board that is out of service."""
    return [f"{target.name} is out of service ({target.out_of_service})" for target in left_out]


def redacted(config: pytest.Config, error: MicrocloudError) -> str:
    """Return an error's text without secrets: Ansible quotes inventory lines that it cannot parse."""
    from pytest_microcloud.redaction import without_keys, written_in

    file = options.path(config, "inventory")
    return without_keys(str(error), written_in(file.read_text(errors="replace")) if file.is_file() else ())


def redactor_of(config: pytest.Config, there: Chosen) -> Redactor:
    """Return the redactor of a session with these targets."""
    from pytest_microcloud import runs
    from pytest_microcloud.redaction import Redactor

    targets, experiments = there.targets, there.registry.experiments
    points = {word for experiment in experiments.values() for word in experiment.words}
    return Redactor.of(
        [os.environ, *(target.variables for target in targets)],
        boards={
            name
            for target in targets
            for name in (target.name, target.model, target.site or target.name, *target.groups)
        },
        addresses={target.address for target in targets},
        words={*there.catalog.words, *points, *there.registry.drivers, *runs.WORST_FIRST},
        identify=options.flag(config, "identify"),
    )


def _leave_what_is_testinfras(config: pytest.Config) -> None:
    hosts, file = config.option.hosts, options.path(config, "inventory")
    if not file.is_file() and config.option.microcloud_inventory is None:
        raise WithoutBoards(
            f"no inventory {file}: create this file, or give another one with --microcloud-inventory"
        )
    if "://" in hosts or any(config.getoption(own, None) for own in ("connection", "ansible_inventory")):
        raise WithoutBoards(
            f"--hosts={hosts} selects hosts for testinfra, not boards. To use boards, choose hosts or groups "
            f"of {file}, and run without --connection and --ansible-inventory"
        )


def _targets(config: pytest.Config, catalog: Catalog, registry: Registry) -> list[Target]:
    from pytest_microcloud import inventory
    from pytest_microcloud.boards import drivers

    file = options.path(config, "inventory")
    try:
        return inventory.read(
            file, config.option.hosts, catalog.models, registry.driver_rules, drivers.DEFAULT
        )
    except InventoryError as error:
        if _asks_for_boards(config) or inventory.holds_boards(file, config.option.hosts, catalog.models):
            raise
        raise WithoutBoards(str(error)) from None


def _asks_for_boards(config: pytest.Config) -> bool:
    ours = (
        *("inventory", "effort", "reports", "plan", "keep", "wait", "identify", "retry_invalid"),
        *("boots", "resume", "baseline", "command_timeout", "any"),
    )
    named = any(config.getoption(f"microcloud_{option}") for option in ours)
    return named or config.getini("microcloud_inventory") != options.INVENTORY


def _refuse_what_the_inventory_sets(config: pytest.Config) -> None:
    """Raise UserMistake for an option of testinfra that has no effect on boards from the inventory."""
    for option, remedy in {
        "--ssh-config": "set ansible_ssh_common_args='-F FILE' in the inventory",
        "--ssh-identity-file": "set ansible_ssh_private_key_file in the inventory",
        "--ssh-extra-args": "set ansible_ssh_extra_args in the inventory",
        "--force-ansible": "boards are reached over ssh only",
    }.items():
        if config.getoption(option, None):
            raise UserMistake(f"{option} cannot be honoured for boards from the inventory: {remedy}")
