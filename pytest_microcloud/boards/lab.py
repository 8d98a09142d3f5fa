"""Reads the state of many boards at once, without starting, measuring, locking or changing anything."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytest_microcloud.boards import facts, health, identity, preflight
from pytest_microcloud.boards.drivers.protocol import DriverContext
from pytest_microcloud.boards.link import CONNECT_TIMEOUT_S, Link
from pytest_microcloud.boards.lock import Holder, holder_of
from pytest_microcloud.boards.vitals import VitalsReader
from pytest_microcloud.controller import engine
from pytest_microcloud.controller.workspace import Workspace, new_run_id
from pytest_microcloud.errors import BoardError, WrongBoard

if TYPE_CHECKING:
    from docker import DockerClient

    from pytest_microcloud.boards.drivers.protocol import Driver
    from pytest_microcloud.boards.drivers.registration import Registration
    from pytest_microcloud.catalog import Catalog
    from pytest_microcloud.inventory.target import Target

DEADLINE_S = 60.0
"""Time for a board to report its state. All boards are asked at once."""

REMEDIES = {
    "undervoltage": "use another power supply or cable, then reboot it",
    "throttled": "check its cooling and its power supply, then reboot it",
    "temperature": "cool it",
}


@dataclass
class State:
    """Whether a board can be used now, and what is known about it; None means unknown.

    `problems` are the reasons why the board is unfit for a session. `reachable` is None if no connection was
    tried, and `right_model` is None if the hardware was not recognised. `what` describes a board that this
    session cannot log in to.
    """

    board: str
    model: str
    out_of_service: str | None = None
    what: str = ""
    holder: Holder | None = None
    reachable: bool | None = None
    right_model: bool | None = None
    os_release: str | None = None
    temperature_c: float | None = None
    throttled: bool | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The state in a few words, such as "in use"."""
        if self.out_of_service is not None:
            return "out of service"
        if self.problems:
            return "unfit"
        if self.holder is not None:
            return "in use"
        return self.what or "free"

    def as_dict(self) -> dict[str, Any]:
        """Return the state as a dict of plain values; docs/fleet.md describes the keys."""
        holder = self.holder
        return {
            "board": self.board,
            "model": self.model,
            "state": self.state,
            "fit": not self.problems,
            "problems": self.problems,
            "out_of_service": self.out_of_service,
            "reachable": self.reachable,
            "right_model": self.right_model,
            "os_release": self.os_release,
            "temperature_c": self.temperature_c,
            "throttled_since_boot": self.throttled,
            "holder": holder
            and {
                "who": holder.who,
                "run": holder.run_id,
                "since": datetime.fromtimestamp(holder.since, UTC).isoformat(timespec="seconds"),
                "purpose": holder.purpose or None,
                "cleaning_up": holder.tidying,
            },
        }


def states(targets: Sequence[Target], catalog: Catalog, drivers: Mapping[str, Registration]) -> list[State]:
    """Return the state of each board. Raises OSError if the workspace cannot be created."""
    workspace = Workspace(new_run_id())
    workspace.open()
    with ExitStack() as stack:
        stack.callback(workspace.close)
        host_engine = stack.enter_context(_one_engine())
        known = [State(target.name, target.model, target.out_of_service) for target in targets]
        threads = []
        for number, (target, state) in enumerate(zip(targets, known, strict=True)):
            context = DriverContext(
                target,
                catalog.model(target.model),
                workspace.run_id,
                workspace.path,
                tuple(catalog.workloads.values()),
                lambda _: None,
                host_engine,
            )
            link = Link(target.name, number, workspace.path)
            stack.callback(link.close)
            arguments = (state, drivers[target.driver], context, link)
            threads.append(threading.Thread(target=_fill_in, args=arguments, daemon=True))
            threads[-1].start()
        deadline = time.monotonic() + DEADLINE_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return [_in_time(state, thread) for state, thread in zip(known, threads, strict=True)]


def _in_time(known: State, thread: threading.Thread) -> State:
    late = [f"did not report its state within {DEADLINE_S:.0f} s"] if thread.is_alive() else []
    return replace(known, problems=[*known.problems, *late])


def _fill_in(known: State, driver: Registration, context: DriverContext, link: Link) -> None:
    """Read a board's state and store it in `known`. The thread that opened the connection also closes it."""
    try:
        if known.out_of_service is None:
            with _noted(known):
                _ask(known, driver.make(context), context, link)
    finally:
        link.close()


def _ask(known: State, driver: Driver, context: DriverContext, link: Link) -> None:
    found = driver.find()
    if found.endpoint is None:
        known.what, known.holder = found.what, found.holder
        return
    known.reachable = False
    link.open(found.endpoint, timeout_s=CONNECT_TIMEOUT_S, again=False)
    link.run("true")  # raises LoginRejected if the login cannot run commands
    known.reachable = True
    with _noted(known):
        known.holder = holder_of(link)
    if known.holder is None:  # a measurement may keep a held board's engine busy
        with _noted(known):
            preflight.check(link)
    with _noted(known):
        _identify(known, driver, context, link)
    with _noted(known), VitalsReader(link) as reader:
        seen = reader.whole()
        known.temperature_c = seen.temperature_c
        findings = health.standing(seen)
        if seen.throttled is not None:
            known.throttled = any(finding.symptom in ("undervoltage", "throttled") for finding in findings)
        known.problems += [f"{finding.what}: {REMEDIES[finding.symptom]}" for finding in findings]


def _identify(known: State, driver: Driver, context: DriverContext, link: Link) -> None:
    read = facts.read(link, hardware=driver.own_hardware, engine=False)
    known.os_release = read.os_release
    if read.identity is None:
        return
    known.right_model = True
    try:
        identity.check(context.target, context.model, read.identity)
    except WrongBoard:
        known.right_model = False
        raise


@contextmanager
def _noted(known: State) -> Iterator[None]:
    """Add an error in this context to `known.problems` instead of raising it."""
    try:
        yield
    except BoardError as error:
        if error.what not in known.problems:
            known.problems.append(error.what)
    except Exception as error:  # the other boards must still be shown
        known.problems.append(f"its state could not be read: {error!r}")


@contextmanager
def _one_engine() -> Iterator[Callable[[], DockerClient]]:
    """Yield a function that returns this machine's engine. All calls return the same client."""
    lock, engines = threading.Lock(), ExitStack()
    known: list[DockerClient] = []

    def host_engine() -> DockerClient:
        with lock:
            if not known:
                known.append(engines.enter_context(contextlib.closing(engine.host_engine())))
            return known[0]

    with engines:
        yield host_engine
