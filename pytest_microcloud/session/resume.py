"""With --microcloud-resume: tests that an interrupted run has finished are not run again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud import options
from pytest_microcloud.session.state import SESSION, Phase

if TYPE_CHECKING:
    from pytest_microcloud.runs.unfinished import Unfinished

MOST_NAMED = 3
"""Maximum number of tests that a message lists as no longer in the suite."""


class Resume:
    """The hooks that deselect the tests which the interrupted run has finished."""

    def __init__(self, config: pytest.Config, unfinished: Unfinished) -> None:
        self._config = config
        self._unfinished = unfinished
        self._deselected: list[pytest.Item] = []
        self._collected: set[str] = set()
        self._modules: set[str] = set()
        self._session = session = config.stash[SESSION]
        if session.boots > 1:
            boards = session.rack.targets
            session.phases |= {name: Phase(unfinished.last_boot(name)) for name in boards}

    @property
    def deselected(self) -> list[pytest.Item]:
        """The tests that are not run, because their outcomes are taken over from the interrupted run."""
        return self._deselected

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Store which tests the suite has, before any test is deselected."""
        self._collected.add(item.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Store which modules were collected without errors."""
        if report.passed:
            self._modules.add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Deselect finished tests, and store which planned tests the suite no longer has."""
        self._deselected = [item for item in items if item.nodeid in self._unfinished.tests]
        items[:] = [item for item in items if item.nodeid not in self._unfinished.tests]
        self._config.hook.pytest_deselected(items=self._deselected)
        self._session.gone, self._session.taken_over = frozenset(self._gone()), len(self._deselected)

    def _gone(self) -> Iterator[str]:
        """Yield planned tests that the suite no longer has.

        The test's file is gone, or its module was collected completely, but without the test.
        """
        by_test = any("::" in word for word in self._config.args)
        narrowed = by_test or any(self._config.getoption(name, False) for name in ("lf", "stepwise"))
        for test in self._unfinished.plan.tests:
            module = test.partition("::")[0]
            collected = module in self._modules and not narrowed
            missing = not (self._config.rootpath / module).exists()
            if test not in self._collected and (missing or collected):
                yield test


class Resumed:
    """The hooks that report on a resumed run, and set its exit status."""

    def __init__(self, config: pytest.Config, unfinished: Unfinished) -> None:
        self._config = config
        self._unfinished = unfinished
        self._session = config.stash[SESSION]

    def pytest_report_collectionfinish(self) -> list[str]:
        """Report how many finished tests are taken over, and which planned tests no longer exist."""
        count = len(self._unfinished.entries)
        tests = f"{count} finished test{'s are' if count != 1 else ' is'}"
        lines = [f"microcloud: resumes run {self._unfinished.file.stem}; {tests} taken over"]
        if gone := sorted(self._session.gone):
            names = ", ".join(gone[:MOST_NAMED]) + (", …" if gone[MOST_NAMED:] else "")
            tests = "test is" if len(gone) == 1 else "tests are"
            lines.append(
                f"microcloud: {len(gone)} planned {tests} no longer in the suite ({names}); "
                "the run is complete without them"
            )
        return lines

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> object:
        """If no test failed now, fail the session if a test was infeasible before the interruption."""
        if options.nothing_runs(self._config):
            return (yield)
        failed = any(entry.verdict == "infeasible" for entry in self._unfinished.entries)
        nothing_to_do = session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and (
            self._session.taken_over or self._session.gone
        )
        if session.exitstatus == pytest.ExitCode.OK or nothing_to_do:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED if failed else pytest.ExitCode.OK
        return (yield)
