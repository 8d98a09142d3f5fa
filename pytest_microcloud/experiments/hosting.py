"""Hosting capability (the paper, section 4.II): start containers one at a time until memory is short."""

from __future__ import annotations

import math
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_microcloud.boards.gauge import Gauge, Reading
from pytest_microcloud.boards.logs import Logs
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
"""Memory that stays free for applications and the operating system: the paper's 50 MB. Starting a container
takes nearly as much for a moment, and a board with no memory left keeps rereading its programs from the
card."""
FEWEST_TO_PROJECT = 5
"""The fewest containers from which a total is projected: the memory of the first ones is not typical, because
they also fill caches."""
REQUESTING = "sending requests to"
"""The first words of the progress message after a filling (a call of `fill`). A benchmark recognises the end
of a filling by them."""
RESPONSES_S = 300.0
"""Time limit for sending a request to every container of a full board. A container that is not sent a request
in that time counts as not responding."""
REMOVERS = 4
RECOVERY_S = 60.0
DAEMONS = """cat /proc/[0-9]*/stat 2>/dev/null | awk '$2 == "(dockerd)" { print $1, $22 }'"""

RESERVED_BYTES = 150e6
"""Approximate memory that containers cannot use: the operating system, the engine and the threshold."""
REMOVING = 1.4
"""Duration of a filling with the removal of its containers, relative to the duration without."""


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
    # The experiment fills the memory on purpose. If that makes the board fail, the failure is a result.
    tolerates=("oom", "swap", "lost"),
    estimate=_estimate,
)


@dataclass
class _Filling:
    """What a call of `fill` observes. The lists have one entry per container, in the order of the starts."""

    hosted: list[tuple[Container, int | None]] = field(default_factory=list)
    memory_bytes: list[float] = field(default_factory=list)
    disk_bytes: list[float] = field(default_factory=list)
    start_s: list[float] = field(default_factory=list)
    ready_s: list[float] = field(default_factory=list)
    swapped_pages: list[float] = field(default_factory=list)
    failed: bool = False
    ends_at_s: float = math.inf
    most: float = math.inf
    projected: int = 0
    ended: str = ""


def fill(
    deployment: Deployment, *, at_most: float = math.inf, at_most_s: float = math.inf
) -> list[Measurement]:
    """Start containers until one more would leave less than 50 MB free. Then send each container a request.

    Returns the number of containers that responded, and one sample per container of memory, disk, swapped
    pages, start time, time until ready, and response time. If the board fails, the filling ends; the failure
    is a result, and `reason` describes it. A filling that has `at_most` containers, or takes longer than
    `at_most_s`, is cut short. The number of containers is then projected from the memory that each container
    took, as `reason` and the label `basis` state. Raises InvalidMeasurement if the connection broke although
    the board is healthy.
    """
    board, name = deployment.board, deployment.workload.id
    logs, daemons = Logs(board.link), _daemons(board)
    logs.begin()
    filling = _Filling(ends_at_s=time.monotonic() + at_most_s, most=at_most)
    with afterwards(lambda: _tidy(board, filling)):
        try:
            with Gauge(board.link) as gauge:
                _fill(deployment, gauge, filling)
        except BoardError as error:
            filling.failed = True
            filling.ended = f"the board failed after {len(filling.hosted)} containers: {error.what}"
            broke = board.link.broke()
            _recover(board, error)
            if broke and not logs.cause() and _daemons(board) == daemons:
                raise InvalidMeasurement(
                    f"{board.name}: the connection to the board broke during the filling, after "
                    f"{len(filling.hosted)} containers"
                ) from error
        board.say(f"hosting {name}: {REQUESTING} {len(filling.hosted)} containers")
        response_s = _response_times(deployment, filling)
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
    return [m for m in seen if m.samples]  # after the engine fails, some measurements have no samples


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
            f"{now.available_bytes / 1e6:.0f} MB were left: another container of {each / 1e6:.0f} MB would "
            f"leave less than {THRESHOLD_BYTES / 1e6:.0f} MB"
        )
    elif hosted >= filling.most or _late(filling, each):
        filling.projected = _more(now.available_bytes, each)
        bound = "as requested" if hosted >= filling.most else "within the time of this effort"
        filling.ended = (
            f"{hosted} containers were started {bound}; {filling.projected} more are projected "
            f"at {each / 1e6:.1f} MB each"
        )
    else:
        return True
    return False


def _more(available_bytes: float, each: float) -> int:
    """Return how many more containers of `each` bytes `_another_fits` would allow."""
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
    with explained(board.name, "reading a container's disk usage"):
        listed = board.docker.api.containers(size=True, filters={"id": str(container.id)})
    return float(listed[0].get("SizeRw", 0)) if listed else 0.0


def _response_times(deployment: Deployment, filling: _Filling) -> list[float]:
    """Send a request to every running container; return the response times (s) of those that respond."""
    board, ready = deployment.board, deployment.workload.ready
    response_s = []
    running = _running(board) if filling.hosted else set()
    ends_at_s = time.monotonic() + RESPONSES_S
    for container, port in filling.hosted:
        started = time.monotonic()
        if started > ends_at_s:
            filling.ended += f"; not all containers could be sent a request within {RESPONSES_S:.0f} s"
            break
        if container.id in running and answers(board, ready, port, container):
            response_s.append(time.monotonic() - started)
    if silent := len(filling.hosted) - len(response_s):
        filling.ended += f"; {silent} of {len(filling.hosted)} containers did not respond at the end"
    return response_s


def _running(board: Board) -> set[str | None]:
    """Return the ids of this run's running containers; empty if the board's engine does not respond."""
    try:
        with explained(board.name, "listing the running containers"):
            return {c.id for c in board.docker.containers.list(sparse=True, filters=_of_this_run(board))}
    except BoardError:
        return set()


def _of_this_run(board: Board) -> dict[str, str | list[str] | bool]:
    return {"label": f"{RUN_LABEL}={board.run_id}"}


def _recover(board: Board, error: BoardError) -> None:
    """Wait for a failed board to come back, so that the containers that still respond can be counted.

    If the board does not come back, or has rebooted, there is no result: `error` is raised.
    """
    booted = board.booted
    try:
        board.reconnect(RECOVERY_S, leave=True)
    except BoardError:
        raise error from None
    if board.booted != booted:
        raise error


def _daemons(board: Board) -> str:
    """Return the process ids and start times of Docker's daemons; empty for Podman."""
    return board.link.run(DAEMONS).stdout


def _tidy(board: Board, filling: _Filling) -> None:
    """Remove the containers. If a failed board is still down, note in the result that containers remain."""
    try:
        with explained(board.name, "removing the containers of a filling"):
            containers = board.docker.containers.list(all=True, sparse=True, filters=_of_this_run(board))
            board.say(f"hosting: removing {len(containers)} containers")
            with ThreadPoolExecutor(REMOVERS) as pool:
                list(pool.map(lambda container: container.remove(force=True, v=True), containers))
    except BoardError as error:
        if not filling.failed:
            raise
        filling.ended += f"; its containers could not be removed: {error.what}"
