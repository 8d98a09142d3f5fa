"""Adds verdicts to pytest-html's page, and writes the pages that compare all runs.

On these pages, text from tests and boards is escaped, and secrets and addresses are redacted.
"""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud import options
from pytest_microcloud.session.state import SESSION

if TYPE_CHECKING:
    from pathlib import Path

    from _pytest.terminal import TerminalReporter

    from pytest_microcloud.runs import Run
    from pytest_microcloud.session.write_errors import WriteErrors

LOG = "log of "
"""How the name of a pytest-html extra begins if the extra holds a board's log."""


class Page:
    """The hooks that add verdicts to pytest-html's page."""

    def __init__(self, config: pytest.Config, write_errors: WriteErrors) -> None:
        self._config = config
        self._session = config.stash[SESSION]
        self._write_errors = write_errors
        self._data: Any = None
        self._written: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Redact pytest-metadata's description of this machine, which includes CI variables."""
        if self._config.pluginmanager.hasplugin("metadata"):
            from pytest_metadata.plugin import metadata_key

            from pytest_microcloud.redaction import in_all, secrets

            metadata, redactor = self._config.stash[metadata_key], self._session.redactor
            redactor.secrets |= secrets([metadata])
            metadata.update(in_all(metadata, redactor.without_secrets))

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_html_results_summary(self, prefix: list[str]) -> None:
        """Put the verdict matrix and the gate's result on top of pytest-html's page."""
        from pytest_microcloud.report import feasibility

        session, gate = self._session, ""
        if session.comparison is not None:
            from pytest_microcloud.report import comparison_table

            gate = comparison_table.html(session.comparison, session.redactor)
        elif session.refused:
            gate = feasibility.refused(session.refused, session.redactor)
        tests = [test for tests in self._data.data["tests"].values() for test in tests] if self._data else []
        logs = _logs(tests)
        prefix[:0] = feasibility.summary(self._run(), session.catalog, session.redactor, logs, gate)
        for test in tests:  # pytest-html adds a teardown's output without calling its hooks
            test["log"] = session.redactor.without_addresses(test["log"])

    def pytest_sessionfinish(self) -> None:
        """Write the pages that compare the boards of all runs, beside pytest-html's page."""
        if options.nothing_runs(self._config) or not self._session.run_file.is_file():
            return
        from pytest_microcloud.report import deviations, fleet_page, generations, run_directory

        stored = run_directory.read(self._session.run_file.parent)
        page = self._beside("generations.html")
        with self._write_errors.noted(str(page)):
            generations.write(stored, page, self._session.catalog)
            self._written.append(f"page of all runs: {page.as_uri()}")
        fleets = fleet_page.fleets(stored)
        if not any(len(fleet.boards) > 1 for fleet in fleets):
            return
        page = self._beside("fleet.html")
        with self._write_errors.noted(str(page)):
            fleet_page.write(stored, fleets, page)
            lines = deviations.lines(fleets, self._session.collected.boards, page.name)
            self._written += map(self._session.redactor.without_secrets, lines)
            self._written.append(f"page of all boards: {page.as_uri()}")

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Print which boards deviate from their fleet, and the URLs of the pages."""
        for line in self._written:
            terminalreporter.write_line(line)

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_report_title(self, report: Any) -> None:
        """Set the page's title; redact and escape its environment table, which pytest-html does not do."""
        from pytest_microcloud.redaction import in_all

        self._data = report
        report.title = "Micro-cloud feasibility"
        environment = in_all(report.data["environment"], self._session.redactor.for_page)
        report.set_data("environment", in_all(environment, escape))

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        """Escape a test's name, which includes parameters and which pytest-html does not escape."""
        name = report.nodeid if report.when == "call" else f"{report.nodeid}::{report.when}"
        cells[1] = f'<td class="col-testId">{escape(name)}</td>'

    @pytest.hookimpl(trylast=True, optionalhook=True)
    def pytest_html_results_table_html(self, data: list[str]) -> None:
        """Redact addresses and serial numbers in a test's output."""
        data[:] = [self._session.redactor.without_addresses(text) for text in data]

    def _beside(self, name: str) -> Path:
        return options.path(self._config, "reports") / name

    def _run(self) -> Run:
        """Return the run for the page: with the boards' addresses, but without the gate's confirmation."""
        from dataclasses import replace

        session, collected = self._session, self._session.collected
        run = collected.run(session.run_file, session.effort.id)
        boards = dict(run.boards)
        for name in collected.boards:  # shown with --microcloud-identify; the run file has no addresses
            boards[name] = replace(boards[name], address=session.rack.targets[name].address)
        return replace(run, boards=boards, entries=tuple(collected.entries))


class KeptPage:
    """The hooks that preserve the page of the previous session if no board was used in this session."""

    def __init__(self, config: pytest.Config, page: Path, write_errors: WriteErrors) -> None:
        self._session = config.stash[SESSION]
        self._page = page
        self._write_errors = write_errors
        self._previous = page.with_name(f".{page.name}.previous")
        self._moved = False
        write_errors.after_reports(self._restore)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Move the page aside before pytest-html overwrites it."""
        collected = self._session.collected
        if self._page.is_file() and not collected.boards and not collected.entries:
            with self._write_errors.noted(str(self._page)):
                self._page.replace(self._previous)
                self._moved = True

    def _restore(self) -> None:
        """Move the previous page back, over the page that pytest-html wrote."""
        if self._moved:
            with self._write_errors.noted(str(self._page)):
                self._previous.replace(self._page)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Report that the previous page was kept: pytest-html reports a new page, which was replaced."""
        if self._moved:
            terminalreporter.write_line("no board was used, so the page of the previous session was kept")


def _logs(tests: list[dict[str, Any]]) -> dict[str, str]:
    """Remove the boards' logs from the tests, and return a dict from board to the board's last log.

    The page shows only the last logs, because all logs would be too large. Links to earlier logs
    are changed to point to the last log.
    """
    logs: dict[str, str] = {}
    for test in tests:
        for extra in _of_logs(test["extras"]):
            name, content = str(extra["name"]).removeprefix(LOG), str(extra["content"])
            logs[name] = base64.b64decode(content.partition(",")[2]).decode(errors="replace")
            link = f'target="_blank" href="{content}"'
            there = f'href="#log-{escape(name)}"'
            test["resultsTableRow"] = [cell.replace(link, there) for cell in test["resultsTableRow"]]
        test["extras"] = [extra for extra in test["extras"] if extra not in _of_logs(test["extras"])]
    return logs


def _of_logs(extras: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the pytest-html extras that hold a board's log in the page itself, not in a file beside it."""
    return [
        e for e in extras if str(e.get("name")).startswith(LOG) and str(e.get("content")).startswith("data:")
    ]
