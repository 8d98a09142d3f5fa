"""Types for the control's readings in a run file. Files of earlier versions have no such readings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from pytest_microcloud.runs.fingerprint import LARGEST


@dataclass(frozen=True)
class Reading:
    """The times of the control's loads on a board, measured once in a session.

    `at` is "start" before the first test that measures, and "end" after the last one.
    `times_s` is a dict from each timed load to the time of one pass (s). `left_out` is a dict from each load
    that was not timed to the reason. `doubts` are the reasons why a measurement at that time would have been
    invalid.
    """

    at: Literal["start", "end"]
    times_s: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for load, time_s in self.times_s.items():
            if not 0 < time_s <= LARGEST:
                raise ValueError(f"the time of the {load} control is {time_s}, which is out of range")


@dataclass(frozen=True)
class Control:
    """All readings of the control on one board in a run, in order of time, and sentences about its drift.

    A run that was resumed has the readings of several sessions.
    """

    readings: tuple[Reading, ...] = ()
    drift: tuple[str, ...] = ()

    def sessions(self) -> Iterator[dict[str, Reading]]:
        """Yield the readings of each session, as a dict with "start" and, if not interrupted, "end"."""
        found: dict[str, Reading] = {}
        for reading in self.readings:
            if reading.at in found or (reading.at == "start" and found):
                yield found
                found = {}
            found[reading.at] = reading
        if found:
            yield found
