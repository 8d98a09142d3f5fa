"""Keeps the host's CPUs awake while a board is emulated.

In each period of the CPU quota, an emulated board computes until the quota is used up, and then pauses. In a
pause, the host's CPU may enter a sleep state. When it wakes up, its caches are empty and its clock is slow,
especially on a virtual host with neighbours. Therefore the board's speed varies: 7-Zip's rating scatters by
8 % instead of 2 %. To prevent this, a separate container runs a busy loop at the lowest priority on each CPU.
The container ends when its standard input closes, which happens at the latest when this process ends.
"""

from __future__ import annotations

import contextlib
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pytest_microcloud.controller import turns
from pytest_microcloud.controller.engine import explained, host_labels

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

LOOPS = """
for cpu in $(seq 0 $(($1 - 1))); do
  taskset -c "$cpu" chrt --idle 0 sh -c 'while :; do :; done' &
done
exec cat >/dev/null
"""
END_TIMEOUT_S = 60.0
LEAST_SHARES = 2
"""CPU weight of the loops' container, the lowest possible; other containers have 1024. The weight is needed
because the idle priority applies only within a cgroup."""


CPUS = min(4, os.cpu_count() or 1)
"""How many CPUs to keep awake. A board runs on the first CPUs, at most as many as its model has cores."""


class Awake:
    """The busy loops that keep CPUs awake, from `start` until `stop` or the end of this process.

    One board of this machine runs the loops for all boards, because a second loop on a CPU would delay
    measurements.
    """

    def __init__(self, engine: DockerClient, image: str, board: str, run_id: str) -> None:
        self._engine = engine
        self._image = image
        self._first = ExitStack()
        self._name = f"microcloud-{run_id}-{board}-awake"
        self._run_id = run_id
        self._container: Container | None = None
        self._input: Any = None

    def start(self) -> None:
        """Start the loops unless this board or another board already runs loops. Raises EngineError."""
        if self._container is not None:
            return
        if not self._first.enter_context(turns.first_to_keep_awake()):
            self._first.close()
            return
        with explained("this machine", "keeping its CPUs awake"):
            api = self._engine.api
            created = api.create_container(
                self._image,
                ["-c", LOOPS, "awake", str(CPUS)],
                name=self._name,
                entrypoint="sh",
                stdin_open=True,
                detach=False,  # standard input closes when its first client disconnects
                labels=host_labels(self._run_id),
                host_config=api.create_host_config(
                    auto_remove=True, cpu_shares=LEAST_SHARES, network_mode="none"
                ),
            )
            self._container = self._engine.containers.get(created["Id"])
            self._input = self._container.attach_socket(params={"stdin": 1, "stream": 1})
            self._container.start()

    def stop(self) -> None:
        """End the loops, if they run."""
        from docker.errors import APIError, NotFound

        if self._input is not None:
            with contextlib.suppress(OSError):
                getattr(self._input, "_sock", self._input).close()  # docker-py wraps the socket in a SocketIO
            self._input.close()
            self._input = None
        if self._container is not None:
            with contextlib.suppress(APIError):  # the engine also removes it (auto_remove)
                self._container.remove(force=True)
            with contextlib.suppress(NotFound):  # frees the name for the next board
                self._container.wait(condition="removed", timeout=END_TIMEOUT_S)
            self._container = None
        self._first.close()
