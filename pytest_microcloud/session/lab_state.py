"""`microcloud boards`: prints the state of the inventory's boards, using the project's drivers and settings.

Only pytest can read drivers and settings from ini files and conftest.py files. So pytest is started, but ends
before it collects tests.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud import options
from pytest_microcloud.errors import MicrocloudError, UserMistake
from pytest_microcloud.printable import printable

if TYPE_CHECKING:
    from pytest_microcloud.boards.lab import State
    from pytest_microcloud.session.chosen import Chosen
    from pytest_microcloud.verdict.matrix import LastRun

WIDTH = 100
GAP = "  "
LEAST_STATE = 30
"""Minimum width of the table's last column (characters). Other columns shrink to leave this width."""
SHRINKS = range(3)
"""The indexes of the columns that shrink if the table is too wide: board, model, OS release."""
HEAD = ("BOARD", "MODEL", "OS RELEASE", "TEMP", "THROTTLED", "LAST RUN", "STATE")


def show(pattern: str, inventory: Path | None, runs: Path, *, as_json: bool) -> int:
    """Print the state of the boards that a pattern selects; return the exit code. Raises MicrocloudError."""
    named = [f"--microcloud-inventory={inventory}"] if inventory is not None else []
    return int(pytest.main(named, plugins=[_LabState(pattern, runs, as_json)]))


@dataclass
class _LabState:
    """The hook that prints the state of boards instead of running tests."""

    pattern: str
    runs: Path
    as_json: bool

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_xdist_auto_num_workers(self) -> Generator[None, object, int]:
        """Return 1, so that `-n auto` and `--hosts` in the project's settings do not matter."""
        with suppress(pytest.UsageError):
            yield
        return 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        """Print the state of each board; return 1 if a board is unfit, otherwise 0."""
        from pytest_microcloud.boards import lab
        from pytest_microcloud.redaction import in_all
        from pytest_microcloud.session.chosen import redacted, redactor_of

        try:
            there = _there(config, self.pattern)
        except MicrocloudError as error:
            raise UserMistake(redacted(config, error)) from None
        states = lab.states(there.targets, there.catalog, there.registry.drivers)
        redactor, last = redactor_of(config, there), _last_runs(self.runs)
        redactor.learn(names={state.os_release for state in states if state.os_release})
        if self.as_json:
            plain = [state.as_dict() | {"last_run": _plain(last.get(state.board))} for state in states]
            text = json.dumps(in_all(plain, redactor.without_secrets), ensure_ascii=False, indent=2)
        else:
            text = redactor.without_secrets("\n".join(table(states, last)))
        sys.stdout.write(f"{text}\n")
        return int(any(state.problems for state in states))


def _there(config: pytest.Config, pattern: str) -> Chosen:
    from pytest_microcloud import inventory
    from pytest_microcloud.boards import drivers
    from pytest_microcloud.catalog import load
    from pytest_microcloud.session.chosen import Chosen
    from pytest_microcloud.session.registered import registered

    registry = registered(config)
    catalog = load(config.getini("microcloud_catalog"), registry.experiments)
    file, rules = options.path(config, "inventory"), registry.driver_rules
    return Chosen(registry, catalog, inventory.read(file, pattern, catalog.models, rules, drivers.DEFAULT))


def _last_runs(directory: Path) -> dict[str, LastRun]:
    from pytest_microcloud.runs import Run, every
    from pytest_microcloud.verdict.matrix import last_runs

    return last_runs(run for run in every(directory) if isinstance(run, Run))


def _plain(last: LastRun | None) -> dict[str, str] | None:
    return None if last is None else vars(last)


def table(states: Sequence[State], last: Mapping[str, LastRun]) -> Iterator[str]:
    """Yield the lines of the table, at most WIDTH characters long, and then the cut texts in full."""
    rows = [HEAD, *(_cells(state, last.get(state.board)) for state in states)]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    while (rest := WIDTH - sum(widths) - len(GAP) * len(widths)) < LEAST_STATE:
        widths[max(SHRINKS, key=lambda column: widths[column])] -= 1
    for row in rows:
        cells = [_cut(cell, width).ljust(width) for cell, width in zip(row, (*widths, rest), strict=True)]
        yield GAP.join(cells).rstrip()
    for state, row in zip(states, rows[1:], strict=True):
        if len(row[-1]) > rest:
            for text in _texts(state):
                yield from f"{state.board}: {text}".splitlines()


def _cells(state: State, last: LastRun | None) -> tuple[str, ...]:
    cells = (
        state.board,
        state.model,
        state.os_release or "–",
        "–" if state.temperature_c is None else f"{state.temperature_c:.0f} °C",
        {True: "yes", False: "no", None: "–"}[state.throttled],
        f"{last.taken[:10]} {last.verdict}" if last else "–",
        f"{'unfit: ' if state.problems else ''}{'; '.join(_texts(state))}",
    )
    return tuple(printable(" ".join(cell.split())) for cell in cells)


def _texts(state: State) -> list[str]:
    """Return texts about a board: its problems and who uses it, or that it is free or out of service."""
    if state.out_of_service is not None:
        return [f"out of service: {state.out_of_service}"]
    texts = list(state.problems)
    if holder := state.holder:
        texts.append(f"{'being cleaned up after' if holder.tidying else 'in use by'} {holder}")
    return texts or [state.what or "free"]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
