"""A board: a host that a run reaches over one SSH connection, locks for itself, and restores at the end."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_microcloud.boards import control, facts, health, host_share, identity, install, preflight
from pytest_microcloud.boards.link import CONNECT_TIMEOUT_S, Link
from pytest_microcloud.boards.lock import Lock, holder_of
from pytest_microcloud.boards.logs import Logs
from pytest_microcloud.boards.undo import Ledger
from pytest_microcloud.controller import turns
from pytest_microcloud.controller.engine import explained
from pytest_microcloud.errors import (
    BoardError,
    DeadlineExceeded,
    EngineError,
    HostKeyChanged,
    HostKeyUnknown,
    LinkError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient

    from pytest_microcloud.boards.drivers.protocol import Driver
    from pytest_microcloud.boards.facts import Facts
    from pytest_microcloud.boards.lock import Holder
    from pytest_microcloud.catalog import BoardModel
    from pytest_microcloud.controller.progress import Steps
    from pytest_microcloud.inventory.target import Target

BOOT_TIMEOUT_S = 300.0
ENGINE_TIMEOUT_S = 300.0
LOGIN_TIMEOUT_S = 15.0
"""Timeout of one login attempt after a reboot. A login on a slow board that is booting takes seconds."""
HOLDER_FIRST_S = 20.0
"""How long a waiting session leaves the lock free after a reboot, so that the last holder can retake it."""
RECOVERY_S = 120.0
"""Time for a lost board to come back by itself. It is enough for a slow board to reboot."""


@dataclass(frozen=True)
class Rebooted:
    """The times of a reboot.

    `ready_s` is the time of the first login on the board's clock. The clock of an emulated board starts at
    power-on, and the clock of a real board when its kernel starts. `ready_at_s` is the time of the same login
    on the controller's monotonic clock. `powered_on_at_s`, also on the controller's clock, is when a command
    restored the board's power; None if no command did.
    """

    ready_s: float
    ready_at_s: float
    powered_on_at_s: float | None


class Board:
    """One board of the inventory. `power_on` makes it ready for this run, and `power_off` restores it.

    `boot` counts the board's boots in this run, from 1, and `booted` identifies the current boot. `say` shows
    a progress message. `run_id` labels everything that is created on the board. `wait_s` is how
    long to wait for a board that another session uses (s). `tools` maps each program that experiments run on
    the board to its Debian package. `purpose` says what this session uses the board for; other sessions that
    need the board show it. `gaps` lists the aspects of the model that are not emulated. `unwatched` lists the
    aspects of the board's health that cannot be watched. `others` lists the running containers that no run
    created. `waited_s` is how long the board's measurements waited for free CPUs on this machine (s).
    """

    def __init__(
        self,
        target: Target,
        model: BoardModel,
        driver: Driver,
        run_id: str,
        number: int,
        directory: Path,
        steps: Steps,
        *,
        wait_s: float = 0.0,
        tools: Mapping[str, str] | None = None,
        purpose: str = "",
    ) -> None:
        self.target = target
        self.model = model
        self.driver = driver
        self.run_id = run_id
        self.say: Callable[[str], None] = steps.update
        self._announce = steps.announce
        self.link = Link(target.name, number, directory)
        self.lock = Lock(self.link, run_id, self._announce, purpose=purpose)
        self.ledger = Ledger(self.link)
        self.logs = Logs(self.link)
        self.boot = 0
        self.booted = ""
        self.facts: Facts
        self.gaps: tuple[str, ...] = ()
        self.unwatched: tuple[str, ...] = ()
        self.others: tuple[str, ...] = ()
        self.waited_s = 0.0
        self._wait_s = wait_s
        self._tools = dict(tools or {})

    @property
    def name(self) -> str:
        """The board's name in the inventory."""
        return self.target.name

    @property
    def address(self) -> str:
        """The address of the board's servers as seen from the controller."""
        return self.link.address

    def reach(self, port: int) -> tuple[str, int]:
        """Return the host and port through which the load generator reaches a port of the board."""
        return self.address, port

    @property
    def docker(self) -> DockerClient:
        """A docker-py client of the board's engine, connected over SSH (see `Link.docker`)."""
        return self.link.docker()

    def holder(self) -> Holder | None:
        """Connect, and return the session that uses the board; None if the board is free. Raises BoardError.

        The lock is not taken. A disposable board is always free, because it belongs to this session.
        """
        if self.driver.disposable:
            return None
        self._connect()
        return holder_of(self.link)

    def reserve(self) -> None:
        """Connect and take the lock, without waiting for another session. Raises BoardError."""
        if not self.driver.disposable:
            self._connect()
            self.lock.take()

    @property
    def is_taken_over(self) -> bool:
        """Whether another process of this run has taken over the lock of this reserved board."""
        return not self.driver.disposable and not self.lock.held

    def cancel(self) -> None:
        """Release a board that this process reserved but did not power on. Raises BoardError."""
        try:
            if self.lock.held:
                self.lock.release()
        finally:
            self.lock.drop()
            self.link.close()

    def _connect(self) -> None:
        if not self.link.is_open:
            self.link.open(self.driver.endpoint(), timeout_s=LOGIN_TIMEOUT_S, again=False)

    def power_on(self, *, wait: bool = False) -> None:
        """Boot the board (if `wait`, once CPUs are free), lock it, and read its facts. Raises BoardError."""
        self.driver.start()
        boot_s = self.driver.boot_timeout_s
        with self.turn(wait=wait):  # without, measurements wait for these CPUs, but the boot does not
            if not self.lock.held:  # a reserved board is locked already
                self.link.open(
                    self.driver.endpoint(), timeout_s=boot_s or CONNECT_TIMEOUT_S, again=boot_s > 0
                )
                self.link.run("true")  # raises LoginRejected if the login cannot run commands
                self._take_lock()
            self.settle(timeout_s=boot_s)
        identity.check(self.target, self.model, self.facts.identity)
        self.logs.begin()
        self._prepare()
        self.gaps = self.driver.gaps(self.link)
        self.unwatched, self.others = health.unwatched(self), health.others(self)

    def _take_lock(self) -> None:
        """Take the lock. Reconnect if the session that holds the lock reboots the board in the meantime."""
        deadline = time.monotonic() + self._wait_s
        while True:
            try:
                self.lock.take(wait_s=max(0.0, deadline - time.monotonic()))
                return
            except LinkError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(1)
                with contextlib.suppress(LinkError):
                    self.link.open(self.driver.endpoint(), timeout_s=LOGIN_TIMEOUT_S, again=False)
                    time.sleep(min(HOLDER_FIRST_S, max(0.0, deadline - time.monotonic())))

    def _prepare(self) -> None:
        """Create the board's ledger of changes, and install missing tools if the inventory allows it."""
        self.ledger.open()
        if self.target.install:
            install.install(self.link, self._tools, self.ledger, self.say)

    @contextlib.contextmanager
    def turn(self, *, wait: bool = True) -> Iterator[None]:
        """Reserve this machine's CPUs (see `host_share.of_measurement`) for a measurement in this context."""
        with turns.turn(host_share.of_measurement(self.driver), self.say, wait=wait) as waited_s:
            self.waited_s += waited_s
            self.driver.before_measurement()
            yield

    @contextlib.contextmanager
    def load_turn(self) -> Iterator[None]:
        """Reserve this machine's CPUs (see `host_share.of_load`) for generating load in this context."""
        with turns.turn(host_share.of_load(self.driver, self.model, self.address), self.say) as waited_s:
            self.waited_s += waited_s
            yield

    def need(self, *programs: str) -> None:
        """Raise ToolMissing if one of these programs is not on the board.

        The error names the program's Debian package, as stated in `tools`.
        """
        preflight.need(self.link, {program: self._tools.get(program, program) for program in programs})

    def undo(self, command: str) -> str:
        """Record in the board's ledger the shell command that reverts a change, before the change is made.

        The command runs as root when the board is released, or later if this process is killed or the board
        loses its power. It must be safe to run more than once. Returns the number under which the ledger
        keeps the command, for `revert`. Raises BoardError.
        """
        return self.ledger.note(command)

    def revert(self, note: str) -> None:
        """Run now the command that `undo` recorded under the number `note`. Raises BoardError."""
        self.ledger.revert(note)

    def watch(self, expected: Collection[str] = ()) -> AbstractContextManager[health.Watching]:
        """Return a context manager that watches the board's health during a measurement.

        `expected` are the symptoms that the experiment causes itself. See `health.Watch`.
        """
        return health.Watch(self, expected)

    def read_control(self) -> control.Reading:
        """Wait for free CPUs on this machine, then time the loads of the control. Raises BoardError."""
        self.say("control")
        with self.turn(), health.Watch(self, settle_s=control.SETTLE_S) as watch:
            reading = control.run(self.link, self.ledger)
        return dataclasses.replace(reading, doubts=tuple(watch.verdict()))

    def reboot(self) -> Rebooted:
        """Reboot, and return as soon as a user can log in. Raises BoardError if the boot takes too long."""
        before = self.booted = facts.boot_identity(self.link)
        return self._come_up(before, self.driver.reboot(self.link))

    def reboot_and_settle(self) -> None:
        """Reboot, wait for the engine and read the facts of the new boot. Raises BoardError."""
        with self.turn():
            self.reboot()
            self.settle()
        self.logs.begin()

    def exchange(self, driver: Driver) -> None:
        """Stop the current driver, and boot the board with `driver` and its OS image. Raises BoardError."""
        before = self.booted
        with contextlib.suppress(BoardError):  # a badly flashed board may be unreachable
            before = facts.boot_identity(self.link)
        self.driver.stop()
        self.driver = driver
        driver.start()
        with self.turn():
            self._come_up(before, None)
            self.settle()
        self.logs.begin()
        self._prepare()

    def _come_up(self, before: str, powered_on_at_s: float | None) -> Rebooted:
        down_at_s = time.monotonic()
        rebooted = None
        while rebooted is None and time.monotonic() < down_at_s + BOOT_TIMEOUT_S:
            with _errors_of_booting_ignored():
                # The first timeouts are short, because a login during the shutdown hangs. Later timeouts are
                # longer, because a login on a slow board that is booting takes seconds.
                timeout_s = min(LOGIN_TIMEOUT_S, 2 + (time.monotonic() - down_at_s) / 2)
                self.link.open(self.driver.endpoint(), timeout_s=timeout_s, again=False)
                ready_at_s = time.monotonic()
                self.booted = facts.boot_identity(self.link)
                if self.booted != before:
                    ready_s = ready_at_s + self._clock_offset_s() - self.driver.power_on_uptime_s(self.link)
                    rebooted = Rebooted(ready_s, ready_at_s, powered_on_at_s)
            time.sleep(0.05)
        if rebooted is None:
            with contextlib.suppress(BoardError):  # the old boot may still be up: retake its lock
                self.lock.take(leave=True)
            raise LinkError(
                self.name,
                f"did not come back within {BOOT_TIMEOUT_S:.0f} s of a reboot: check its power, its network "
                "and its console",
            )
        self.boot += 1
        self.lock.take(leave=True)
        return rebooted

    def _clock_offset_s(self) -> float:
        """Return the board's uptime minus the controller's monotonic clock, accurate to half a round trip."""
        asked = time.monotonic()
        uptime = float(self.link.run("cat /proc/uptime").stdout.split()[0])
        return uptime - (asked + time.monotonic()) / 2

    def trouble(self) -> str:
        """Return what is wrong with a board that was up before; an empty string if nothing is wrong."""
        if failure := self.driver.failure():
            return failure
        try:
            if facts.boot_identity(self.link) != self.booted:
                return "rebooted by itself"
            with explained(self.name, "its engine does not answer"):
                self.docker.ping()
        except BoardError as error:
            return error.what
        return "" if self.lock.held else "its lock was broken"

    def revive(self) -> None:
        """Recover a lost board, and revert the changes on it. Raises BoardError.

        Waits for the board to come back by itself. If the board does not come back and its driver can cut the
        power, the driver cuts and restores the power once.
        """
        try:
            if failure := self.driver.failure():
                raise EngineError(self.name, failure)
            self.reconnect(RECOVERY_S)
        except (LinkError, EngineError, DeadlineExceeded):
            if not self.driver.cuts_power:
                raise
            self._announce("does not come back: cutting and restoring its power")
            self.driver.cut_power()
            self.reconnect(BOOT_TIMEOUT_S)

    def reconnect(self, timeout_s: float, *, leave: bool = False) -> None:
        """Reconnect, retake the lock, and revert the changes unless `leave` is true. Raises BoardError."""
        deadline = time.monotonic() + timeout_s
        before = self.booted
        while True:
            try:  # repeat all steps: a board that is shutting down may still respond to the first ones
                self.link.open(self.driver.endpoint(), timeout_s=LOGIN_TIMEOUT_S, again=False)
                self.lock.take(leave=leave)
                self.settle(timeout_s=LOGIN_TIMEOUT_S)
                break
            except (LinkError, EngineError, DeadlineExceeded):
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
        self.boot += self.booted != before
        if not leave:
            self._prepare()

    def power_off(self, *, keep: bool = False) -> None:
        """Revert all changes on the board and release it; with `keep`, leave it running for the next run.

        Raises BoardError if a change could not be reverted.
        """
        stays = keep or not self.driver.disposable
        try:
            if stays:
                self.lock.release()
        finally:
            self.lock.drop()
            try:
                self.link.close()
            finally:
                self.driver.stop(keep=keep)

    def settle(self, *, timeout_s: float = ENGINE_TIMEOUT_S) -> None:
        """Wait until the board's engine responds, and read the facts of the current boot."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                preflight.check(self.link)
                self.facts = facts.read(self.link, hardware=self.driver.own_hardware)
                break
            except BoardError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        self.booted = self.facts.boot
        self.boot = max(self.boot, 1)


@contextlib.contextmanager
def _errors_of_booting_ignored() -> Iterator[None]:
    """Ignore errors while a board boots, except host key errors, which waiting does not resolve."""
    try:
        yield
    except (HostKeyChanged, HostKeyUnknown):
        raise
    except BoardError:
        pass
