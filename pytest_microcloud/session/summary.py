"""The closing table of board × experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.session.state import SESSION

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter


class Summary:
    """The hook that writes it."""

    def __init__(self, config: pytest.Config) -> None:
        self._session = config.stash[SESSION]

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Close with each board's verdict on each experiment, and the run file."""
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
        if session.run_file.is_file():
            terminalreporter.write_line(f"run file: {session.run_file}")
