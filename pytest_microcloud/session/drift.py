"""Finds boards whose control drifted, warns about them, and marks their measurements in the run file."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.session.state import SESSION

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_microcloud.runs.controls import Control
    from pytest_microcloud.session.run_file import RunFile


class Drift:
    """The hooks of the reporting process that compare each board's control with earlier sessions."""

    def __init__(self, config: pytest.Config, run_file: RunFile) -> None:
        self._session = config.stash[SESSION]
        self._run_file = run_file
        self._judged = False
        self._too_few: list[str] = []

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """After the last test, find boards that drifted. Runs before the gate compares the run."""
        result = yield
        self._judge()
        return result

    def pytest_sessionfinish(self) -> None:
        """Find boards that drifted, even in an interrupted session, before the session's page is written."""
        self._judge()

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Write the warnings about drift."""
        for name, control in self._controls().items():
            for line in _lines(name, control):
                terminalreporter.write_line(line, yellow=True)
        if terminalreporter.verbosity > 0:
            for line in self._too_few:
                terminalreporter.write_line(line)

    def _judge(self) -> None:
        controls = self._controls()
        if self._judged or not controls:
            return
        from pytest_microcloud import runs
        from pytest_microcloud.verdict import control_drift

        self._judged = True
        session, collected = self._session, self._session.collected
        boards = {name: collected.fingerprint(name) for name in controls}
        earlier = runs.every(session.run_file.parent, newest_first=True, apart_from=session.run_file)
        histories = control_drift.histories(boards, earlier)
        self._too_few = list(control_drift.too_few(histories))
        collected.drift = {
            name: sentences
            for name, control in controls.items()
            if (sentences := control_drift.drifts(control, histories[name]))
        }
        if collected.drift:
            self._run_file.mark(collected.drift)

    def _controls(self) -> Mapping[str, Control]:
        """Return a dict from board to control, for boards whose control was read in this session."""
        collected = self._session.collected
        return {name: collected.control(name) for name in collected.boards if name in collected.controls}


def _lines(name: str, control: Control) -> Iterator[str]:
    """Yield the warnings about a board: how it drifted, and which loads of its control could not be read."""
    for sentence in control.drift:
        yield f"{name}: {sentence}: the measurements of this session are marked"
    left_out: dict[tuple[str, str], list[str]] = {}
    for reading in control.readings:
        for load, why in reading.left_out.items():
            left_out.setdefault((reading.at, why), []).append(load)
    for (at, why), loads in left_out.items():
        yield f"{name}: its control ({', '.join(loads)}) could not be read at the {at}: {why}"
