"""Files of a session that could not be written, as on a full disk: reported at its end, which is not 0.

Each report is lost or written by itself: a JUnit XML that cannot be written takes no page with it. The
measurements are on the terminal all the same, and the last run file that could be written stays.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from io import IOBase
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter
    from pluggy import HookImpl

REPORTS = {"_pytest.junitxml": "xmlpath", "pytest_html": "htmlpath", "pytest_benchmark": "benchmark_json"}
"""By module of the plugin, the option that names its report."""


class WriteErrors:
    """Keeps the reason for each file that could not be written, until it can."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._why: dict[str, str] = {}
        self._lost: set[str] = set()
        self._steps: list[Callable[[], None]] = []

    def after_reports(self, step: Callable[[], None]) -> None:
        """Call `step` once the plugins have written their reports, before the terminal's summary."""
        self._steps.append(step)

    def lost(self, option: str) -> bool:
        """Return whether the report that an option names could not be written."""
        return option in self._lost

    @contextmanager
    def noted(self, file: str) -> Iterator[None]:
        """Note it if the file cannot be written, instead of raising OSError."""
        try:
            yield
            self._why.pop(file, None)
        except OSError as error:
            self._why[file] = error.strerror or str(error)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        """Guard each plugin's end of the session apart; pluggy has no hook around one implementation."""
        for impl in self._config.hook.pytest_sessionfinish.get_hookimpls():
            if impl.plugin is not self and impl.plugin_name != "runner":  # whose end is that of fixtures
                guard = _guarded_wrapper if inspect.isgeneratorfunction(impl.function) else _guarded
                _replace(impl, guard(impl.function, partial(self._lose, impl)))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Let no session end well that lost a file, be it in a step that follows the reports."""
        with self.noted("a report"):  # of a plugin that was registered later
            yield
        for step in self._steps:
            step()
        if self._why and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """List them with the reasons."""
        for file, why in self._why.items():
            terminalreporter.write_line(f"{file} was not written: {why}", red=True)

    def _lose(self, lost: HookImpl, error: OSError) -> None:
        """Note a plugin's report as lost, and keep the plugin from announcing it."""
        module = getattr(lost.plugin, "__name__", None) or type(lost.plugin).__module__
        option = next((option for known, option in REPORTS.items() if module.startswith(known)), None)
        named = self._config.getoption(option, None) if option else None
        if option:
            self._lost.add(option)
        file = getattr(named, "name", "?") if isinstance(named, IOBase) else named  # as of --benchmark-json
        self._why[str(file or f"the report of {module}")] = error.strerror or str(error)
        for impl in self._config.hook.pytest_terminal_summary.get_hookimpls():
            if impl.plugin is lost.plugin and not inspect.isgeneratorfunction(impl.function):
                _replace(impl, lambda *_: None)


def _replace(impl: HookImpl, function: Callable[..., Any]) -> None:
    impl.function = function  # type: ignore[misc] # final, so that nobody loses pluggy's order of arguments


def _guarded(function: Callable[..., Any], lose: Callable[[OSError], None]) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            lose(error)

    return guarded


def _guarded_wrapper(function: Callable[..., Any], lose: Callable[[OSError], None]) -> Callable[..., Any]:
    """Guard what a wrapper does before the others; what it does after them guards itself."""

    def guarded(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        wrapper = function(*args, **kwargs)
        try:
            wanted = next(wrapper)
        except OSError as error:
            lose(error)
            return (yield)
        try:
            result = yield wanted
        except BaseException as error:
            return _ended(wrapper.throw, error)
        return _ended(wrapper.send, result)

    return guarded


def _ended(resume: Callable[[Any], Any], value: Any) -> Any:
    try:
        resume(value)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("a hook wrapper yielded twice")
