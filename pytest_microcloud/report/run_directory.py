"""Reads a directory of run files for the pages over all runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pytest_microcloud import runs
from pytest_microcloud.redaction import SHORTEST
from pytest_microcloud.report.described import Described
from pytest_microcloud.runs import Run, Skipped
from pytest_microcloud.verdict.histories import Histories
from pytest_microcloud.verdict.results import Newest, Results


@dataclass
class Stored:
    """What the pages need from a directory of run files.

    `first` and `last` are the dates and times of the oldest and the newest run. `absent` has the boards that
    did not come up in their newest run, each with this run.
    """

    results: Results = field(default_factory=Results)
    histories: Histories = field(default_factory=Histories)
    absent: dict[str, Newest] = field(default_factory=dict)
    described: Described = field(default_factory=Described)
    skipped: list[Skipped] = field(default_factory=list)
    private: set[str] = field(default_factory=set)
    count: int = 0
    first: str = ""
    last: str = ""

    def add(self, run: Run) -> None:
        """Add a run. Add runs from the oldest to the newest."""
        self.results.add(run)
        self.histories.add(run)
        self.described.add(run)
        for entry in run.entries:
            if entry.board in run.boards:
                self.absent.pop(entry.board, None)
            elif entry.board:
                self._absent_in(run, entry.board).entries.append(entry)
        self.count += 1
        self.first, self.last = min(self.first or run.taken, run.taken), max(self.last, run.taken)
        for facts in run.boards.values():
            self.private |= {text for text in facts.identifiers if len(text) >= SHORTEST}

    def _absent_in(self, run: Run, board: str) -> Newest:
        if board not in self.absent or self.absent[board].run != run.id:
            self.absent[board] = Newest(run.id, run.taken, {}, [])
        return self.absent[board]

    @property
    def days(self) -> str:
        """The dates of the first and the last run, such as "2024-01-02 to 2024-03-04"."""
        return " to ".join(dict.fromkeys((self.first[:10], self.last[:10])))


def read(directory: Path) -> Stored:
    """Read all runs of a directory; only one run is in memory at a time."""
    stored = Stored()
    for run in runs.every(directory):
        if isinstance(run, Skipped):
            stored.skipped.append(run)
        else:
            stored.add(run)
    return stored
