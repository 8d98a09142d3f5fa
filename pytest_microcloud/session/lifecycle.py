"""The session: boards come up with their first test, verdicts are told apart, and all is given up again."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud import fixtures, options
from pytest_microcloud.errors import BoardError, InvalidMeasurement, MicrocloudError, UserMistake
from pytest_microcloud.session import outcome
from pytest_microcloud.session.items import ENTRY, board_of, note
from pytest_microcloud.session.measuring import BoardClock, doubt
from pytest_microcloud.session.record import fingerprint
from pytest_microcloud.session.state import SESSION

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter


STILL_TIDYING = b"still cleaning up (Ctrl-C again leaves the rest to the boards and to the next run)\n"


class SessionWithBoards:
    """The hooks of a session that has boards; a session without any does not pay for them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._session = config.stash[SESSION]

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Let the benchmark of a test that measures run on board time."""
        if fixtures.uses(item, ("measure",)):
            own = item.get_closest_marker("benchmark")
            arguments = {**(own.kwargs if own else {}), "timer": BoardClock()}
            item.add_marker(pytest.mark.benchmark(**arguments), append=False)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """With --microcloud-plan, print the plan instead of running anything."""
        from pytest_microcloud.session import terminal

        if self._config.option.collectonly:
            return None
        reporter: TerminalReporter | None = self._config.pluginmanager.getplugin("terminalreporter")
        if options.flag(self._config, "plan"):
            from pytest_microcloud.session.plan import POWER_ON_S, steps

            if reporter is not None:
                rules, targets = self._session.registry.driver_rules, self._session.rack.targets
                real = {name for name, target in targets.items() if rules[target.driver].addressed}
                terminal.plan(reporter, steps(self._session, session.items), POWER_ON_S, real)
            return True
        return None

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Power a test's board on, so that plain testinfra tests find it up, too.

        Called after pytest's look at skip marks, which is `tryfirst`, and before fixtures are set up.
        """
        name = board_of(item)
        if name is None or self._config.getoption("setupplan", False):
            return
        ready = self._session.rack.board(name)
        if name not in self._session.boards:
            self._session.redactor.learn(names=ready.facts.names, identifiers=ready.facts.identifiers)
            from pytest_microcloud.boards import health
            from pytest_microcloud.redaction import in_all
            from pytest_microcloud.session.terminal import board_lines

            ready.unwatched, ready.others = health.unwatched(ready), health.others(ready)
            if self._session.resumed is not None:
                shown = in_all(
                    fingerprint(ready), self._session.redactor.without_secrets
                )  # as the run file has it
                self._session.resumed.must_be(name, shown)
            self._session.boards[name] = ready
            self._session.progress.keep(board_lines(ready))
            self._config.hook.pytest_microcloud_board_ready(board=ready, config=self._config)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Separate invalid measurements from failures, and broken boards and wrong calls from both."""
        report = yield
        self._hide_keys(report)
        if call.excinfo is None:
            return report
        error = call.excinfo.value
        if isinstance(error, MicrocloudError):
            report.longrepr = self._session.redactor.without_secrets(f"{type(error).__name__}: {error}")
        if isinstance(error, InvalidMeasurement | BoardError | UserMistake):
            verdict = "invalid" if isinstance(error, InvalidMeasurement) else "error"
            outcome.mark(item, report, verdict)
            note(item, verdict, str(error))
            if verdict == "invalid":
                doubt(item, str(error))
        elif report.failed and board_of(item) and fixtures.uses(item, fixtures.OURS):
            _note_failure(item, report, call.excinfo)
        return report

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Close with board × experiment."""
        from pytest_microcloud.session import terminal
        from pytest_microcloud.verdict.matrix import matrix

        if self._session.entries:
            table = matrix(self._session.entries, self._session.catalog.experiments)
            before = self._session.resumed.boards if self._session.resumed else ()
            terminal.closing_table(terminalreporter, table, self._session.boards, before)
            if self._session.run_file.is_file():
                terminalreporter.write_line(f"run file: {self._session.run_file}")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Give all boards up, after the fixtures have been taken down; what stays on one is no success."""
        try:
            return (yield)
        finally:
            if self._session.boards:
                self._session.progress.announce("boards", "cleaning up")
            self._close()
            self._session.progress.clear()
            if self._session.rack.not_cleaned_up and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_unconfigure(self) -> None:
        """Give all boards up, even if the session never finished."""
        self._close()

    def _close(self) -> None:
        """Give all boards up; one Ctrl-C waits for that, and who cannot wait presses it twice."""

        def wait(*_: object) -> None:
            signal.signal(signal.SIGINT, usual)
            os.write(2, STILL_TIDYING)  # print and pytest's terminal may be in the middle of a line

        usual = signal.getsignal(signal.SIGINT) or signal.default_int_handler
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, wait)
        try:
            self._session.rack.close()
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, usual)

    def _hide_keys(self, report: pytest.TestReport) -> None:
        """Take keys out of all that a report may tell: what failed, with its local variables, and output."""
        without_secrets = self._session.redactor.without_secrets
        report.sections = [(title, without_secrets(said)) for title, said in report.sections]
        if isinstance(report.longrepr, tuple):  # a skipped test's
            file, line, reason = report.longrepr
            report.longrepr = (file, line, without_secrets(reason))
        elif (shown := without_secrets(report.longreprtext)) != report.longreprtext:
            report.longrepr = shown


def _note_failure(
    item: pytest.Item, report: pytest.TestReport, excinfo: pytest.ExceptionInfo[BaseException]
) -> None:
    """Keep a failure for the verdict table, unless an earlier one of the test is noted.

    An assertion of the test itself, or its `pytest.fail`, means that the board is infeasible. What fails in
    set-up or teardown, a crash, and the `pytest.fail` of another plugin (a timeout) say nothing of the board.
    """
    entry = item.stash.get(ENTRY, None)
    if entry is not None and entry.verdict in ("invalid", "infeasible", "error"):
        return
    verdict = "error"
    if report.when == "call" and _is_verdict_of_test(item.config, excinfo):
        verdict = "infeasible"
    elif report.when == "call" and isinstance(excinfo.value, pytest.fail.Exception):
        outcome.mark(item, report, verdict)
    note(item, verdict, excinfo.exconly().strip().splitlines()[0])


def _is_verdict_of_test(config: pytest.Config, excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
    if isinstance(excinfo.value, pytest.fail.Exception):
        callers = [entry.frame.f_globals.get("__name__", "") for entry in excinfo.traceback]
        caller = next((name for name in reversed(callers) if not name.startswith("_pytest.")), "")
        module = sys.modules.get(caller)
        own = Path(getattr(module, "__file__", None) or "conftest.py").name == "conftest.py"
        return own or not config.pluginmanager.is_registered(module)
    return isinstance(excinfo.value, AssertionError)
