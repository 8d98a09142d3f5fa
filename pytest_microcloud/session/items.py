"""Functions that return a test's board, boot or experiment, or that store its outcome."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud.errors import UserMistake
from pytest_microcloud.session.state import SESSION, Phase

if TYPE_CHECKING:
    from testinfra.host import Host

    from pytest_microcloud.measurement import Measurement
    from pytest_microcloud.runs import Entry

ENTRY: pytest.StashKey[Entry] = pytest.StashKey()
PHASE = "microcloud_phase"
"""The name of the test parameter that holds the boot which a test needs (a `Phase`)."""


def board_name(host: Host) -> str:
    """Return the name in the inventory of the board that a testinfra host belongs to."""
    return str(host.backend.get_hostname())


def experiment_of(item: pytest.Item) -> str:
    """Return the name of a test's experiment, from its `experiment` mark or else its module's name."""
    return _mark(item)[0] or item.path.stem.removeprefix("test_")


def check_mark(item: pytest.Item) -> None:
    """Fail the collection of a test whose `experiment` mark has wrong arguments."""
    from pytest_microcloud.catalog import threshold

    try:
        for symptom in _mark(item)[1]:
            threshold(symptom)
    except (TypeError, UserMistake) as error:
        what = str(error).removeprefix(f"{_experiment.__name__}() ")
        why = f"{item.nodeid}: @pytest.mark.experiment(…): {what}"
        raise pytest.fail.Exception(why, pytrace=False) from None


def _mark(item: pytest.Item) -> tuple[str, tuple[str, ...]]:
    mark = item.get_closest_marker("experiment")
    return _experiment(*mark.args, **mark.kwargs) if mark else ("", ())


def _experiment(name: str = "", *, tolerates: str | Iterable[str] = ()) -> tuple[str, tuple[str, ...]]:
    """Return the arguments of an `experiment` mark; raises TypeError if they are wrong."""
    return str(name), (tolerates,) if isinstance(tolerates, str) else tuple(tolerates)


def note(item: pytest.Item, verdict: str, reason: str, measurements: list[Measurement] | None = None) -> None:
    """Store a test's outcome with the test; a later call replaces its verdict and reason."""
    from pytest_microcloud.runs import Entry

    entry = item.stash.get(ENTRY, None)
    if entry is None:
        entry = Entry(board_of(item) or "?", experiment_of(item), item.nodeid, verdict)
        entry.boot, entry.stage = boot_of(item), stage_of(item)
        item.stash[ENTRY] = entry
    entry.verdict, entry.reason = verdict, item.config.stash[SESSION].redactor.without_secrets(reason)
    if measurements is not None:
        entry.measurements = measurements


def tolerated(item: pytest.Item) -> tuple[str, ...]:
    """Return the symptoms that do not invalidate a test's measurements, from its mark and its experiment."""
    known = item.config.stash[SESSION].registry.experiments.get(experiment_of(item))
    return (*_mark(item)[1], *(known.tolerates if known else ()))


def host_of(item: pytest.Item) -> Host | None:
    """Return the testinfra host that a test runs against, or None."""
    host: Host | None = _parameters(item).get("_testinfra_host")
    return host


def board_of(item: pytest.Item) -> str | None:
    """Return the inventory name of the board that a test runs against, or None."""
    host = host_of(item)
    return None if host is None else board_name(host)


def phase_of(item: pytest.Item) -> Phase | None:
    """Return the boot that a test needs, or None if the test can run in any boot."""
    phase = _parameters(item).get(PHASE)
    return phase if isinstance(phase, Phase) else None


def boot_of(item: pytest.Item) -> int:
    """Return the number of the boot that a test runs in."""
    if phase := phase_of(item):
        return phase.boot
    board = item.config.stash[SESSION].boards.get(board_of(item) or "")
    return max(1, board.boot) if board is not None else 1


def stage_of(item: pytest.Item) -> str:
    """Return "baseline" or "candidate" for a test of the gate's confirmation; empty for any other test."""
    phase = phase_of(item)
    return phase.stage if phase else ""


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return getattr(getattr(item, "callspec", None), "params", {})
