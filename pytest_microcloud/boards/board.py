"""A board: a live target, reached over its one link."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_microcloud.boards import facts
from pytest_microcloud.boards.link import CONNECT_TIMEOUT_S, Link
from pytest_microcloud.errors import BoardError, LinkError

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient

    from pytest_microcloud.boards.drivers.protocol import Driver
    from pytest_microcloud.boards.facts import Facts
    from pytest_microcloud.catalog import BoardModel
    from pytest_microcloud.inventory import Target

BOOT_TIMEOUT_S = 600.0
ENGINE_TIMEOUT_S = 300.0
LOGIN_TIMEOUT_S = 15.0
"""Of one try after a reboot: a slow board that still boots takes seconds for a login."""


@dataclass(frozen=True)
class Rebooted:
    """What a reboot took.

    `ready_s` is in board time since power-on, `ready_at_s` on the controller's monotonic clock.
    """

    ready_s: float
    ready_at_s: float


class Board:
    """One board of the inventory, powered on. `boot` counts its power-ons in this run, from 1.

    `say` shows a line of progress to whoever waits; `run_id` is the label of what is created on the board.
    """

    def __init__(
        self,
        target: Target,
        model: BoardModel,
        driver: Driver,
        run_id: str,
        number: int,
        directory: Path,
        say: Callable[[str], None],
    ) -> None:
        self.target = target
        self.model = model
        self.driver = driver
        self.run_id = run_id
        self.say = say
        self.link = Link(target.name, number, directory)
        self.boot = 0
        self.facts: Facts
        self.gaps: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The board's name in the inventory."""
        return self.target.name

    @property
    def address(self) -> str:
        """Where the board's servers are reached from the controller."""
        return self.link.address

    @property
    def docker(self) -> DockerClient:
        """docker-py's client of the board's own engine, over the link."""
        return self.link.docker()

    def power_on(self) -> None:
        """Bring the board up, connect, wait for its engine, and learn its facts. Raises BoardError."""
        self.driver.start()
        boot_s = self.driver.boot_timeout_s
        self.link.open(self.driver.endpoint(), timeout_s=boot_s or CONNECT_TIMEOUT_S, again=boot_s > 0)
        self.settle(timeout_s=boot_s)
        self.gaps = self.driver.gaps(self.link)

    def reboot(self) -> Rebooted:
        """Boot anew and return when a user can log in. Raises BoardError when no new boot is seen in time."""
        before = facts.boot_identity(self.link)
        self.driver.power_cycle(self.link)
        down_at = time.monotonic()
        while time.monotonic() < down_at + BOOT_TIMEOUT_S:
            with contextlib.suppress(BoardError):
                # A login that the old boot took with it hangs; one that the new boot is slow at needs time.
                patience_s = min(LOGIN_TIMEOUT_S, 2 + (time.monotonic() - down_at) / 2)
                self.link.open(self.driver.endpoint(), timeout_s=patience_s, again=False)
                ready_at_s = time.monotonic()
                if facts.boot_identity(self.link) != before:
                    self.boot += 1
                    return Rebooted(
                        ready_at_s + self._clock_offset_s() - self.driver.power_on_uptime_s(self.link),
                        ready_at_s,
                    )
            time.sleep(0.05)
        raise LinkError(self.name, f"did not come back within {BOOT_TIMEOUT_S:.0f} s of a reboot")

    def _clock_offset_s(self) -> float:
        """Return the board's uptime less the controller's monotonic clock, within half a call."""
        asked = time.monotonic()
        uptime = float(self.link.run("cat /proc/uptime").stdout.split()[0])
        return uptime - (asked + time.monotonic()) / 2

    def power_off(self, *, keep: bool = False) -> None:
        """Disconnect and give the board up, or with `keep` hand it over to the next run."""
        try:
            self.link.close()
        finally:
            self.driver.stop(keep=keep)

    def settle(self, *, timeout_s: float = ENGINE_TIMEOUT_S) -> None:
        """Wait until the board's engine answers, and learn the facts of this boot."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.facts = facts.read(self.link)
                break
            except BoardError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        self.boot = max(self.boot, 1)
