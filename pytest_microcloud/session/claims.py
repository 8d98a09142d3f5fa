"""The paper's claims that tests judge: each is stored on its test's report, and the summary lists them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_microcloud.verdict.claims import Claim

CLAIM: pytest.StashKey[Claim] = pytest.StashKey()
"""The key under which the claim that a test judged is stored in the test's stash."""
UNMEASURED = ("claim", "not measured")
"""The pytest property, also in JUnit's XML, that marks a test whose claim has no figures in any run."""
ATTRIBUTE = "microcloud_claim"
"""The attribute of a test's report that holds the claim as plain data."""


class Claims:
    """The hooks that collect claims from reports and list them."""

    def __init__(self) -> None:
        self._judged: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put the claim on the report of the test that judged it."""
        report = yield
        if (claim := item.stash.get(CLAIM, None)) is not None:
            setattr(report, ATTRIBUTE, asdict(claim))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the claim on a test's report for the summary."""
        if claim := getattr(report, ATTRIBUTE, None):
            self._judged[report.nodeid] = claim

    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport
    ) -> tuple[str, str, str] | None:
        """Show a claim without figures as unmeasured, not as a skipped test."""
        if report.skipped and UNMEASURED in map(tuple, getattr(report, "user_properties", ())):
            return "unmeasured", "u", "UNMEASURED"
        return None

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """List the claims that were judged."""
        if self._judged:
            from pytest_microcloud.session import terminal
            from pytest_microcloud.verdict.claims import Claim

            terminal.claims(terminalreporter, [Claim.of(claim) for claim in self._judged.values()])
