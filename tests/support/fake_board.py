"""The conftest.py of projects with fake boards: nothing is connected, and every step is recorded.

The session, the rack and the `ssh` driver are the real ones. A board's operating system is the image that its
inventory line names. Its lock is a file in the project.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_microcloud import Board, BoardError, Driver, SshDriver
from pytest_microcloud.boards.control import Reading
from pytest_microcloud.boards.facts import Facts
from pytest_microcloud.boards.lock import Holder
from pytest_microcloud.boards.logs import Logs
from pytest_microcloud.errors import BoardBusy

if TYPE_CHECKING:
    from pytest_microcloud.registry import Registry

DONE = Path("done")
CONTROL = Path("control.json")
"""By board, how much slower the loads of each reading of the control are, or null where it cannot be read."""
LOADS = {"cpu": 0.01, "memory": 0.005, "disk": 0.1, "loopback": 0.02}
BROKEN = Path("broken")
"""Names a step that fails, such as `desk boots`."""


class FakeLogs(Logs):
    """The logs of a board to which nothing happens."""

    def log(self) -> str:
        return "nothing happened"

    def cause(self) -> str:
        return ""


class FakeWatch:
    """A watch that finds what it is given."""

    def __init__(self, found: list[str]) -> None:
        self._found = found

    def verdict(self) -> list[str]:
        return self._found


class FakeBoard(Board):
    """A board that is up at once. `findings` are those of the next measurements' watches, on any board."""

    findings: list[list[str]] = []  # noqa: RUF012 - shared by all boards

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logs = FakeLogs(self.link)
        self._boots = 0
        self._reads = 0
        self._lock = Path(f"{self.name}.lock")

    def holder(self) -> Holder | None:
        self._do("seen")
        return self._holder() if self._lock.exists() else None

    def reserve(self) -> None:
        try:
            with self._lock.open("x") as file:
                file.write(self.run_id)
        except FileExistsError:
            raise BoardBusy(self.name, f"is in use by {self._holder()}") from None
        self._do("reserved")

    def _holder(self) -> Holder:
        return Holder(time.time(), False, self._lock.read_text(), self.name, "anna@lab", "pytest suites/")

    @property
    def is_taken_over(self) -> bool:
        return False

    def cancel(self) -> None:
        if self._lock.exists() and self._lock.read_text() == self.run_id:
            self._lock.unlink()
            self._do("cancelled")

    def power_on(self, *, wait: bool = False) -> None:
        self.boot = 1
        self._boot("on")

    def reboot_and_settle(self) -> None:
        self._boot("boots")

    def exchange(self, driver: Driver) -> None:
        self.driver = driver
        self._boot(f"is {driver.made_of()['image']}")

    def power_off(self, *, keep: bool = False) -> None:
        self._do("off")
        self.cancel()

    def trouble(self) -> str:
        return ""

    def watch(self, expected: Collection[str] = ()) -> AbstractContextManager[FakeWatch]:
        return nullcontext(FakeWatch(self.findings.pop(0) if self.findings else []))

    def read_control(self) -> Reading:
        slower = json.loads(CONTROL.read_text()).get(self.name, [1, 1]) if CONTROL.exists() else [1, 1]
        self._reads += 1
        factor = slower[(self._reads - 1) % len(slower)]
        if factor is None:
            raise BoardError(self.name, "stays dark")
        return Reading({load: time_s * factor for load, time_s in LOADS.items()}, {})

    def _boot(self, step: str) -> None:
        self._boots += 1
        self.booted = f"boot {self._boots}"
        image = self.driver.made_of().get("image", "Raspbian")
        self.facts = Facts(image, "6.1", "aarch64", 4, 10**9, "b", "27.1", "overlay2", "2")
        self._do(step)

    def _do(self, step: str) -> None:
        step = f"{self.name} {step}"
        with DONE.open("a") as file:
            file.write(f"{step}\n")
        if BROKEN.exists() and step in BROKEN.read_text():
            raise BoardError(self.name, "stays dark")


def pytest_microcloud_register(registry: Registry) -> None:
    registry.driver("fake", SshDriver, board=FakeBoard)
