"""The run file: written after every test, so that an interrupted session keeps what it measured.

What a test measured does not change after it, and is encoded once: writing stays cheap in a long session.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud import fixtures
from pytest_microcloud.session.items import ENTRY
from pytest_microcloud.session.state import SESSION, Phase

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.runs import Entry
    from pytest_microcloud.runs.plan import Plan
    from pytest_microcloud.session.write_errors import Unwritten


class Record:
    """The hooks that write it; `plan` says what the session sets out to do, its tests apart."""

    def __init__(self, config: pytest.Config, unwritten: Unwritten, plan: Plan) -> None:
        self._config = config
        self._session = config.stash[SESSION]
        self._unwritten = unwritten
        self._plan = plan
        self._skipped: set[str] = set()
        self._boards: dict[str, dict[str, Any]] = {}
        self._machine: tuple[dict[str, Any], dict[str, Any]] | None = None
        self._benchmarks: dict[int, list[str]] = {}
        self._outcomes: dict[int, str] = {}
        self._taken_over: tuple[list[str], list[str]] = [], []
        if before := self._session.resumed:
            self._boards |= before.boards
            self._taken_over = (
                list(map(json.dumps, before.benchmarks)),
                list(map(json.dumps, before.outcomes)),
            )

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Complete the plan by the tests."""
        from dataclasses import replace

        from pytest_microcloud.runs.unfinished import joined

        tests = tuple(item.nodeid for item in session.items if fixtures.uses(item, ("measure",)))
        self._plan = joined(replace(self._plan, tests=tests), self._session.resumed)

    def pytest_microcloud_board_ready(self) -> None:
        """Write what is to be done as soon as a board is up, so that an interrupted session can go on."""
        if self._plan.tests:
            self.write()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Write it after a test of a board; one that was skipped is not to be done any more."""
        result = yield
        if ENTRY in item.stash:
            self.write()
        elif item.nodeid in self._plan.tests:
            self._skipped.add(item.nodeid)
            if self._session.run_file.is_file():
                self.write()
        return result

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Say how a session that was cut off goes on."""
        done = {entry.test for entry in self._session.entries} | self._skipped
        left = sum(test not in done for test in self._plan.tests)
        if left and self._session.run_file.is_file():
            tests = f"{left} test{'s are' if left > 1 else ' is'}"
            terminalreporter.write_line(
                f"{tests} still to be done: the same command with --microcloud-resume goes on from here"
            )

    def write(self) -> None:
        """Write all that is known by now."""
        from pytest_microcloud import runs

        with self._unwritten.noted(f"run file {self._session.run_file}"):
            runs.write_text(self._session.run_file, self._document())

    def _document(self) -> str:
        """Return the run file's JSON, as pytest-benchmark writes it, with what is ours in it."""
        session = self._session
        measured = [b for b in self._config._benchmarksession.benchmarks if not b.has_error]  # type: ignore[attr-defined]
        for benchmark in measured:
            if id(benchmark) not in self._benchmarks:
                told = self._as_json([benchmark])["benchmarks"]
                self._benchmarks[id(benchmark)] = list(map(self._encoded, told))
        stored = {benchmark.fullname for benchmark in measured}
        taken_over = {entry.test for entry in session.resumed.entries} if session.resumed else set()
        own = [e for e in (*session.entries, *session.confirmations) if e.test not in taken_over]
        benchmarks = [part for benchmark in measured for part in self._benchmarks[id(benchmark)]]
        outcomes = [self._outcome(entry, measured=entry.test not in stored) for entry in own]
        document = self._as_json([])
        ours = {
            "effort": self._encoded(session.effort.id),
            "boards": self._encoded(self._fingerprints()),
            "plan": self._encoded(self._planned()),
            "experiments": self._encoded(self._described()),
            **({"gate": self._encoded(session.comparison.as_dict())} if session.comparison else {}),
            "outcomes": _array([*self._taken_over[1], *outcomes]),
        }
        machine = {key: self._encoded(value) for key, value in document["machine_info"].items()}
        parts = {key: self._encoded(value) for key, value in document.items()}
        parts["machine_info"] = _object(machine | {"microcloud": _object(ours)})
        parts["benchmarks"] = _array([*self._taken_over[0], *benchmarks])
        return _object(parts)

    def _as_json(self, benchmarks: list[Any]) -> dict[str, Any]:
        hook = self._config.hook
        if self._machine is None:
            commit_info = hook.pytest_benchmark_generate_commit_info(config=self._config)
            self._machine = hook.pytest_benchmark_generate_machine_info(config=self._config), commit_info
        machine_info, commit_info = self._machine
        document: dict[str, Any] = hook.pytest_benchmark_generate_json(
            config=self._config,
            benchmarks=benchmarks,
            include_data=True,
            machine_info=machine_info,
            commit_info=commit_info,
        )
        return document

    def _planned(self) -> dict[str, Any]:
        from pytest_microcloud.runs.unfinished import joined

        return joined(self._plan, None, self._skipped).as_dict()

    def _described(self) -> dict[str, dict[str, Any]]:
        """Return what readers need of the experiments, who may not have the registry of this session."""
        session = self._session
        used = dict.fromkeys(entry.experiment for entry in (*session.entries, *session.confirmations))
        return {
            name: session.registry.experiments[name].as_dict()
            for name in used
            if name in session.registry.experiments
        }

    def _fingerprints(self) -> dict[str, dict[str, Any]]:
        """Return the boards as they were measured, and not as the gate has made them since."""
        session = self._session
        for name, board in session.boards.items():
            if not session.phases.get(name, Phase()).stage:
                self._boards[name] = fingerprint(board)
        return self._boards

    def _outcome(self, entry: Entry, *, measured: bool) -> str:
        if id(entry) not in self._outcomes:
            self._outcomes[id(entry)] = self._encoded(entry.as_dict(measured=measured))
        return self._outcomes[id(entry)]

    def _encoded(self, value: Any) -> str:
        from pytest_microcloud.redaction import in_all

        return json.dumps(in_all(value, self._session.redactor.without_secrets), default=str)


def fingerprint(board: Board) -> dict[str, Any]:
    """Return what the run file says of a board."""
    return {
        "model": board.model.id,
        "driver": board.driver.name,
        "emulated": board.driver.labelled,
        "not_emulated": list(board.gaps),
        "not_watched": list(board.unwatched),
        "others_containers": list(board.others),
        "made_of": board.driver.made_of(),
        "emulated_by": board.driver.emulated_by(),
        **board.facts.as_dict(),
    }


def _object(parts: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in parts.items()) + "}"


def _array(parts: Iterable[str]) -> str:
    return "[" + ", ".join(parts) + "]"
