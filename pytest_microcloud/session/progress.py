"""Shows the progress of a session: in an updated line on a terminal, or a new line every 10 s in a log."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.controller.progress import Progress
from pytest_microcloud.session.collected import record_of

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

LOG_EVERY_S = 10.0


class Shown(Progress):
    """Shows the redacted steps of a session on the terminal, once it is attached to the terminal.

    Steps that were announced earlier are shown then. With `side_by_side`, each board has its own progress
    line until one of its tests ends. Otherwise, there is one progress line, with the latest step.
    """

    def __init__(self, redact: Callable[[str], str] = str, *, side_by_side: bool = False) -> None:
        self._redact = redact
        self._side_by_side = side_by_side
        self._reporter: TerminalReporter | None = None
        self._early: list[tuple[str, str]] = []
        self._uncaptured: Callable[[], AbstractContextManager[object]] = nullcontext
        self._lines: dict[str, str] = {}
        self._drawn = 0
        self._column = 0
        self._attached_s = time.monotonic()
        self._logged_s: dict[str, float] = {}

    def attach(
        self, reporter: TerminalReporter, uncaptured: Callable[[], AbstractContextManager[object]]
    ) -> None:
        """From now on, show steps through `reporter`; `uncaptured` suspends pytest's capture meanwhile."""
        self._reporter, self._uncaptured = reporter, uncaptured
        self._attached_s = time.monotonic()
        early, self._early = self._early, []
        for subject, text in early:
            self.announce(subject, text)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Attach to pytest's terminal before the first test runs."""
        plugins = session.config.pluginmanager
        capture = plugins.getplugin("capturemanager")
        if (reporter := plugins.getplugin("terminalreporter")) is not None:
            self.attach(reporter, capture.global_and_fixture_disabled if capture else nullcontext)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, object, object]:
        """Remove the progress lines while pytest writes an outcome; then redraw those of other boards."""
        self.clear()
        if (brought := record_of(report)) is not None:
            self._lines.pop(brought["board"], None)
        result = yield
        if self._side_by_side and self._reporter is not None and self._reporter.isatty:
            self._draw(self._reporter)
        return result

    def announce(self, subject: str, text: str) -> None:
        """Immediately show a step that is rare and takes long."""
        self._show(subject, text, at_once=True)

    def update(self, subject: str, text: str) -> None:
        """Show the progress of a step: on a terminal at once, in a log at most every 10 s per board."""
        self._show(subject, text, at_once=False)

    def keep(self, lines: Iterable[str]) -> None:
        """Write permanent lines to the terminal, such as a description of a board that came up."""
        if self._reporter is None:
            return
        self.clear()
        with self._uncaptured():
            self._reporter.ensure_newline()
            for line in lines:
                self._reporter.write_line(line)

    def clear(self) -> None:
        """Remove the progress lines, so that pytest continues on its own line."""
        if self._reporter is None or not self._drawn:
            return
        forward = f"\x1b[{self._column}C" if self._column else ""
        self._write(self._reporter, "\r\x1b[K\x1b[A" * self._drawn + f"\r{forward}")
        self._drawn = 0
        if not self._side_by_side:
            self._lines.clear()

    def _show(self, subject: str, text: str, *, at_once: bool) -> None:
        if self._reporter is None:
            if at_once:
                self._early.append((subject, text))
            return
        line = f"{subject}: {self._redact(text)}"
        if self._reporter.isatty:
            if not self._side_by_side:
                self._lines.clear()
            self._lines[subject] = line
            self._draw(self._reporter)
            return
        logged_s = self._logged_s.get(subject, self._attached_s)
        if at_once or time.monotonic() - logged_s >= LOG_EVERY_S:
            self._logged_s[subject] = time.monotonic()
            with self._uncaptured():
                self._reporter.ensure_newline()
                self._reporter.write_line(f"  {line}")

    def _draw(self, reporter: TerminalReporter) -> None:
        """Draw the progress lines below pytest's current line, over the progress lines drawn before."""
        width, height = shutil.get_terminal_size()
        shown = list(self._lines.values())
        if len(shown) > max(1, height - 2):
            shown = [*shown[: height - 3], f"and {len(shown) - height + 3} more"]
        if self._drawn > len(shown) or not shown:
            self.clear()
        if not shown:
            return
        if not self._drawn:
            self._column = reporter._tw.width_of_current_line % width
        start = "\r" + "\x1b[A" * (self._drawn - 1) if self._drawn else "\n\r"
        self._write(reporter, start + "\n\r".join(f"\x1b[K{line[: width - 1]}" for line in shown))
        self._drawn = len(shown)

    def _write(self, reporter: TerminalReporter, text: str) -> None:
        with self._uncaptured():
            reporter._tw._file.write(text)
            reporter._tw._file.flush()
