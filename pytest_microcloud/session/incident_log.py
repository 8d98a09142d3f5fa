"""After a test has failed, diagnoses the test's board and stores the board's logs."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from pytest_microcloud.errors import BoardError, InvalidMeasurement, LimitMissed
from pytest_microcloud.session.items import board_of
from pytest_microcloud.session.outcome import verdict_of
from pytest_microcloud.session.state import SESSION


class IncidentLog:
    """The hooks that diagnose a test's board after a failure, and store its logs with `write(name, text)`."""

    def __init__(self, config: pytest.Config, write: Callable[[str, str], None]) -> None:
        self._config = config
        self._session = config.stash[SESSION]
        self._write = write

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """After a failure, add a diagnosis of the board to the error or the report, and attach its logs."""
        name = board_of(item)
        error = call.excinfo.value if call.excinfo is not None else None
        if name is None or error is None:
            return (yield)
        happened = ""
        if isinstance(error, BoardError) and (happened := self._session.rack.diagnose(name)):
            error.preface(happened)
        report = yield
        unexplained = report.failed and not isinstance(error, BoardError | LimitMissed | InvalidMeasurement)
        if unexplained and (happened := self._session.rack.diagnose(name)):
            report.sections.append(("board", self._session.redactor.without_secrets(f"{name}: {happened}")))
        if (happened or verdict_of(report)) and (log := self.keep(name)):
            self._attach(report, name, log)
        return report

    def pytest_sessionfinish(self) -> None:
        """Store the logs of all boards at the end of the session."""
        for name in self._session.boards:
            self.keep(name)

    def keep(self, name: str) -> str:
        """Store the redacted logs of a board's current boot, and return them."""
        board = self._session.rack.boards.get(name)
        if board is None:
            return ""
        try:
            log = self._session.redactor.for_page(board.logs.log())
        except Exception:  # the board is unreachable, as the test has reported
            return ""
        phase = self._session.phases.get(name)
        again = self._session.rack.workspace.run_id if self._session.resumed else None
        self._write(".".join([name, *(str(part) for part in (phase, again) if part), "log"]), log)
        return log

    def _attach(self, report: pytest.TestReport, name: str, log: str) -> None:
        if self._config.pluginmanager.hasplugin("html"):
            from pytest_html import extras

            attached = extras.text(log, name=f"log of {name}")
            vars(report).setdefault("extras", []).append(attached)
