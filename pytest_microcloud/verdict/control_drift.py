"""Judges whether boards drifted, by comparing their control readings with those of earlier sessions."""

from __future__ import annotations

import math
import statistics
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from itertools import islice

from pytest_microcloud.runs import Run, Skipped
from pytest_microcloud.runs.controls import Control, Reading
from pytest_microcloud.runs.fingerprint import Fingerprint

START, END, CHANGE = "start", "end", "change"
NORMAL = 1.4826
"""The ratio of standard deviation to median absolute deviation, for normally distributed values."""


@dataclass(frozen=True)
class Rule:
    """The rule by which a control counts as drifted; control_drift.toml describes the fields."""

    sessions_least: int
    sessions_most: int
    files_most: int
    spreads: float
    smallest: float


@dataclass
class History:
    """A board's control readings by session: logarithms of each load's times (s), and of their change."""

    sessions: int = 0
    _logs: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, session: Mapping[str, Reading]) -> None:
        """Add a session's readings, except those that are doubtful (`Reading.doubts`)."""
        logs = _logs({at: reading for at, reading in session.items() if not reading.doubts})
        self.sessions += bool(logs)
        for load, by_kind in logs.items():
            kept = self._logs.setdefault(load, {START: [], END: [], CHANGE: []})
            for kind, value in by_kind.items():
                kept[kind].append(value)

    @property
    def loads(self) -> list[str]:
        """The names of the control loads that have readings."""
        return list(self._logs)

    def values(self, load: str, kind: str) -> list[float]:
        """Return logarithms, one per session, of a load's time at "start" or "end", or of its "change"."""
        return self._logs.get(load, {}).get(kind, [])

    def spread(self, load: str) -> float:
        """Return the robust spread of the logarithms of a load's times: 0.01 is about 1 % of the time."""
        distances = [
            abs(value - statistics.median(values))
            for values in (self.values(load, START), self.values(load, END))
            for value in values
        ]
        return NORMAL * statistics.median(distances) if distances else 0.0


@cache
def rule() -> Rule:
    """Return the shipped rule."""
    text = resources.files(__package__).joinpath("control_drift.toml").read_text(encoding="utf-8")
    return Rule(**tomllib.loads(text))


def histories(boards: Mapping[str, Fingerprint], runs: Iterable[Run | Skipped]) -> dict[str, History]:
    """Return the history of each board, as a dict. `runs` must start with the newest run, and may be lazy."""
    limits, found = rule(), {name: History() for name in boards}
    for run in islice(runs, limits.files_most):
        if isinstance(run, Skipped):
            continue
        for name, history in found.items():
            facts, control = run.boards.get(name), run.controls.get(name)
            if control and facts and history.sessions < limits.sessions_most and same(facts, boards[name]):
                for session in control.sessions():
                    history.add(session)
        if all(history.sessions >= limits.sessions_most for history in found.values()):
            break
    return found


def same(before: Fingerprint, now: Fingerprint) -> bool:
    """Whether two fingerprints are of the same board in the same state, so that controls are comparable."""
    known = None not in (before.serial, now.serial)
    return (
        not any(before.differences(now))
        and (before.release, before.altered) == (now.release, now.altered)
        and not (known and before.serial != now.serial)
    )


def drifts(control: Control, history: History) -> tuple[str, ...]:
    """Return a sentence for each load whose control drifted in a run.

    A load with too few earlier sessions is not judged (`Rule.sessions_least`).
    """
    worst: dict[str, tuple[tuple[bool, float], str]] = {}
    for session in control.sessions():
        for load, by_kind in _logs(session).items():
            for kind, value in by_kind.items():
                share, sentence = _judged(load, kind, value, history)
                rank = kind == CHANGE, share  # a change during the session outranks a start or end time
                if share > 1 and (load not in worst or rank > worst[load][0]):
                    at = (START, END) if kind == CHANGE else (kind,)
                    worst[load] = rank, "; ".join([sentence, *_doubts(session, at)])
    return tuple(sentence for _, sentence in worst.values())


def _judged(load: str, kind: str, value: float, history: History) -> tuple[float, str]:
    """Return a value's distance from the usual, as a share of the allowed distance, and a sentence on it.

    Returns (0, "") if there are too few earlier sessions.
    """
    limits, usual = rule(), history.values(load, kind)
    if len(usual) < limits.sessions_least:
        return 0.0, ""
    spread = history.spread(load) * (math.sqrt(2) if kind == CHANGE else 1.0)
    middle = statistics.median(usual)
    off = value - middle
    allowed = max(limits.spreads * spread, math.log1p(limits.smallest))
    change = math.expm1(value if kind == CHANGE else off)
    basis = f"median of {len(usual)} sessions, spread {spread * 100:.2g} %"
    compared = {
        START: f"than usual ({basis})",
        END: f"than usual at the end ({basis})",
        CHANGE: f"at the end than at the start (usually {100 * math.expm1(middle):+.0f} %, {basis})",
    }[kind]
    slower = "slower" if change > 0 else "faster"
    return abs(off) / allowed, f"{load} control {abs(100 * change):.0f} % {slower} {compared}"


def _doubts(session: Mapping[str, Reading], at: Iterable[str]) -> Iterator[str]:
    for when in at:
        yield from (f"at the {when}, {doubt}" for doubt in session[when].doubts)


def _logs(session: Mapping[str, Reading]) -> dict[str, dict[str, float]]:
    """Return the logarithms of a session's readings, by load and then by kind (START, END, CHANGE)."""
    found: dict[str, dict[str, float]] = {}
    for at, reading in session.items():
        for load, time_s in reading.times_s.items():
            found.setdefault(load, {})[at] = math.log(time_s)
    for by_kind in found.values():
        if START in by_kind and END in by_kind:
            by_kind[CHANGE] = by_kind[END] - by_kind[START]
    return found


def too_few(histories: Mapping[str, History]) -> Iterator[str]:
    """Yield a sentence for each board with too few earlier sessions to be judged."""
    least = rule().sessions_least
    for name, history in histories.items():
        if history.sessions < least:
            yield f"{name}: drift is not judged: needs {least} earlier sessions, has {history.sessions}"
