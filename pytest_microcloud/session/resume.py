"""With --microcloud-resume: tests that an interrupted run has finished are not run again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_microcloud import options
from pytest_microcloud.session.state import SESSION, Phase

if TYPE_CHECKING:
    from pytest_microcloud.runs.unfinished import Unfinished


class Resume:
    """The hooks of a session that goes on with a run."""

    def __init__(self, config: pytest.Config, unfinished: Unfinished) -> None:
        self._config = config
        self._unfinished = unfinished
        self._deselected: list[pytest.Item] = []
        session = config.stash[SESSION]
        session.entries += unfinished.entries
        if session.boots > 1:
            boards = session.rack.targets
            session.phases |= {name: Phase(unfinished.last_boot(name)) for name in boards}

    @property
    def deselected(self) -> list[pytest.Item]:
        """The tests that are taken over."""
        return self._deselected

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what is taken over."""
        self._deselected = [item for item in items if item.nodeid in self._unfinished.tests]
        items[:] = [item for item in items if item.nodeid not in self._unfinished.tests]
        self._config.hook.pytest_deselected(items=self._deselected)

    def pytest_report_collectionfinish(self) -> str:
        """Say how many they are."""
        count = len(self._unfinished.entries)
        tests = f"{count} finished test{'s are' if count != 1 else ' is'}"
        return f"microcloud: goes on with run {self._unfinished.file.stem}; {tests} taken over"

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> object:
        """Let what was infeasible before fail this session, too; that nothing is left to do does not."""
        if options.nothing_runs(self._config):
            return (yield)
        failed = any(entry.verdict == "infeasible" for entry in self._unfinished.entries)
        nothing_to_do = session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self._deselected
        if session.exitstatus == pytest.ExitCode.OK or nothing_to_do:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED if failed else pytest.ExitCode.OK
        return (yield)
