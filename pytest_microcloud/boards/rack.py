"""All boards of a session: powered on when first needed, and released together."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_microcloud.boards import free
from pytest_microcloud.boards.drivers.protocol import DriverContext
from pytest_microcloud.controller import engine, images, lease, leftovers, turns
from pytest_microcloud.controller.progress import Progress, Steps
from pytest_microcloud.controller.workspace import Workspace, remove_abandoned
from pytest_microcloud.errors import BoardError, EngineError

if TYPE_CHECKING:
    from docker import DockerClient

    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.boards.drivers.protocol import Driver
    from pytest_microcloud.boards.drivers.registration import Registration
    from pytest_microcloud.boards.link import Link
    from pytest_microcloud.catalog import BoardModel, Catalog
    from pytest_microcloud.controller.tethered import Tethered
    from pytest_microcloud.inventory.target import Target


THREADS = 32
"""Largest number of boards that are reserved at once."""
FRESH_S = 2.0
"""How long a board counts as healthy after a check."""


class Rack:
    """The boards of the selected targets, by name. `drivers` maps names to the registered drivers.

    With `keep`, emulated boards are left running for the next run. `wait_s` is how long to wait for a board
    that another session uses (s). `tools` maps each program that experiments run on a board to its Debian
    package. `gateway` is the site on whose gateway this process runs; empty on the controller. `purpose` says
    what this session uses the boards for; other sessions that need one of the boards show it.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        catalog: Catalog,
        drivers: Mapping[str, Registration],
        workspace: Workspace,
        progress: Progress,
        *,
        keep: bool = False,
        wait_s: float = 0.0,
        tools: Mapping[str, str] | None = None,
        gateway: str = "",
        purpose: str = "",
    ) -> None:
        self.targets: Mapping[str, Target] = {target.name: target for target in targets}
        self.catalog = catalog
        self._drivers = drivers
        self.workspace = workspace
        self._progress = progress
        self._keep = keep
        self._wait_s = wait_s
        self._tools = tools
        self._gateway = gateway
        self.purpose = purpose
        self._numbers = itertools.count()
        self._reserved: dict[str, Board] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._boards: dict[str, Board] = {}
        self._broken: dict[str, str] = {}
        self._seen_at_s: dict[str, float] = {}
        self._original: dict[str, dict[str, Any]] = {}
        self._exchanged: set[str] = set()
        self._engine: DockerClient | None = None
        self._lease: Tethered | None = None
        self.not_cleaned_up: list[str] = []
        """Messages about everything that `close` could not clean up."""

    @property
    def boards(self) -> Mapping[str, Board]:
        """The boards that are up, by name."""
        return self._boards

    def narrow(self, names: Collection[str]) -> None:
        """Limit this rack to the boards with these names."""
        self.targets = {name: target for name, target in self.targets.items() if name in names}

    def reserve(self, count: int, say: Callable[[str], None]) -> dict[str, str]:
        """Use only `count` free boards, and take their locks now. If fewer are free, use none.

        Return a dict from the boards that are not free to the reasons. Raises OSError.
        """
        self.workspace.open()
        remove_abandoned()
        boards = [self._new(target) for target in self.targets.values()]
        self._threads = ThreadPoolExecutor(THREADS)
        taken, reasons = free.take(boards, count, threads=self._threads, wait_s=self._wait_s, say=say)
        self._reserved = {board.name: board for board in taken}
        self.narrow(list(self._reserved))
        return reasons

    def release_taken_over(self) -> None:
        """Disconnect from the reserved boards that other processes of this run have taken over."""
        for name, board in list(self._reserved.items()):
            if board.is_taken_over:
                del self._reserved[name]
                with self._warned(name):
                    board.cancel()

    def board(self, name: str) -> Board:
        """Return a board, after powering it on or recovering it if needed.

        A board that failed once is not tried again. Raises BoardError.
        """
        if name in self._broken:
            raise BoardError(name, self._broken[name])
        if name not in self._boards:
            try:
                self._boards[name] = self._power_on(self.targets[name])
            except BoardError as error:
                self._broken[name] = error.what
                raise
            except OSError as error:
                self._broken[name] = f"could not be started: {error}"
                raise BoardError(name, self._broken[name]) from error
            except Exception as error:
                self._broken[name] = f"could not be started: {error!r}"
                raise
        elif time.monotonic() > self._seen_at_s[name] + FRESH_S and (trouble := self._boards[name].trouble()):
            self._revive(name, trouble)
        self._seen_at_s[name] = time.monotonic()
        return self._boards[name]

    def diagnose(self, name: str) -> str:
        """Return what happened to a board on which a test failed; an empty string if the cause is not known.

        A lost board is recovered first if possible.
        """
        board = self._boards.get(name)
        if board is None or name in self._broken:
            return ""
        boot = board.booted
        try:
            if trouble := board.trouble():
                self._revive(name, trouble)
            happened = "rebooted by itself" if board.booted != boot else board.logs.cause()
        except BoardError as error:
            return error.what
        except Exception as error:  # the test's own failure must be reported in any case
            return f"could not be diagnosed: {error!r}"
        return happened or (f"was lost temporarily ({trouble})" if trouble else "")

    def reboot(self, name: str, why: str) -> None:
        """Reboot a board that is up. A board that fails is not tried again. Raises BoardError."""
        board = self.board(name)
        self._progress.announce(name, f"reboots: {why}")
        with self._lost(name, "did not reboot"):
            board.reboot_and_settle()

    def original(self, name: str) -> Mapping[str, Any]:
        """Return the `Driver.made_of` of a board at power-on, before its image was exchanged."""
        return self._original[name]

    def check_exchange(self, name: str, made_of: Mapping[str, Any]) -> None:
        """Raise BoardError with the reason if a board cannot boot the image that `made_of` describes."""
        self.board(name).driver.like(made_of)

    def exchange(self, name: str, made_of: Mapping[str, Any], why: str) -> None:
        """Boot the image that `made_of` describes (see `Driver.made_of`) on a board that is up.

        A board that fails is not tried again. Raises BoardError.
        """
        board = self.board(name)
        self._progress.announce(name, f"boots another image: {why}")
        with self._lost(name, "could not boot another image"):
            self._exchange(board, made_of)

    def _exchange(self, board: Board, made_of: Mapping[str, Any]) -> None:
        variables = {**board.target.variables, **board.driver.like(made_of)}
        target = dataclasses.replace(board.target, variables=variables)
        self._exchanged.add(board.name)
        board.exchange(self._driver(target, board.model, Steps(self._progress, board.name), board.link))
        if made_of == self._original[board.name]:
            self._exchanged.discard(board.name)
        self._seen_at_s[board.name] = time.monotonic()

    @contextmanager
    def _lost(self, name: str, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._broken[name] = f"{what}: {error.what if isinstance(error, BoardError) else error}"
            raise BoardError(name, self._broken[name]) from error

    def _revive(self, name: str, trouble: str) -> None:
        self._progress.announce(name, f"{trouble}: trying to recover the board")
        try:
            self._boards[name].revive()
        except Exception as error:  # even if it is not a BoardError: the other boards continue
            what = error.what if isinstance(error, BoardError) else error
            self._broken[name] = f"was lost ({trouble}) and does not come back: {what}"
            raise BoardError(name, self._broken[name]) from error

    def host_engine(self) -> DockerClient:
        """Return the host's engine; on the first call, remove leftovers of killed runs and take a lease."""
        if self._engine is None:
            self._engine = engine.host_engine()
        if self._lease is None:
            engine.must_be_here(self._engine)
            announce = Steps(self._progress, "this machine").announce
            cleaned = leftovers.clean(self._engine)
            for thing in cleaned.removed:
                announce(f"removed {thing} of a killed run")
            for thing in cleaned.remaining:
                announce(f"could not remove what a killed run left: {thing}")
            with turns.alone(announce):
                base = images.base(self._engine, images.WORKLOAD_SUITE, announce)
            self._lease = lease.take(self._engine, base, self.workspace.run_id)
        return self._engine

    def close(self) -> None:
        """Release all boards, whatever their state, and remove the workspace. Failures become warnings."""
        boards, self._boards = self._boards, {}
        reserved, self._reserved = self._reserved, {}
        host, self._engine = self._engine, None
        try:
            for board in reserved.values():
                with self._warned(board.name):
                    board.cancel()
            for board in boards.values():
                if board.name in self._exchanged and not board.driver.disposable:
                    with self._warned(board.name):
                        self._progress.announce(board.name, "boots its original image")
                        self._exchange(board, self._original[board.name])
                with self._warned(board.name):
                    board.power_off(keep=self._keep)
            if host is not None:
                with self._warned("this machine"):
                    if remaining := leftovers.clean(host, self.workspace.run_id).remaining:
                        raise EngineError("this machine", "; ".join(remaining))
                held, self._lease = self._lease, None
                if held is not None:
                    with self._warned("this machine"):
                        held.end()
        finally:
            if host is not None:
                host.close()
            if self._threads is not None:
                self._threads.shutdown()
            self.workspace.close()

    @contextmanager
    def _warned(self, board: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            what = error.what if isinstance(error, BoardError) else error
            self.not_cleaned_up.append(f"{board}: not cleaned up: {what} (the next run tries again)")
            self._progress.announce(board, self.not_cleaned_up[-1].partition(": ")[2])

    def _power_on(self, target: Target) -> Board:
        self.workspace.open()
        remove_abandoned()
        board = self._reserved.pop(target.name, None) or self._new(target)
        steps = Steps(self._progress, target.name)
        steps.announce("powering on" if board.driver.boot_timeout_s else "connecting")
        try:
            board.power_on(wait=bool(self._boards))
        except BaseException:
            with self._warned(board.name):
                board.power_off()
            raise
        self._original[target.name] = board.driver.made_of()
        return board

    def _new(self, target: Target) -> Board:
        model = self.catalog.model(target.model)
        steps = Steps(self._progress, target.name)
        return self._drivers[target.driver].board(
            target,
            model,
            self._driver(target, model, steps),
            self.workspace.run_id,
            next(self._numbers),
            self.workspace.path,
            steps,
            wait_s=self._wait_s,
            tools=self._tools,
            purpose=self.purpose,
        )

    def _driver(self, target: Target, model: BoardModel, steps: Steps, over: Link | None = None) -> Driver:
        """Return a new driver for a target. `over` is the same as in `DriverContext`."""
        context = DriverContext(
            target,
            model,
            self.workspace.run_id,
            self.workspace.path,
            tuple(self.catalog.workloads.values()),
            steps.announce,
            self.host_engine,
            over,
            self._gateway,
        )
        return self._drivers[target.driver].make(context)
