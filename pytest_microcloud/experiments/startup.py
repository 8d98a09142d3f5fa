"""Startup latency (the paper, section 4.IV): from power-on to a login and to a container's first response."""

from __future__ import annotations

import threading
import time
from http.client import HTTPException
from typing import TYPE_CHECKING

from pytest_microcloud.controller.engine import explained
from pytest_microcloud.errors import BoardError, DeadlineExceeded
from pytest_microcloud.experiments.deploy import afterwards, published_port, remove
from pytest_microcloud.experiments.probe import http_answers, wait_until_ready
from pytest_microcloud.experiments.record import Step, shipped
from pytest_microcloud.measurement import Measurement

if TYPE_CHECKING:
    from pytest_microcloud.experiments.deploy import Deployment

ANSWER_TIMEOUT_S = 300.0
POLL_S = 0.02
CONNECT_TIMEOUT_S = 1.0
BOOT_S = 20.0


def _estimate(step: Step) -> float:
    return step.effort.boots * BOOT_S


STARTUP = shipped(
    "startup",
    # Booting keeps the board busy before it is ready, and NTP sets the board's clock afterwards.
    tolerates=("reboot", "load", "clock"),
    estimate=_estimate,
)


def reboot(deployment: Deployment) -> list[Measurement]:
    """Reboot once; measure the time until a user can log in, and until a container responds.

    Both times are on the board's clock. The clock of an emulated board starts at power-on, and the clock of a
    real board when its kernel starts. If a command cuts the power, both times are also measured on the
    controller's clock, from the end of that command. The board's engine starts the container at boot. Raises
    BoardError if the board does not boot.
    """
    board, workload = deployment.board, deployment.workload
    board.say("startup: running a container that starts at boot")
    port = _free_port(deployment)
    with explained(board.name, f"running {deployment.image}"):
        container = board.docker.containers.run(
            **deployment.options(
                restart_policy={"Name": "always"},
                ports=deployment.published(port),
            ),
        )
    with afterwards(lambda: remove(board, container)):
        wait_until_ready(board, workload.ready, port, container)
        board.say(f"startup: boot {board.boot + 1}")
        with _Watch(deployment, port) as watch:
            rebooted = board.reboot()
            began_at_s = rebooted.ready_at_s - rebooted.ready_s
            answered_at_s = watch.first_answer_after(max(began_at_s, rebooted.powered_on_at_s or began_at_s))
        board.settle()
    seen = [
        Measurement("startup.ready_time", [rebooted.ready_s]),
        Measurement("startup.container_time", [answered_at_s - began_at_s]),
    ]
    if (powered_on_at_s := rebooted.powered_on_at_s) is not None:
        seen += [
            Measurement("startup.power_on_ready_time", [rebooted.ready_at_s - powered_on_at_s]),
            Measurement("startup.power_on_container_time", [answered_at_s - powered_on_at_s]),
        ]
    return seen


class _Watch:
    """Records when a server starts to respond to the controller. Use it as a context manager."""

    def __init__(self, deployment: Deployment, port: int) -> None:
        self._deployment = deployment
        self._port = port
        self._came_up_s: list[float] = []
        self._changed = threading.Condition()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def first_answer_after(self, moment_s: float) -> float:
        """Return when the server first responded after `moment_s`. Both times are on the controller's clock.

        Responses before the new boot's power-on come from the old boot, which is shutting down.
        """

        def later() -> float | None:
            return next((at for at in self._came_up_s if at > moment_s), None)

        with self._changed:
            if not self._changed.wait_for(lambda: later() is not None, ANSWER_TIMEOUT_S):
                raise DeadlineExceeded(
                    self._deployment.board.name,
                    f"its container did not respond within {ANSWER_TIMEOUT_S:.0f} s of a reboot",
                )
            return later() or moment_s

    def _watch(self) -> None:
        answered = True
        while not self._done.wait(POLL_S):
            answered, before = self._answers(), answered
            if answered and not before:
                with self._changed:
                    self._came_up_s.append(time.monotonic())
                    self._changed.notify_all()

    def _answers(self) -> bool:
        ready = self._deployment.workload.ready
        host, port = self._deployment.board.reach(self._port)
        try:
            return http_answers(host, port, ready.path, ready.expect, CONNECT_TIMEOUT_S)
        except (OSError, HTTPException):
            return False


def _free_port(deployment: Deployment) -> int:
    """Return a free port of the board. Without a fixed port, Docker would select another port at boot."""
    board = deployment.board
    with explained(board.name, f"running {deployment.image}"):
        container = board.docker.containers.run(**deployment.options())
        with afterwards(lambda: remove(board, container)):
            port = published_port(board, container)
    if port is None:
        raise BoardError(board.name, f"Docker published no port for {deployment.workload.name}")
    return port
