"""What the controller does in a session with pytest-xdist, whose workers drive the boards."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud.boards.power import FLASH_TIMEOUT_S
from pytest_microcloud.controller.workspace import of_worker
from pytest_microcloud.errors import EngineError
from pytest_microcloud.runs.fingerprint import CONTROLLER
from pytest_microcloud.session.collected import ATTRIBUTE, record
from pytest_microcloud.session.outcome import file_of
from pytest_microcloud.session.scheduling import BoardScheduling
from pytest_microcloud.session.sites import is_here
from pytest_microcloud.session.state import SESSION
from pytest_microcloud.session.xdist_events import (
    INPUT,
    NAME,
    handle_with,
    listen,
    stop_all_at_once,
    when_not_replaced,
)

if TYPE_CHECKING:
    from types import FrameType

    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

    from pytest_microcloud.session.gateways import Gateways
    from pytest_microcloud.session.log_files import LogFiles
    from pytest_microcloud.session.run_file import RunFile
    from pytest_microcloud.session.sites import Sites

RELEASE_TIMEOUT_S = 300.0
"""How long (s) to wait for the next event of any worker while the workers release their boards."""
AFTER_LOOP = ("testreport", NAME)
"""The kinds of worker events that are still handled after the session was interrupted."""


class Fleet:
    """The hooks of the controller of pytest-xdist workers."""

    def __init__(
        self,
        config: pytest.Config,
        run_file: RunFile,
        logs: LogFiles,
        sites: Sites,
        gateways: Gateways | None = None,
    ) -> None:
        self._config = config
        self._session = config.stash[SESSION]
        self._run_file = run_file
        self._logs = logs
        self._sites = sites
        self._gateways = gateways
        self._nodes: list[WorkerController] = []
        self._tests: dict[str, dict[str, Any]] = {}
        self._planned = False
        self._interrupted = False
        self._said: set[tuple[str, ...]] = set()
        self._not_cleaned_up: list[str] = []
        self._crashed: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Start to handle the workers' events."""
        dsession = self._config.pluginmanager.getplugin("dsession")
        handle_with(self._handle, dsession)
        when_not_replaced(self._lost, dsession)
        stop_all_at_once(dsession)

    def pytest_configure_node(self, node: WorkerController) -> None:
        """Send the worker the targets, the run, the baseline, and where the worker runs (`workerinput`)."""
        place = self._sites.of_worker(node.gateway.spec) or CONTROLLER
        node.workerinput[INPUT] = {**self._input, "place": place}
        if self._gateways is not None:
            node.workerinput[INPUT] |= self._gateways.input_for(node)
        self._nodes.append(node)
        listen(node)

    @cached_property
    def _input(self) -> dict[str, Any]:
        """The input for all workers, created once; a worker that replaces another gets the same input."""
        from pytest_microcloud import runs

        session = self._session
        return {
            "run_id": session.rack.workspace.run_id,
            "purpose": session.rack.purpose,
            "targets": [asdict(target) for target in session.rack.targets.values()],
            "run_file": str(session.run_file),
            "baseline": runs.read(session.gate.baseline.file) if session.gate else None,
            "baseline_file": str(session.gate.baseline.file) if session.gate else None,
            "resumed": runs.read(session.resumed.file) if session.resumed else None,
        }

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Producer) -> BoardScheduling:
        """Return the scheduler that runs all tests of a board on one worker."""
        return BoardScheduling(config, log, lambda test: str(self._tests[test]["unit"]), self._sites)

    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Complete the run's plan with the tests that the first worker has collected (`ids`)."""
        if not self._planned:
            self._planned = True
            self._session.collected.arrange(self._session.rack.targets, ids)
            self._run_file.complete_plan([test for test in ids if self._tests[test]["measures"]])
            if resumed := self._config.pluginmanager.getplugin("microcloud-resumed"):
                self._session.progress.keep(resumed.pytest_report_collectionfinish())

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        """Store the run id of a crashed worker on this machine, for the clean-up at the end."""
        if error and is_here(node.gateway.spec):
            self._crashed.append(of_worker(self._session.rack.workspace.run_id, node.gateway.id))

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """Record the crash of a worker as an error of the board that the worker was testing."""
        from pytest_microcloud.runs import Entry

        found = self._tests[crashitem]
        if found["board"] is None:
            return
        entry = Entry(found["board"], found["experiment"], crashitem, "error")
        entry.reason = report.longreprtext
        setattr(report, ATTRIBUTE, record(found["board"], entry.as_dict()))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Wait until all workers have released their boards; pytest-xdist would kill a worker after 10 s."""
        dsession: Any = self._config.pluginmanager.getplugin("dsession")
        with self._passing_signals_on():
            if not dsession.session_finished:  # Ctrl-C, or an error in the controller
                self._interrupt()
            self._wait(dsession)
        if dsession.session_finished and dsession.maxfail and dsession.countfailures >= dsession.maxfail:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED  # as without workers
        self._clean_up_after_crashes()
        self._session.progress.clear()
        if (json := self._config.getoption("benchmark_json", None)) is not None:
            self._run_file.write_copy(file_of(json))  # pytest-benchmark measured nothing in the controller
        if self._not_cleaned_up and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_unconfigure(self) -> None:
        """Release the boards that the controller has locked and no worker has taken over."""
        self._session.rack.close()

    def _handle(self, _node: WorkerController, kind: str, data: Any) -> None:
        session = self._session
        match kind:
            case "announce":
                session.progress.announce(*data)
            case "update":
                session.progress.update(*data)
            case "keep":
                session.progress.keep(self._new(data))
            case "learned":
                session.redactor.learn(**data)
                session.rack.release_taken_over()
            case "log":
                self._logs.write(*data)
            case "collected":
                self._tests.update(data["tests"])
                session.gone, session.taken_over = frozenset(data["gone"]), data["taken_over"]
            case "not confirmed":
                if gate := self._config.pluginmanager.getplugin("microcloud-gate"):
                    gate.not_confirmed |= dict.fromkeys(data["boards"], data["why"])
            case "not cleaned up":
                self._not_cleaned_up += data

    def _lost(self, node: WorkerController, error: Exception) -> None:
        """Handle a worker that cannot be replaced.

        If its site has no other worker, the site's remaining tests become errors. Other sites continue.
        """
        dsession: Any = self._config.pluginmanager.getplugin("dsession")
        site = self._sites.of_worker(node.gateway.spec)
        what = f"its worker was lost and cannot be replaced ({type(error).__name__}: {error})"
        self._session.progress.announce(site or CONTROLLER, what)
        for test in dsession.sched.give_up(site):
            dsession.handle_crashitem(test, node)

    def _new(self, lines: list[str]) -> list[str]:
        """Return the lines about a board that came up; only the first if the others were printed before."""
        details = tuple(lines[1:])
        if details in self._said:
            return lines[:1]
        self._said.add(details)
        return lines

    def _wait(self, dsession: Any) -> None:
        """Handle the workers' events until all workers have ended, or none has sent an event for too long."""
        flashes = any(target.flash for target in self._session.rack.targets.values())
        timeout_s = RELEASE_TIMEOUT_S + (FLASH_TIMEOUT_S if flashes else 0.0)
        heard_s = time.monotonic()
        while any(self._is_up(node) for node in self._nodes) and time.monotonic() < heard_s + timeout_s:
            if self._take(dsession, timeout_s=0.1):
                heard_s = time.monotonic()
        while self._take(dsession, timeout_s=0.01):
            pass

    def _take(self, dsession: Any, timeout_s: float) -> bool:
        try:
            name, arguments = dsession.queue.get(timeout=timeout_s)
        except queue.Empty:
            return False
        if name in AFTER_LOOP:
            getattr(dsession, f"worker_{name}")(**arguments)
        return True

    def _clean_up_after_crashes(self) -> None:
        """Remove the emulated boards of crashed workers on this machine."""
        from pytest_microcloud.controller import leftovers
        from pytest_microcloud.controller.engine import host_engine

        if not self._crashed:
            return
        with suppress(EngineError), closing(host_engine()) as host:  # without an engine, no board ran here
            for run_id in self._crashed:
                for thing in leftovers.clean(host, run_id).remaining:
                    self._not_cleaned_up.append(thing)
                    self._session.progress.announce(CONTROLLER, f"not cleaned up: {thing}")

    def _is_up(self, node: WorkerController) -> bool:
        return hasattr(node, "channel") and not node._down

    @contextmanager
    def _passing_signals_on(self) -> Iterator[None]:
        """In the block, pass Ctrl-C on to the workers; a second Ctrl-C ends their clean-up."""

        def pass_on(number: int, frame: FrameType | None) -> None:
            self._interrupt()

        usual = signal.signal(signal.SIGINT, pass_on)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)

    def _interrupt(self) -> None:
        """Make the workers end their tests; a second call makes them end their clean-up, too.

        The first signal is SIGTERM, because background processes of a shell ignore SIGINT.
        """
        number = signal.SIGINT if self._interrupted else signal.SIGTERM
        self._interrupted = True
        for node in self._nodes:
            if not self._is_up(node):
                continue
            if self._gateways is not None and not is_here(node.gateway.spec):
                self._gateways.signal(node, number)
            else:
                with suppress(OSError):
                    os.kill(node.gateway._rinfo().pid, number)
