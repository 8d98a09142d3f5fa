"""Serving latency (the paper, section 4.I): a page with a picture, and a growing number of clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pytest_microcloud.catalog.picture import PICTURE_BYTES
from pytest_microcloud.errors import BoardError, InvalidMeasurement
from pytest_microcloud.experiments.load import Load, ab, check_load
from pytest_microcloud.experiments.record import Axis, Step, shipped
from pytest_microcloud.ladder import MOST_CLIENTS, rungs
from pytest_microcloud.measurement import Measurement

if TYPE_CHECKING:
    from pytest_microcloud.experiments.deploy import Server

SLOWEST_PAGES_PER_S = 2.0
"""The page rate (1/s) below which a load is aborted. It only sets a timeout: no verdict depends on it."""
SERVER_START_S = 3.0
PAGE_CPU_S = 0.002
"""CPU time for serving one page (s), on a core with REFERENCE_MIPS."""


def _estimate(step: Step) -> float:
    slowness = step.slowness
    page_s = max(8 * PICTURE_BYTES / (step.model.ethernet_bits_per_s or 1e9), PAGE_CPU_S * slowness)
    requests = step.effort.requests * step.effort.serving_rounds
    return SERVER_START_S * max(1.0, slowness) + requests * page_s


SERVING = shipped(
    "serving",
    axes={
        "clients": Axis(lambda effort, _: effort.clients, "{}clients".format),
        "setting": Axis(("native", "docker")),
    },
    tools={"apache2": "apache2"},
    estimate=_estimate,
)


def load(server: Server, *, clients: int, requests: int) -> list[Measurement]:
    """Send `requests` requests from `clients` concurrent clients; measure page time, throughput, failures.

    The results are invalid if ab was the bottleneck or had to wait for the controller's CPU. Raises
    UserMistake if there are fewer requests than clients.
    """
    check_load(requests=requests, clients=clients)
    board = server.board
    board.say(f"serving {server.setting}: {requests} requests from {clients} clients")
    seen = _ab(server, clients, requests)
    labels: dict[str, str | int] = {"setting": server.setting, "clients": clients}
    failed = _failed(seen, requests)
    measured = [Measurement("serving.failures", [float(seen.failures)], dict(labels), reason=failed)]
    if seen.answered and seen.request_times_s:
        times = Measurement("serving.page_time", seen.request_times_s, dict(labels), reason=failed)
        throughput = Measurement("serving.throughput", [seen.answered / seen.duration_s], dict(labels))
        measured = [times, throughput, *measured]
    elif not seen.answered:  # infeasible even if no limit is set
        measured[0].verdict = "infeasible"
    if seen.bottleneck:
        for m in measured:
            m.verdict, m.reason = "invalid", seen.bottleneck
    return measured


def capacity(server: Server, *, requests: int, most: int = MOST_CLIENTS) -> list[Measurement]:
    """Find the largest number of clients that the server handles without a failure.

    `most` is tried first. If a request fails, a ladder of ×1.1 steps below `most` is searched by bisection.
    Raises InvalidMeasurement if ab was the bottleneck.
    """
    board, setting = server.board, server.setting

    def served(clients: int) -> bool:
        board.say(f"serving {setting}: trying {clients} clients")
        one_more = clients + 1  # ab sends the first request alone, before all clients send simultaneously
        seen = _ab(server, clients, max(requests, one_more))
        if seen.bottleneck:
            raise InvalidMeasurement(f"{board.name}: {seen.bottleneck}")
        return seen.failures == 0

    best = most if served(most) else _highest_rung(rungs(most)[:-1], served)
    return [Measurement("serving.capacity", [float(best)], {"setting": setting})]


def _highest_rung(rungs: Sequence[int], served: Callable[[int], bool]) -> int:
    """Return the highest rung for which `served` is true, or 0. Rungs below a served rung count as served."""
    low, high = -1, len(rungs)
    while high - low > 1:
        middle = (low + high) // 2
        if served(rungs[middle]):
            low = middle
        else:
            high = middle
    return rungs[low] if low >= 0 else 0


def _failed(seen: Load, requests: int) -> str:
    """Return a message: how many requests failed, and the reason if known; empty if no request failed."""
    if not seen.failures:
        return ""
    why = f" ({seen.stopped})" if seen.stopped else ""
    return f"{seen.failures} of {requests} requests failed{why}"


def _ab(server: Server, clients: int, requests: int) -> Load:
    """Send the requests with ab. Raises BoardError if requests fail because of trouble on the board."""
    with server.board.load_turn():
        seen = ab(
            server.board.name,
            server.url,
            requests=requests,
            clients=clients,
            page_bytes=server.page_bytes,
            address=server.address,
            timeout_s=60 + requests / SLOWEST_PAGES_PER_S,
        )
    if seen.failures and (trouble := server.board.trouble()):
        raise BoardError(server.board.name, trouble)
    return seen
