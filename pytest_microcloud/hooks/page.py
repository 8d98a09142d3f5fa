"""pytest-html's page: the verdicts on top, and all that is not ours as text, without keys and addresses."""

from __future__ import annotations

from html import escape
from typing import Any

import pytest

from pytest_microcloud.fixtures import SESSION


class Page:
    """The hooks that make it ours."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._session = config.stash[SESSION]
        self._data: Any = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Take keys out of what pytest-metadata tells of this machine: CI variables are part of it."""
        if self._config.pluginmanager.hasplugin("metadata"):
            from pytest_metadata.plugin import metadata_key

            from pytest_microcloud.report.privacy import in_all, secrets

            metadata, privacy = self._config.stash[metadata_key], self._session.privacy
            privacy.secrets |= secrets([metadata])
            metadata.update(in_all(metadata, privacy.anywhere))

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_html_results_summary(self, prefix: list[str]) -> None:
        """Put the verdict matrix on top of pytest-html's page."""
        from pytest_microcloud.report import feasibility
        from pytest_microcloud.verdict.matrix import matrix

        session = self._session
        table = matrix(session.entries, session.catalog.experiments)
        prefix[:0] = feasibility.summary(
            table,
            session.entries,
            session.boards,
            session.catalog.experiments,
            f"Effort: {session.effort.id}.",
            session.privacy,
        )
        for tests in self._data.data["tests"].values() if self._data is not None else ():
            for test in tests:  # pytest-html adds what a teardown said past its own hooks
                test["log"] = session.privacy.in_log(test["log"])

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_report_title(self, report: Any) -> None:
        """Name the page, and make its table of the environment text: pytest-html takes it for markup."""
        from pytest_microcloud.report.privacy import in_all

        self._data = report
        report.title = "Micro-cloud feasibility"
        environment = in_all(report.data["environment"], self._session.privacy.on_page)
        report.set_data("environment", in_all(environment, escape))

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        """Make a test's name text: pytest-html takes it for markup, and parameters are part of it."""
        name = report.nodeid if report.when == "call" else f"{report.nodeid}::{report.when}"
        cells[1] = f'<td class="col-testId">{escape(name)}</td>'

    @pytest.hookimpl(trylast=True, optionalhook=True)
    def pytest_html_results_table_html(self, data: list[str]) -> None:
        """Leave addresses and serial numbers out of what a test said."""
        data[:] = [self._session.privacy.in_log(text) for text in data]
