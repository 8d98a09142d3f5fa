"""Classifies why a test failed: invalid measurements, a failure, or an error such as a broken board."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from pytest_microcloud import fixtures
from pytest_microcloud.errors import BoardError, InvalidMeasurement, MicrocloudError, UserMistake
from pytest_microcloud.session import outcome
from pytest_microcloud.session.items import ENTRY, board_of, note
from pytest_microcloud.session.measuring import doubt
from pytest_microcloud.session.state import SESSION


class Classification:
    """The hook that classifies and redacts each test's report."""

    def __init__(self, config: pytest.Config) -> None:
        self._session = config.stash[SESSION]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Mark a report as invalid measurements, a failure, or an error (a broken board or a wrong call)."""
        report = yield
        self._redact(report)
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

    def _redact(self, report: pytest.TestReport) -> None:
        """Redact all texts of a report: the traceback, with its local variables, and the captured output."""
        without_secrets = self._session.redactor.without_secrets
        report.sections = [(title, without_secrets(text)) for title, text in report.sections]
        if isinstance(report.longrepr, tuple):  # the report of a skipped test
            file, line, reason = report.longrepr
            report.longrepr = (file, line, without_secrets(reason))
        elif (shown := without_secrets(report.longreprtext)) != report.longreprtext:
            report.longrepr = shown


def _note_failure(
    item: pytest.Item, report: pytest.TestReport, excinfo: pytest.ExceptionInfo[BaseException]
) -> None:
    """For the verdict table, store why a test failed, unless an earlier failure of the test is stored.

    A failed assertion of the test itself, or its `pytest.fail`, means that the board is infeasible. A failure
    in set-up or teardown, a crash, and another plugin's `pytest.fail` (a timeout) are errors instead.
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
