"""Progress on the terminal: one line that is updated, or a line every 10 s in a log."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.controller.progress import Progress

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

LOG_EVERY_S = 10.0


class Shown(Progress):
    """Shows steps, redacted, once it is attached to a terminal, and nothing before."""

    def __init__(self, redact: Callable[[str], str] = str) -> None:
        self._redact = redact
        self._reporter: TerminalReporter | None = None
        self._uncaptured: Callable[[], AbstractContextManager[object]] = nullcontext
        self._column: int | None = None
        self._logged_s = time.monotonic()

    def attach(
        self, reporter: TerminalReporter, uncaptured: Callable[[], AbstractContextManager[object]]
    ) -> None:
        """Show steps there; `uncaptured` lets output through pytest's capture while a line is written."""
        self._reporter, self._uncaptured = reporter, uncaptured
        self._logged_s = time.monotonic()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Show steps from the first test on."""
        plugins = session.config.pluginmanager
        capture = plugins.getplugin("capturemanager")
        if (reporter := plugins.getplugin("terminalreporter")) is not None:
            self.attach(reporter, capture.global_and_fixture_disabled if capture else nullcontext)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self) -> None:
        """Remove the line before pytest writes an outcome."""
        self.clear()

    def announce(self, subject: str, text: str) -> None:
        """Show a step that is rare and long, at once."""
        self._show(f"{subject}: {self._redact(text)}", at_once=True)

    def update(self, subject: str, text: str) -> None:
        """Show how far a step is."""
        self._show(f"{subject}: {self._redact(text)}", at_once=False)

    def keep(self, lines: Iterable[str]) -> None:
        """Write lines that stay."""
        if self._reporter is None:
            return
        self.clear()
        with self._uncaptured():
            self._reporter.ensure_newline()
            for line in lines:
                self._reporter.write_line(line)

    def clear(self) -> None:
        """Remove the updated line, so that pytest continues where it was."""
        if self._reporter is None or self._column is None:
            return
        forward = f"\x1b[{self._column}C" if self._column else ""
        self._write(self._reporter, f"\r\x1b[K\x1b[A\r{forward}")
        self._column = None

    def _show(self, line: str, *, at_once: bool) -> None:
        if self._reporter is None:
            return
        if self._reporter.isatty:
            width = shutil.get_terminal_size().columns
            start = ""
            if self._column is None:
                self._column = self._reporter._tw.width_of_current_line % width
                start = "\n"
            self._write(self._reporter, f"{start}\r\x1b[K{line[: width - 1]}")
        elif at_once or time.monotonic() - self._logged_s >= LOG_EVERY_S:
            self._logged_s = time.monotonic()
            with self._uncaptured():
                self._reporter.ensure_newline()
                self._reporter.write_line(f"  {line}")

    def _write(self, reporter: TerminalReporter, text: str) -> None:
        with self._uncaptured():
            reporter._tw._file.write(text)
            reporter._tw._file.flush()
