"""The verdict of each board on each experiment, with the headline figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_microcloud.catalog import Description
from pytest_microcloud.measurement import Measurement, shown
from pytest_microcloud.runs import Entry, Run, worst


@dataclass(frozen=True)
class Cell:
    """A board's verdict on an experiment, the headline figure, and the reasons if it is not feasible.

    `judged` is False if "feasible" only means that no limit was set. `since` is the date of the
    verdict's run, or empty if that is the newest run. `remark` has `judged` and `since` in words.
    """

    verdict: str
    headline: str
    reasons: tuple[str, ...]
    judged: bool = True
    since: str = ""

    @property
    def remark(self) -> str:
        """The remark beside the verdict; empty if there is none."""
        parts = ("" if self.judged else "no limit judged", f"of {self.since}" if self.since else "")
        return "; ".join(filter(None, parts))


@dataclass(frozen=True)
class LastRun:
    """A board's newest run (an id), the run's ISO date and time in UTC, and the board's worst verdict."""

    run: str
    taken: str
    verdict: str


def last_runs(runs: Iterable[Run]) -> dict[str, LastRun]:
    """Return a dict from board to the newest run that has verdicts on the board."""
    found: dict[str, LastRun] = {}
    for run in runs:
        verdicts: dict[str, list[str]] = {}
        for entry in run.entries:
            if not entry.stage:
                verdicts.setdefault(entry.board, []).append(entry.verdict)
        for board, there in verdicts.items():
            if board not in found or run.taken >= found[board].taken:
                found[board] = LastRun(run.id, run.taken, worst(there))
    return found


def matrix(entries: Iterable[Entry], experiments: Mapping[str, Description]) -> dict[str, dict[str, Cell]]:
    """Return the cells by board and then by experiment.

    The result has all boards that occur in `entries`. Each board has a cell for every experiment.
    """
    entries = list(entries)
    boards = dict.fromkeys(entry.board for entry in entries)
    names = dict.fromkeys((*experiments, *(entry.experiment for entry in entries)))
    return {
        board: {
            name: _cell(
                [e for e in entries if (e.board, e.experiment) == (board, name)], experiments.get(name)
            )
            for name in names
        }
        for board in boards
    }


def _cell(entries: list[Entry], experiment: Description | None) -> Cell:
    verdict = worst(entry.verdict for entry in entries)
    reasons = dict.fromkeys(entry.reason for entry in entries if entry.verdict != "feasible" and entry.reason)
    judged = verdict != "feasible" or any(m.limit for entry in entries for m in entry.measurements)
    return Cell(verdict, _headline(entries, experiment), tuple(reasons), judged)


def _headline(entries: list[Entry], experiment: Description | None) -> str:
    measured = [m for entry in entries for m in entry.measurements if m.samples and m.verdict != "invalid"]
    measured = [m for m in measured if m.verdict == "infeasible"] or measured  # failed metrics matter most
    if experiment is not None:
        at = {(key, str(value)) for key, value in experiment.headline_at.items()}
        for m in measured:
            labels = {(key, str(value)) for key, value in m.labels.items()}
            if m.metric == experiment.headline_metric and at <= labels:
                return f"{_named(m)} {shown(m.median, m.unit)}"
    return f"{_named(measured[0])} {shown(measured[0].median, measured[0].unit)}" if measured else "–"


def _named(m: Measurement) -> str:
    labels = " ".join(str(value) for value in m.labels.values())
    return f"{m.metric.partition('.')[2].replace('_', ' ')}{f' ({labels})' if labels else ''}"
