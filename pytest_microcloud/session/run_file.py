"""The run file: written after every test, so that an interrupted session keeps what it measured.

A test's record is encoded once, when it arrives, so that writing stays cheap in a long session.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud import fixtures, options
from pytest_microcloud.session.collected import record_of
from pytest_microcloud.session.state import SESSION

if TYPE_CHECKING:
    from pathlib import Path

    from _pytest.terminal import TerminalReporter

    from pytest_microcloud.runs.plan import Plan
    from pytest_microcloud.runs.writer import Writer
    from pytest_microcloud.session.write_errors import WriteErrors


CRASHED = "???"
"""The value of `when` in the report that pytest-xdist creates if a worker crashes in a test."""


class RunFile:
    """The hooks that write the run file; `plan` is the session's plan, without its tests."""

    def __init__(self, config: pytest.Config, write_errors: WriteErrors, plan: Plan, writer: Writer) -> None:
        self._config = config
        self._session = config.stash[SESSION]
        self._write_errors = write_errors
        self._plan = plan
        self._writer = writer
        self._skipped: set[str] = set()
        self._known: set[str] = set()
        self._encoded: dict[str, tuple[list[str], str]] = {}
        self._machine: tuple[dict[str, Any], dict[str, Any]] | None = None
        self._taken_over: tuple[list[str], list[str]] = [], []
        if before := self._session.resumed:
            self._taken_over = (
                list(map(json.dumps, before.benchmarks)),
                list(map(json.dumps, before.outcomes)),
            )

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Add the collected tests to the plan."""
        self.complete_plan([item.nodeid for item in session.items if fixtures.uses(item, ("measure",))])

    def complete_plan(self, tests: Iterable[str]) -> None:
        """Add the tests that measure to the plan, and drop planned tests that the suite no longer has."""
        from dataclasses import replace

        from pytest_microcloud.runs.unfinished import joined

        plan = replace(self._plan, tests=tuple(tests))
        self._plan = joined(plan, self._session.resumed, self._session.gone)
        if self._session.gone and not options.nothing_runs(self._config):
            self.write()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write the run file after each test, and when a board comes up, so that the run can be resumed."""
        brought = record_of(report) or {}
        if report.when in ("teardown", CRASHED):
            if (known := self._session.collected.record(report.nodeid)) is not None:
                self._encode(report.nodeid, known)
                self.write()
            elif report.nodeid in self._plan.tests:
                self._skipped.add(report.nodeid)
                if self._session.run_file.is_file():
                    self.write()
        elif brought.get("fingerprint") and brought["board"] not in self._known:
            self._known.add(brought["board"])
            if self._plan.tests:
                self.write()

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Print how to resume an interrupted session."""
        done = {entry.test for entry in self._session.collected.entries} | self._skipped
        left = sum(test not in done for test in self._plan.tests)
        if left and self._session.run_file.is_file():
            tests = f"{left} planned test{'s have' if left > 1 else ' has'}"
            terminalreporter.write_line(
                f"{tests} not run yet: to resume, add --microcloud-resume to the same command"
            )

    def write(self) -> None:
        """Write the run so far to the run file."""
        with self._write_errors.noted(f"run file {self._session.run_file}"):
            self._writer.write(self._document())

    def pytest_unconfigure(self) -> None:
        """Unlock the run, so that another session can resume it."""
        self._writer.close()

    def mark(self, drift: Mapping[str, Sequence[str]]) -> None:
        """Mark the measurements of boards that drifted, with the reasons, and write the run file.

        Measurements of the gate's confirmation are not marked, because drift affects both of its
        alternating sides.
        """
        if before := self._session.resumed:
            self._taken_over = (
                [json.dumps(_marked_benchmark(each, drift)) for each in before.benchmarks],
                [json.dumps(_marked(each, drift)) for each in before.outcomes],
            )
        self._encoded = {}
        self.write()

    def write_copy(self, file: Path) -> None:
        """Write a copy of the run to `file`."""
        with self._write_errors.noted(str(file)):
            file.write_text(self._document(), encoding="utf-8")

    def _document(self) -> str:
        """Return the run file's text: pytest-benchmark's JSON with our data in it."""
        session, collected = self._session, self._session.collected
        taken_over = session.resumed.tests if session.resumed else frozenset()
        own = {test: known for test, known in collected.records.items() if test not in taken_over}
        for test, known in own.items():
            if test not in self._encoded:
                self._encode(test, known)
        ours = {
            "effort": json.dumps(session.effort.id),
            "boards": json.dumps(collected.fingerprints),
            **({"controls": json.dumps(collected.controls)} if collected.controls else {}),
            "plan": self._redacted(self._remaining().as_dict()),
            "experiments": self._redacted(self._described()),
            **({"gate": self._redacted(session.comparison.as_dict())} if session.comparison else {}),
            "outcomes": _array([*self._taken_over[1], *(self._encoded[test][1] for test in own)]),
        }
        document = self._of_pytest_benchmark()
        machine = {key: self._redacted(value) for key, value in document["machine_info"].items()}
        parts = {key: self._redacted(value) for key, value in document.items()}
        parts["machine_info"] = _object(machine | {"microcloud": _object(ours)})
        measured = [part for test in own for part in self._encoded[test][0]]
        parts["benchmarks"] = _array([*self._taken_over[0], *measured])
        return _object(parts)

    def _encode(self, test: str, brought: Mapping[str, Any]) -> None:
        """Encode a test's record as JSON. If there is a benchmark, only that contains the measurements."""
        outcome = _marked(brought["outcome"], self._session.collected.drift)
        if brought["benchmarks"]:
            del outcome["measurements"]
        benchmarks = [
            _marked_benchmark(each, self._session.collected.drift) for each in brought["benchmarks"]
        ]
        self._encoded[test] = list(map(json.dumps, benchmarks)), json.dumps(outcome)

    def _of_pytest_benchmark(self) -> dict[str, Any]:
        hook = self._config.hook
        if self._machine is None:
            commit_info = hook.pytest_benchmark_generate_commit_info(config=self._config)
            self._machine = hook.pytest_benchmark_generate_machine_info(config=self._config), commit_info
        machine_info, commit_info = self._machine
        document: dict[str, Any] = hook.pytest_benchmark_generate_json(
            config=self._config,
            benchmarks=[],
            include_data=True,
            machine_info=machine_info,
            commit_info=commit_info,
        )
        return document

    def _remaining(self) -> Plan:
        from pytest_microcloud.runs.unfinished import joined

        return joined(self._plan, None, self._skipped)

    def _described(self) -> dict[str, dict[str, Any]]:
        """Return a dict from experiment to its description, for readers that lack this session's registry."""
        known = self._session.registry.experiments
        return {name: known[name].as_dict() for name in self._session.collected.experiments if name in known}

    def _redacted(self, value: Any) -> str:
        from pytest_microcloud.redaction import in_all

        return json.dumps(in_all(value, self._session.redactor.without_secrets), default=str)


def _marked(ours: Mapping[str, Any], drift: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return an outcome, or our part of a benchmark, with the key "drift" added if its board drifted."""
    reasons = () if ours.get("stage") else drift.get(ours["board"], ())
    return {**ours, **({"drift": list(reasons)} if reasons else {})}


def _marked_benchmark(benchmark: Mapping[str, Any], drift: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    info = benchmark["extra_info"]
    if "microcloud" not in info:  # the user's own benchmark
        return dict(benchmark)
    return {**benchmark, "extra_info": {**info, "microcloud": _marked(info["microcloud"], drift)}}


def _object(parts: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in parts.items()) + "}"


def _array(parts: Iterable[str]) -> str:
    return "[" + ", ".join(parts) + "]"
