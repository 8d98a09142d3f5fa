"""Collects the records on pytest's test reports, from which run file, page and terminal output are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_microcloud.runs import Entry, Run
    from pytest_microcloud.runs.controls import Control
    from pytest_microcloud.runs.fingerprint import Fingerprint
    from pytest_microcloud.runs.unfinished import Unfinished


ATTRIBUTE = "microcloud"
"""The name of the attribute that holds a test's record on its report (`report_record.py`)."""


def record_of(report: pytest.TestReport) -> dict[str, Any] | None:
    """Return the record on a test's report; None if the report has no record."""
    record: dict[str, Any] | None = getattr(report, ATTRIBUTE, None)
    return record


def record(
    board: str | None,
    outcome: dict[str, Any] | None,
    *,
    stage: str = "",
    fingerprint: dict[str, Any] | None = None,
    control: Sequence[dict[str, Any]] = (),
    benchmarks: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Build a test's record, a dict whose keys `report_record.py` describes."""
    return {
        "board": board,
        "stage": stage,
        "fingerprint": fingerprint,
        "control": list(control),
        "outcome": outcome,
        "benchmarks": list(benchmarks),
    }


class Collected:
    """Collects from reports: each test's newest record, and the boards' fingerprints and controls.

    If an interrupted run (`before`) is resumed, its finished tests come first. `drift` is a dict from each
    board that drifted to sentences about its drift; the dict is empty until drift has been judged.
    """

    def __init__(self, before: Unfinished | None = None) -> None:
        self._before = before
        self._records: dict[str, Mapping[str, Any]] = {}
        self._entries: dict[str, Entry] = {}
        self._fingerprints: dict[str, Mapping[str, Any]] = dict(before.boards) if before else {}
        self._readings: dict[str, list[Mapping[str, Any]]] = {
            name: list(control["readings"]) for name, control in (before.controls if before else {}).items()
        }
        self.drift: dict[str, tuple[str, ...]] = {}
        self._boards: dict[str, None] = {}
        self._places: dict[str, int] = {}

    def arrange(self, boards: Iterable[str], tests: Iterable[str] = ()) -> None:
        """Set the order of boards and tests in the results; the default is the order of the reports."""
        self._places = {name: place for place, name in enumerate((*boards, *tests))}

    @property
    def boards(self) -> list[str]:
        """The names of the boards that were up in this session."""
        return self._in_order(self._boards)

    @property
    def fingerprints(self) -> dict[str, Mapping[str, Any]]:
        """A dict from each board of the run to its fingerprint."""
        return {name: self._fingerprints[name] for name in self._in_order(self._fingerprints)}

    @property
    def controls(self) -> dict[str, dict[str, Any]]:
        """A dict from board to its control readings and drift, as the run file stores them."""
        return {
            name: {"readings": self._readings[name], "drift": list(self.drift.get(name, ()))}
            for name in self._in_order(self._readings)
        }

    def control(self, board: str) -> Control:
        """Return the readings and the drift of a board's control, which must have been read."""
        import msgspec

        from pytest_microcloud.runs.controls import Control

        return msgspec.convert(self.controls[board], Control)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the record on the report. Runs first, because other hooks read the records."""
        if (brought := record_of(report)) is not None:
            self.add(report.nodeid, brought)

    def add(self, test: str, brought: Mapping[str, Any]) -> None:
        """Add the record of a test (a node id); it replaces an earlier record of the same test."""
        board = brought["board"]
        if brought["fingerprint"] is not None:
            self._boards[board] = None
            if not brought["stage"]:  # the gate's confirmation boots other images
                self._fingerprints[board] = brought["fingerprint"]
        if brought["control"]:
            self._readings.setdefault(board, []).extend(brought["control"])
        if brought["outcome"] is not None:
            self._records[test] = brought
            self._entries.pop(test, None)

    def record(self, test: str) -> Mapping[str, Any] | None:
        """Return the record of a test, or None if the test has no outcome."""
        return self._records.get(test)

    @property
    def records(self) -> Mapping[str, Mapping[str, Any]]:
        """The records of this session's tests that have an outcome, by node id."""
        return {test: self._records[test] for test in self._in_order(self._records)}

    @property
    def entries(self) -> list[Entry]:
        """The outcomes of all tests of the run, except those of the gate's confirmation."""
        return [entry for entry in self._all_entries() if not entry.stage]

    @property
    def experiments(self) -> list[str]:
        """The experiments of all tests of the run, including tests that an interrupted run finished."""
        taken_over = self._before.entries if self._before else ()
        return list(dict.fromkeys(entry.experiment for entry in (*taken_over, *self._typed())))

    def fingerprint(self, board: str) -> Fingerprint:
        """Return the fingerprint of a board that was up in this session or in the interrupted run."""
        from pytest_microcloud.runs.fingerprint import Fingerprint

        return Fingerprint.of(self._fingerprints[board])

    def run(self, file: Path, effort: str) -> Run:
        """Return the run so far as a `Run` without its plan. `file` is the run file."""
        from pytest_microcloud import runs
        from pytest_microcloud.runs.plan import Plan

        boards = {name: self.fingerprint(name) for name in self.fingerprints}
        controls = {name: self.control(name) for name in self.controls}
        return runs.Run(
            file, file.stem, effort, boards, tuple(self._all_entries()), Plan(), controls=controls
        )

    def _in_order(self, names: Iterable[str]) -> list[str]:
        last = len(self._places)
        return sorted(names, key=lambda name: self._places.get(name, last))

    def _all_entries(self) -> list[Entry]:
        return [*(self._before.entries if self._before else ()), *self._typed()]

    def _typed(self) -> list[Entry]:
        from dataclasses import replace

        from pytest_microcloud.runs import Entry

        records = self.records
        for test, brought in records.items():
            if test not in self._entries:
                # Redaction may have changed the node id in the record; the report's node id is exact.
                self._entries[test] = replace(Entry.of(brought["outcome"]), test=test)
        return [self._entries[test] for test in records]
