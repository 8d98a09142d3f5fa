"""Shows invalid measurements separately from failures, and a board that broke in a test as an error.

pytest counts both as failures, so that its exit code, -x, --maxfail and --lf work as usual. In the terminal,
in JUnit's XML and on pytest-html's page, they get their own letter, count and colour.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_microcloud.report.rows import Rows
    from pytest_microcloud.session.write_errors import WriteErrors

Status = tuple[str, str, str | tuple[str, Mapping[str, bool]]]
PROPERTY = "microcloud"
"""The name of the pytest property, also in JUnit's XML, whose value is "invalid" or "error"."""
STATUS: dict[str, Status] = {
    "invalid": ("invalid", "I", ("INVALID", {"yellow": True})),
    "error": ("error", "E", "ERROR"),
}


def mark(item: pytest.Item, report: pytest.TestReport, verdict: str) -> None:
    """Give a failed report its verdict, "invalid" or "error".

    An invalid measurement does not satisfy an xfail mark, unless the mark names the exception.
    """
    named = any("raises" in own.kwargs for own in item.iter_markers("xfail"))
    if verdict == "invalid" and hasattr(report, "wasxfail") and not named:
        del report.wasxfail
        report.outcome = "failed"
    report.user_properties.append((PROPERTY, verdict))
    item.user_properties.append((PROPERTY, verdict))  # for JUnit's XML, written at teardown


def verdict_of(report: pytest.CollectReport | pytest.TestReport) -> str | None:
    """Return the verdict that `mark` gave a report; None for any other report and for teardown."""
    if not isinstance(report, pytest.TestReport) or not report.failed or report.when == "teardown":
        return None
    return next((str(value) for name, value in report.user_properties if name == PROPERTY), None)


def file_of(option: str) -> Path:
    """Return the absolute path for an option's value, with `~` and variables expanded as pytest does."""
    return Path.cwd() / Path(os.path.expandvars(option)).expanduser()


class Outcomes:
    """The hooks that show the outcomes "invalid" and "error"."""

    def __init__(self, config: pytest.Config, write_errors: WriteErrors) -> None:
        self._config = config
        self._write_errors = write_errors
        self._rows: Rows | None = None
        write_errors.after_reports(self._complete)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.CollectReport | pytest.TestReport) -> Status | None:
        """Return a report's category, letter and word if its outcome is "invalid" or "error"."""
        return STATUS.get(verdict_of(report) or "")

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_report_title(self, report: Any) -> None:
        """Store pytest-html's report object, whose table rows are changed later."""
        from pytest_microcloud.report.rows import Rows

        self._rows = Rows(report, file_of(self._config.option.htmlpath))

    @pytest.hookimpl(trylast=True, optionalhook=True)
    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        """Set the outcome in a test's row on pytest-html's page."""
        if self._rows is not None and (verdict := verdict_of(report)):
            self._rows.set_outcome(cells, verdict)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self) -> Generator[None, object, object]:
        """If pytest-html writes the page after each test, add the filter for invalid tests each time."""
        result = yield
        if self._rows is not None and self._config.getini("generate_report_on_test"):
            self._add_filter()
        return result

    def _complete(self) -> None:
        """Add the filter for invalid tests to the page that pytest-html has written."""
        if not self._write_errors.lost("htmlpath"):
            self._add_filter()

    def _add_filter(self) -> None:
        if self._rows is not None:
            with self._write_errors.noted("the filter for invalid tests on pytest-html's page"):
                self._rows.add_filter()

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """List the invalid tests, because pytest's summary lists only pytest's own outcomes."""
        for report in terminalreporter.getreports("invalid"):
            reason = report.longreprtext.removeprefix("InvalidMeasurement: ")
            terminalreporter.write_line(f"INVALID {report.nodeid} - {reason}")
