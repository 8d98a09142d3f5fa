"""Collects the latest runs of each board, and groups the boards into fleets.

The boards of a fleet can be compared with each other: they have the same model, OS release, driver and
emulation. Their SD cards may differ. The runs of one board are compared as in the gate, so a new SD card
starts a new history.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from pytest_microcloud.runs import Run
from pytest_microcloud.runs.fingerprint import Fingerprint
from pytest_microcloud.verdict.results import Point, Subject, boot_values, per_boot, subject_of

LATEST = 10
"""Maximum number of runs in a board's history; older runs are dropped."""

Key = tuple[str, Point]
"""The key of a reading: metric and labels."""


@dataclass(frozen=True)
class Reading:
    """The value of a board's metric in one run: the median of the boots' values, in SI units."""

    value: float
    unit: str
    better: str
    taken: str


@dataclass(frozen=True)
class BoardRun:
    """What one run measured on a board; `taken` is an ISO date and time in UTC."""

    run: str
    taken: str
    facts: Fingerprint
    readings: dict[Key, Reading]


@dataclass(frozen=True)
class Board:
    """A board with its latest runs, oldest first; all of these runs can be compared with the newest run."""

    name: str
    runs: tuple[BoardRun, ...]

    @property
    def facts(self) -> Fingerprint:
        """The board's fingerprint in the newest run."""
        return self.runs[-1].facts

    @property
    def subject(self) -> Subject:
        """The board's model and OS release."""
        return subject_of(self.facts)

    @property
    def newest(self) -> dict[Key, Reading]:
        """The newest reading of each metric and labels; the readings may come from different runs."""
        found: dict[Key, Reading] = {}
        for run in self.runs:
            found |= run.readings
        return found


@dataclass
class Histories:
    """The latest runs of all boards, by name."""

    _boards: dict[str, deque[BoardRun]] = field(default_factory=dict)

    def add(self, run: Run) -> None:
        """Add a run, without invalid measurements. Add runs from the oldest to the newest."""
        measured = per_boot(run)
        readings: dict[str, dict[Key, Reading]] = {name: {} for name in run.boards}
        for (board, metric, labels), boots in measured.items():
            if board in readings:
                last = boots[max(boots)][-1]
                value = statistics.median(boot_values(measured, (board, metric, labels)))
                readings[board][metric, labels] = Reading(value, last.unit, last.better, run.taken)
        for board, there in readings.items():
            if there:
                kept = self._boards.setdefault(board, deque(maxlen=LATEST))
                kept.append(BoardRun(run.id, run.taken, run.boards[board], there))

    @property
    def names(self) -> list[str]:
        """The names of all boards that have been measured."""
        return sorted(self._boards)

    @property
    def boards(self) -> list[Board]:
        """All boards that have been measured, sorted by name."""
        return [Board(name, tuple(_comparable(runs))) for name, runs in sorted(self._boards.items())]

    def fleets(self) -> list[tuple[Board, ...]]:
        """Return each fleet as a tuple of boards, sorted by model; a model's largest fleet comes first."""
        fleets: list[list[Board]] = []
        for board in self.boards:
            fleet = next((fleet for fleet in fleets if _same_kind(fleet[0], board)), None)
            if fleet is None:
                fleets.append([board])
            else:
                fleet.append(board)
        ordered = sorted(fleets, key=lambda fleet: (fleet[0].subject.model, -len(fleet), fleet[0].subject))
        return [tuple(fleet) for fleet in ordered]


def _comparable(runs: deque[BoardRun]) -> Iterator[BoardRun]:
    """Yield the runs that can be compared with the newest run."""
    newest = max(runs, key=lambda run: run.taken)
    for run in sorted(runs, key=lambda run: run.taken):
        same_system = subject_of(run.facts) == subject_of(newest.facts)
        if same_system and not any(run.facts.differences(newest.facts)):
            yield run


def _same_kind(one: Board, other: Board) -> bool:
    return one.subject == other.subject and not any(one.facts.differences(other.facts, cards=False))
