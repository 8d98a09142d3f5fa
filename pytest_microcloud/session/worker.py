"""Hooks of a pytest-xdist worker, which sends the controller the data that are not on test reports."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud import fixtures
from pytest_microcloud.controller.progress import Progress
from pytest_microcloud.session.items import board_of, experiment_of
from pytest_microcloud.session.scheduling import LAST, WITHOUT_BOARD
from pytest_microcloud.session.state import SESSION

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.session.board_lifecycle import BoardLifecycle

UPDATE_EVERY_S = 0.5
XDIST_WORKER = "PYTEST_XDIST_WORKER"


class Sent(Progress):
    """Sends the steps of boards and experiments to the controller, which shows them."""

    def __init__(self, send: Callable[[str, Any], None]) -> None:
        self._send = send
        self._sent_s = 0.0

    def announce(self, subject: str, text: str) -> None:
        """Send a step that is rare and takes long."""
        self._send("announce", [subject, text])

    def update(self, subject: str, text: str) -> None:
        """Send the progress of a step, unless the last update was sent less than `UPDATE_EVERY_S` ago."""
        if time.monotonic() - self._sent_s >= UPDATE_EVERY_S:
            self._sent_s = time.monotonic()
            self._send("update", [subject, text])

    def keep(self, lines: Iterable[str]) -> None:
        """Send lines that the controller writes permanently to the terminal."""
        self._send("keep", list(lines))


class Worker:
    """The hooks of a worker."""

    def __init__(self, config: pytest.Config, send: Callable[[str, Any], None]) -> None:
        self._config = config
        self._session = config.stash[SESSION]
        self._send = send
        self._lifecycle: BoardLifecycle = config.pluginmanager.getplugin("microcloud-board-lifecycle")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Restore the environment variable that marks this process as a worker (removed in `begin`)."""
        os.environ[XDIST_WORKER] = self._config.workerinput["workerid"]  # type: ignore[attr-defined]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Send a description of each test before pytest-xdist sends the tests' names."""
        tests = {item.nodeid: _described(item) for item in session.items}
        gone, taken_over = sorted(self._session.gone), self._session.taken_over
        self._send("collected", {"tests": tests, "gone": gone, "taken_over": taken_over})

    @pytest.hookimpl(tryfirst=True)
    def pytest_microcloud_board_ready(self, board: Board) -> None:
        """Send the board's names and identifiers, which the controller needs for redaction."""
        names, identifiers = sorted(board.facts.names), sorted(board.facts.identifiers)
        self._send("learned", {"names": names, "identifiers": identifiers})

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """Release the boards before pytest-xdist reports that the worker has finished."""
        result = yield
        self._lifecycle.release()
        self._send("not cleaned up", self._session.rack.not_cleaned_up)
        return result


def _described(item: pytest.Item) -> dict[str, Any]:
    return {
        "board": board_of(item),
        "experiment": experiment_of(item),
        "measures": fixtures.uses(item, ("measure",)),
        "unit": LAST if fixtures.uses(item, ("results",)) else board_of(item) or WITHOUT_BOARD,
    }


def begin(config: pytest.Config) -> None:
    """Prepare a worker's process, before pytest-benchmark is configured.

    The worker leaves the controller's process group, so Ctrl-C reaches only the controller, which passes the
    signal on. pytest-benchmark measures, but writes nothing.
    """
    if os.getpgrp() != os.getpid():  # a worker that sshd started leads its group
        os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # see Gateways.pytest_sessionstart
    os.environ.pop(XDIST_WORKER, None)  # pytest-benchmark disables itself if the variable is set
    for option in ("benchmark_json", "benchmark_save", "benchmark_autosave", "benchmark_compare"):
        setattr(config.option, option, None)
    config.option.benchmark_compare_fail = []
