"""Lists files that a session could not write, as on a full disk, and makes the session fail.

Reports are independent: if the JUnit XML cannot be written, the page still is. The measurements are on the
terminal in any case, and the last run file that could be written is kept.
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
"""The modules of plugins that write reports, each with the option that names the plugin's report."""


class WriteErrors:
    """Keeps the reason for each file that could not be written, until the file can be written."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._why: dict[str, str] = {}
        self._lost: set[str] = set()
        self._steps: list[Callable[[], None]] = []

    def after_reports(self, step: Callable[[], None]) -> None:
        """Call `step` after the plugins have written their reports, and before the terminal's summary."""
        self._steps.append(step)

    def lost(self, option: str) -> bool:
        """Return whether the report that an option names could not be written."""
        return option in self._lost

    @contextmanager
    def noted(self, file: str) -> Iterator[None]:
        """Record an OSError of the block as the reason why `file` was not written, and suppress the error."""
        try:
            yield
            self._why.pop(file, None)
        except OSError as error:
            self._why[file] = error.strerror or str(error)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        """Make each plugin's pytest_sessionfinish record OSErrors, so that the other plugins still run."""
        for impl in self._config.hook.pytest_sessionfinish.get_hookimpls():
            if impl.plugin is not self and impl.plugin_name != "runner":  # the runner tears down fixtures
                guard = _guarded_wrapper if inspect.isgeneratorfunction(impl.function) else _guarded
                _replace(impl, guard(impl.function, partial(self._lose, impl)))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Fail a session that could not write a file, even in a step after the reports."""
        with self.noted("a report"):  # of a plugin that was registered after pytest_sessionstart
            yield
        for step in self._steps:
            step()
        if self._why and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """List the files that were not written, with the reasons."""
        for file, why in self._why.items():
            terminalreporter.write_line(f"{file} was not written: {why}", red=True)

    def _lose(self, lost: HookImpl, error: OSError) -> None:
        """Record that a plugin did not write its report, and suppress the plugin's message that it did."""
        module = getattr(lost.plugin, "__name__", None) or type(lost.plugin).__module__
        option = next((option for known, option in REPORTS.items() if module.startswith(known)), None)
        named = self._config.getoption(option, None) if option else None
        if option:
            self._lost.add(option)
        # The value of --benchmark-json is an open file; the values of the other options are paths.
        file = getattr(named, "name", "?") if isinstance(named, IOBase) else named
        self._why[str(file or f"the report of {module}")] = error.strerror or str(error)
        for impl in self._config.hook.pytest_terminal_summary.get_hookimpls():
            if impl.plugin is lost.plugin and not inspect.isgeneratorfunction(impl.function):
                _replace(impl, lambda *_: None)


def _replace(impl: HookImpl, function: Callable[..., Any]) -> None:
    impl.function = function  # type: ignore[misc] # final in pluggy; the arguments stay the same


def _guarded(function: Callable[..., Any], lose: Callable[[OSError], None]) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            lose(error)

    return guarded


def _guarded_wrapper(function: Callable[..., Any], lose: Callable[[OSError], None]) -> Callable[..., Any]:
    """Return a copy of a hook wrapper in which an OSError before the `yield` only calls `lose`."""

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
