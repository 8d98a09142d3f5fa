"""Hosting capability (the paper, section 4.II): containers one at a time, until memory runs short."""

from __future__ import annotations

import math
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_microcloud.boards.gauge import Gauge, Reading
from pytest_microcloud.boards.logs import Evidence
from pytest_microcloud.controller.engine import RUN_LABEL, explained
from pytest_microcloud.errors import BoardError, InvalidMeasurement
from pytest_microcloud.experiments.deploy import afterwards, published_port
from pytest_microcloud.experiments.probe import answers, wait_until_ready
from pytest_microcloud.experiments.record import Axis, Step, shipped
from pytest_microcloud.measurement import Measurement

if TYPE_CHECKING:
    from docker.models.containers import Container

    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.experiments.deploy import Deployment

THRESHOLD_BYTES = 50_000_000
"""Memory that stays free for applications and operating system: the paper's 50 MB. A start alone takes nearly
as much for a moment, and a board with none left reads its programs from the card again and again."""
FEWEST_TO_PROJECT = 5
"""Containers from which memory is projected at the least; the first ones also fill caches."""
ASKING_AGAIN_S = 300.0
"""What a full board gets to answer for all its containers; those that are not asked in it count as silent."""
REMOVERS = 4
RECOVERY_S = 60.0
DAEMONS = """cat /proc/[0-9]*/stat 2>/dev/null | awk '$2 == "(dockerd)" { print $1, $22 }'"""

RESERVED_BYTES = 150e6
"""Memory that system, engine and the threshold take, roughly."""
REMOVING = 1.4
"""How much longer a filling takes with the removal of its containers."""


def _estimate(step: Step) -> float:
    workload = step.catalog.workloads.get(str(step.parameters.get("workload")))
    if workload is None or not workload.built_here:
        return 0.0
    room = max(0.0, step.model.mem_total_bytes - RESERVED_BYTES) / workload.typical_memory_bytes
    start_s = workload.typical_start_s * step.slowness + 0.5
    filling_s = min(room * start_s, step.effort.filling_seconds + FEWEST_TO_PROJECT * start_s)
    return filling_s * step.effort.fillings * REMOVING


HOSTING = shipped(
    "hosting",
    axes={"workload": Axis(lambda _, catalog: list(catalog.workloads))},
    # Memory is filled until it runs short, and a board that falls over is a result.
    tolerates=("oom", "swap", "lost"),
    estimate=_estimate,
)


@dataclass
class _Filling:
    """What one filling saw, container by container, in the order in which they were started."""

    hosted: list[tuple[Container, int | None]] = field(default_factory=list)
    memory_bytes: list[float] = field(default_factory=list)
    disk_bytes: list[float] = field(default_factory=list)
    start_s: list[float] = field(default_factory=list)
    ready_s: list[float] = field(default_factory=list)
    swapped_pages: list[float] = field(default_factory=list)
    fell_over: bool = False
    ends_at_s: float = math.inf
    most: float = math.inf
    projected: int = 0
    ended: str = ""


def fill(
    deployment: Deployment, *, at_most: float = math.inf, at_most_s: float = math.inf
) -> list[Measurement]:
    """Start containers until another one would leave less than 50 MB; then ask each one again.

    Gives the number that answered, and a sample a container of memory, disk, start time and response time. A
    board that falls over ends the filling: that is a result, and `reason` tells it. A filling that has
    `at_most` containers, or takes longer than `at_most_s`, is cut short, and the number is projected from the
    memory that each container took: `reason` and the label `basis` say so.
    Raises InvalidMeasurement if it was the connection that ended it, and the board was well.
    """
    board, name = deployment.board, deployment.workload.id
    evidence, daemons = Evidence(board.link), _daemons(board)
    evidence.begin()
    filling = _Filling(ends_at_s=time.monotonic() + at_most_s, most=at_most)
    with afterwards(lambda: _tidy(board, filling)):
        try:
            with Gauge(board.link) as gauge:
                _fill(deployment, gauge, filling)
        except BoardError as error:
            filling.fell_over = True
            filling.ended = f"the board fell over after {len(filling.hosted)} containers: {error.what}"
            broke = board.link.broke()
            _recover(board, error)
            if broke and not evidence.cause() and _daemons(board) == daemons:
                raise InvalidMeasurement(
                    f"{board.name}: the connection to the board broke during the filling after "
                    f"{len(filling.hosted)} containers"
                ) from error
        board.say(f"hosting {name}: asking {len(filling.hosted)} containers again")
        response_s = _asked_again(deployment, filling)
    if not response_s and not filling.disk_bytes:
        raise BoardError(board.name, f"could not host a single {deployment.workload.name}: {filling.ended}")
    labels: dict[str, str | int] = {"workload": name}
    count = len(response_s) + filling.projected
    basis: dict[str, str | int] = {"basis": "projected" if filling.projected else "filled"}
    containers = Measurement("hosting.containers", [float(count)], labels | basis, reason=filling.ended)
    seen = [
        Measurement("hosting.start_time", filling.start_s, dict(labels)),
        containers,
        Measurement("hosting.ready_time", filling.ready_s, dict(labels)),
        Measurement("hosting.memory_per_container", filling.memory_bytes, dict(labels)),
        Measurement("hosting.swapped_pages", filling.swapped_pages, dict(labels)),
        Measurement("hosting.disk_per_container", filling.disk_bytes, dict(labels)),
        Measurement("hosting.response_time", response_s, dict(labels)),
    ]
    return [m for m in seen if m.samples]  # what fell over with its engine answered no more


def _fill(deployment: Deployment, gauge: Gauge, filling: _Filling) -> None:
    board, name = deployment.board, deployment.workload.id
    now = gauge.read()
    while _another_fits(now, filling):
        container, port = _start(deployment, filling)
        filling.ready_s.append(wait_until_ready(board, deployment.workload.ready, port, container))
        before, now = now, gauge.read()
        filling.swapped_pages.append(float(now.swapped_pages - before.swapped_pages))
        filling.memory_bytes.append(float(before.available_bytes - now.available_bytes))
        filling.disk_bytes.append(_disk_bytes(board, container))
        there = f"{len(filling.hosted)} container{'s' if len(filling.hosted) > 1 else ''}"
        board.say(f"hosting {name}: {there}, {now.available_bytes / 1e6:.0f} MB free")


def _another_fits(now: Reading, filling: _Filling) -> bool:
    hosted = len(filling.hosted)
    each = statistics.median(filling.memory_bytes) if hosted else 0.0
    if now.available_bytes < THRESHOLD_BYTES:
        filling.ended = f"less than {THRESHOLD_BYTES / 1e6:.0f} MB were left"
    elif now.available_bytes < each + THRESHOLD_BYTES:
        filling.ended = (
            f"{now.available_bytes / 1e6:.0f} MB were left: another one of {each / 1e6:.0f} MB would leave "
            f"less than {THRESHOLD_BYTES / 1e6:.0f} MB"
        )
    elif hosted >= filling.most or _late(filling, each):
        filling.projected = _more(now.available_bytes, each)
        bound = "as many as were asked for" if hosted >= filling.most else "in the time of this effort"
        filling.ended = (
            f"{hosted} were started {bound}; {filling.projected} more are projected "
            f"at {each / 1e6:.1f} MB each"
        )
    else:
        return True
    return False


def _more(available_bytes: float, each: float) -> int:
    """Return how many more would be started by the rule of `_another_fits`."""
    return max(0, int((available_bytes - THRESHOLD_BYTES) / each)) if each > 0 else 0


def _late(filling: _Filling, each: float) -> bool:
    enough = len(filling.hosted) >= FEWEST_TO_PROJECT and each > 0
    return enough and time.monotonic() > filling.ends_at_s


def _start(deployment: Deployment, filling: _Filling) -> tuple[Container, int | None]:
    board = deployment.board
    started = time.monotonic()
    with explained(board.name, f"starting container {len(filling.hosted) + 1} of {deployment.workload.name}"):
        container = board.docker.containers.create(**deployment.options())
        container.start()
        filling.start_s.append(time.monotonic() - started)
        hosted = (container, published_port(board, container))
    filling.hosted.append(hosted)
    return hosted


def _disk_bytes(board: Board, container: Container) -> float:
    with explained(board.name, "asking for a container's disk usage"):
        listed = board.docker.api.containers(size=True, filters={"id": str(container.id)})
    return float(listed[0].get("SizeRw", 0)) if listed else 0.0


def _asked_again(deployment: Deployment, filling: _Filling) -> list[float]:
    """Ask every container that still runs, and return the response times (s) of those that answer."""
    board, ready = deployment.board, deployment.workload.ready
    response_s = []
    running = _running(board) if filling.hosted else set()
    ends_at_s = time.monotonic() + ASKING_AGAIN_S
    for container, port in filling.hosted:
        started = time.monotonic()
        if started > ends_at_s:
            filling.ended += f"; not all were asked again within {ASKING_AGAIN_S:.0f} s"
            break
        if container.id in running and answers(board, ready, port, container):
            response_s.append(time.monotonic() - started)
    if silent := len(filling.hosted) - len(response_s):
        filling.ended += f"; {silent} of {len(filling.hosted)} did not answer in the end"
    return response_s


def _running(board: Board) -> set[str | None]:
    """Return the ids of our containers that run; none, if the board's engine does not say."""
    try:
        with explained(board.name, "listing the containers that run"):
            return {c.id for c in board.docker.containers.list(sparse=True, filters=_ours(board))}
    except BoardError:
        return set()


def _ours(board: Board) -> dict[str, str | list[str] | bool]:
    return {"label": f"{RUN_LABEL}={board.run_id}"}


def _recover(board: Board, error: BoardError) -> None:
    """Give a board that fell over some time to come back, so that what still answers can be counted.

    One that does not, or that booted anew, was not filled: the error that it fell over with stands.
    """
    booted = board.booted
    try:
        board.reconnect(RECOVERY_S, leave=True)
    except BoardError:
        raise error from None
    if board.booted != booted:
        raise error


def _daemons(board: Board) -> str:
    """Return process ids and start times of Docker's daemons; Podman has none."""
    return board.link.run(DAEMONS).stdout


def _tidy(board: Board, filling: _Filling) -> None:
    """Remove the containers; from a board that fell over and stays down they cannot be, which is told."""
    try:
        with explained(board.name, "removing the containers of a filling"):
            containers = board.docker.containers.list(all=True, sparse=True, filters=_ours(board))
            board.say(f"hosting: removing {len(containers)} containers")
            with ThreadPoolExecutor(REMOVERS) as pool:
                list(pool.map(lambda container: container.remove(force=True, v=True), containers))
    except BoardError as error:
        if not filling.fell_over:
            raise
        filling.ended += f"; its containers could not be removed: {error.what}"
