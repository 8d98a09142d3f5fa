"""Files of a session that could not be written, as on a full disk: told at its end, which is not 0.

What was measured is on the terminal all the same, and the last run file that could be written stays.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter


class Unwritten:
    """Keeps what could not be written, by file, until it can."""

    def __init__(self) -> None:
        self._why: dict[str, str] = {}

    @contextmanager
    def noted(self, file: str) -> Iterator[None]:
        """Note it if the file cannot be written, instead of raising OSError."""
        try:
            yield
            self._why.pop(file, None)
        except OSError as error:
            self._why[file] = error.strerror or str(error)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Let no report that cannot be written take the terminal's summary with it (innermost wrapper)."""
        with self.noted("the report"):
            yield
        if self._why and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Say what was not written, and why."""
        for file, why in self._why.items():
            terminalreporter.write_line(f"{file} was not written: {why}", red=True)
