"""Writes the table at the end of a session: the verdict on each board in each experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.session.state import SESSION

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter


class Summary:
    """The hook that writes the closing table."""

    def __init__(self, config: pytest.Config) -> None:
        self._session = config.stash[SESSION]

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Write the verdict on each board in each experiment, and the path of the run file."""
        from pytest_microcloud.session import terminal
        from pytest_microcloud.verdict.matrix import matrix

        session, collected = self._session, self._session.collected
        if not (entries := collected.entries):
            return
        lines = {
            name: terminal.board_lines(name, session.catalog.model(facts.model).name, facts)[0]
            for name in collected.boards
            for facts in [collected.fingerprint(name)]
        }
        before = session.resumed.boards if session.resumed else ()
        table = matrix(entries, session.catalog.experiments)
        terminal.closing_table(terminalreporter, table, lines, before)
        waited = {name: collected.fingerprint(name).waited_s for name in collected.boards}
        if times := [f"{name} {s:.0f} s" for name, s in waited.items() if s >= 1]:
            shared = "their turn on this machine's CPUs and network"
            terminalreporter.write_line(f"boards waited for {shared}: {', '.join(times)}")
        if session.run_file.is_file():
            terminalreporter.write_line(f"run file: {session.run_file}")
