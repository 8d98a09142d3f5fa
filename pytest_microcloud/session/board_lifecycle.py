"""Powers boards on for their first test, reboots them for tests that need another boot, and releases them."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.session.items import board_of, phase_of
from pytest_microcloud.session.report_record import fingerprint
from pytest_microcloud.session.signals import cleaning_up
from pytest_microcloud.session.state import SESSION, Phase

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.session.control import ControlReadings
    from pytest_microcloud.session.incident_log import IncidentLog


class BoardLifecycle:
    """The hooks that power boards on and off."""

    def __init__(
        self, config: pytest.Config, log: IncidentLog, controls: ControlReadings | None = None
    ) -> None:
        self._config = config
        self._controls = controls
        self._session = config.stash[SESSION]
        self._log = log
        self._ready: dict[str, str] = {}

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Power on and boot the board that a test needs, even if the test uses only testinfra's fixtures.

        Runs after pytest's check of skip marks, which is `tryfirst`, and before fixtures are set up.
        """
        name = board_of(item)
        if name is None or self._config.getoption("setupplan", False):
            return
        board = self._session.rack.board(name)
        if name not in self._session.boards:
            self._learn(board)
        self._boot(item, name)
        if self._ready.get(name) != board.booted:
            self._config.hook.pytest_microcloud_board_ready(board=board, config=self._config)
            self._ready[name] = board.booted
        if self._controls is not None:
            self._controls.before(item, board)

    def pytest_unconfigure(self) -> None:
        """Release all boards, even if pytest_sessionfinish was never called."""
        self.release()

    def release(self) -> None:
        """Release all boards."""
        try:
            if self._session.rack.boards:
                self._session.progress.announce("boards", "cleaning up")
        finally:
            with cleaning_up():
                self._session.rack.close()

    def _learn(self, board: Board) -> None:
        """Record a board that came up. Raises BoardError if it has changed since the interrupted run."""
        from pytest_microcloud.redaction import in_all
        from pytest_microcloud.runs.fingerprint import Fingerprint
        from pytest_microcloud.session.terminal import board_lines

        session = self._session
        session.redactor.learn(names=board.facts.names, identifiers=board.facts.identifiers)
        found = fingerprint(board, session.place)
        shown = in_all(found, session.redactor.without_secrets)  # redacted as in the run file
        if session.resumed is not None:
            session.resumed.must_be(board.name, shown)
        session.boards[board.name] = board
        session.progress.keep(board_lines(board.name, board.model.name, Fingerprint.of(shown)))

    def _boot(self, item: pytest.Item, name: str) -> None:
        """Reboot a test's board, or boot another image on it, if the test needs another boot."""
        session, needed = self._session, phase_of(item)
        if needed is None or needed == session.phases.setdefault(name, Phase()):
            return
        self._log.keep(name)
        session.phases[name] = needed
        if needed.stage:
            gate = session.gate
            made_of = (
                gate.made_of[name] if gate and needed.stage == "baseline" else session.rack.original(name)
            )
            session.rack.exchange(name, made_of, f"{needed.stage}, boot {needed.boot}")
        else:
            session.rack.reboot(name, f"boot {needed.boot} of {session.boots}")


class Release:
    """The hook that releases the boards at the end of a session without workers."""

    def __init__(self, config: pytest.Config, lifecycle: BoardLifecycle) -> None:
        self._session = config.stash[SESSION]
        self._lifecycle = lifecycle

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Release all boards after fixtures are torn down; fail the session if a clean-up failed."""
        try:
            return (yield)
        finally:
            self._lifecycle.release()
            self._session.progress.clear()
            if self._session.rack.not_cleaned_up and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
