"""Startup latency (the paper, section 4.IV): from power-on to a login, and to a container's first answer."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import TYPE_CHECKING

from pytest_microcloud.boards.engine import explained
from pytest_microcloud.errors import BoardError, DeadlineExceeded, MicrocloudError
from pytest_microcloud.experiments.answer import http_answers, wait_until_ready
from pytest_microcloud.experiments.deploy import published_port
from pytest_microcloud.experiments.measurement import Measurement

if TYPE_CHECKING:
    from docker.models.containers import Container

    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.experiments.deploy import Deployment

ANSWER_TIMEOUT_S = 600.0
POLL_S = 0.02
CONNECT_TIMEOUT_S = 0.2
RECOVERY_S = 60.0
"""What a board that was left in the middle of a reboot gets to come back, so that it can be tidied up."""


def reboot(deployment: Deployment) -> list[Measurement]:
    """Reboot once: time until a user can log in, and until a container that starts with the engine answers.

    Both in board time since its power came on, and only if the board proves to have booted anew.
    """
    board, workload = deployment.board, deployment.workload
    board.say("startup: a container that starts with the board")
    port = _free_port(deployment)
    with explained(board.name, f"running {deployment.image}"):
        container = board.docker.containers.run(
            **deployment.options(
                restart_policy={"Name": "always"},
                ports={f"{workload.port}/tcp": ("0.0.0.0", port)},  # noqa: S104
            ),
        )
    with _removed_afterwards(board, container):
        wait_until_ready(board, workload.ready, port, container)
        board.say(f"startup: boot {board.boot + 1}")
        watch = _FirstAnswer(deployment, port)
        rebooted = board.reboot()
        answered_at = watch.wait()
        board.settle()
    container_s = rebooted.ready_s + (answered_at - rebooted.ready_at_s)
    return [
        Measurement("startup.ready_time", [rebooted.ready_s]),
        Measurement("startup.container_time", [container_s]),
    ]


@contextmanager
def _removed_afterwards(board: Board, container: Container) -> Iterator[None]:
    try:
        yield
    except BaseException:  # an interruption, too; a board that is down must not hide it
        with contextlib.suppress(MicrocloudError):
            board.link.open(board.driver.endpoint(), timeout_s=RECOVERY_S)
            board.settle(timeout_s=RECOVERY_S)
            _remove(board, container)
        raise
    _remove(board, container)


def _remove(board: Board, container: Container) -> None:
    with explained(board.name, "removing a container"):
        board.docker.containers.get(str(container.id)).remove(force=True, v=True)


class _FirstAnswer:
    """Watches from the controller for the first answer after the server went away."""

    def __init__(self, deployment: Deployment, port: int) -> None:
        self._deployment = deployment
        self._port = port
        self._at: float | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def wait(self) -> float:
        """Return when it answered, on the controller's monotonic clock."""
        self._thread.join(ANSWER_TIMEOUT_S + 30)
        if self._at is None:
            raise DeadlineExceeded(
                self._deployment.board.name,
                f"its container did not answer within {ANSWER_TIMEOUT_S:.0f} s of a reboot",
            )
        return self._at

    def _watch(self) -> None:
        board, ready = self._deployment.board, self._deployment.workload.ready
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        went_away = False
        while time.monotonic() < deadline:
            try:
                answered = http_answers(
                    board.address, self._port, ready.path, ready.expect, CONNECT_TIMEOUT_S
                )
            except (OSError, HTTPException):
                answered = False
            if answered and went_away:
                self._at = time.monotonic()
                return
            went_away = went_away or not answered
            time.sleep(POLL_S)


def _free_port(deployment: Deployment) -> int:
    """Return a port that Docker finds free now: one of its own choice would be another after a reboot."""
    board = deployment.board
    with explained(board.name, f"running {deployment.image}"):
        container = board.docker.containers.run(**deployment.options())
        try:
            port = published_port(container)
        finally:
            container.remove(force=True, v=True)
    if port is None:
        raise BoardError(board.name, f"Docker published no port for {deployment.workload.name}")
    return port
