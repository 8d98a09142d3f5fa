"""Keeps the host's CPUs awake while a board is emulated.

In each period of the CPU quota, an emulated board computes until the quota is used up, and then pauses. In a
pause, the host's CPU may enter a sleep state. When it wakes up, its caches are empty and its clock is slow,
especially on a virtual host with neighbours. Therefore the board's speed varies: 7-Zip's rating scatters by
8 % instead of 2 %. To prevent this, a separate container runs a busy loop at the lowest priority on each CPU.
The container ends when its standard input closes, which happens at the latest when this process ends.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pytest_microcloud.controller import tethered, turns
from pytest_microcloud.controller.engine import explained
from pytest_microcloud.controller.tethered import Tethered

if TYPE_CHECKING:
    from docker import DockerClient

LOOPS = """
for cpu in $(seq 0 $(($1 - 1))); do
  taskset -c "$cpu" chrt --idle 0 sh -c 'while :; do :; done' &
done
exec cat >/dev/null
"""
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
        self._loops: Tethered | None = None

    def start(self) -> None:
        """Start the loops unless this board or another board already runs loops. Raises EngineError."""
        if self._loops is not None:
            return
        if not self._first.enter_context(turns.first_to_keep_awake()):
            self._first.close()
            return
        with explained("this machine", "keeping its CPUs awake"):
            self._loops = Tethered(
                tethered.create(
                    self._engine,
                    self._image,
                    ["-c", LOOPS, "awake", str(CPUS)],
                    name=self._name,
                    run_id=self._run_id,
                    cpu_shares=LEAST_SHARES,
                )
            )

    def stop(self) -> None:
        """End the loops, if they run."""
        if self._loops is not None:
            self._loops.end()
            self._loops = None
        self._first.close()
