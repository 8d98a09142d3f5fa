"""Claims of the paper that tests judge: each travels on its test's report, and the summary lists them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_microcloud.verdict.claims import Claim

CLAIM: pytest.StashKey[Claim] = pytest.StashKey()
"""Of a test: the claim that it judged."""
UNMEASURED = ("claim", "not measured")
"""The property, in JUnit's XML too, of a claim's test that no run has the figures for."""
ATTRIBUTE = "microcloud_claim"
"""Of a test's report: the claim as plain data."""


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
        """Take a claim in."""
        if claim := getattr(report, ATTRIBUTE, None):
            self._judged[report.nodeid] = claim

    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport
    ) -> tuple[str, str, str] | None:
        """Distinguish a claim that no run has figures for from a test that was skipped."""
        if report.skipped and UNMEASURED in map(tuple, getattr(report, "user_properties", ())):
            return "unmeasured", "u", "UNMEASURED"
        return None

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """List the claims that were judged."""
        if self._judged:
            from pytest_microcloud.session import terminal
            from pytest_microcloud.verdict.claims import Claim

            terminal.claims(terminalreporter, [Claim.of(claim) for claim in self._judged.values()])
