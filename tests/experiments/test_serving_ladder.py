"""The search for the largest number of clients that is served, with a real ab."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from pytest_microcloud.experiments import serving
from pytest_microcloud.ladder import rungs

if TYPE_CHECKING:
    from pytest_microcloud.experiments.deploy import Server

ALL_HERE_S = 0.15
"""How long the server delays its answers after the last request, so that all clients are connected at
once."""


@dataclass
class QuietBoard:
    """A fake of the board for `capacity`; this machine serves the page."""

    name: str = "here"
    messages: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.messages.append(text)

    def trouble(self) -> str:
        return ""

    def load_turn(self) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass
class SmallServer:
    """A web server that answers 503 to every client beyond the `most` that it serves at a time."""

    most: int
    board: QuietBoard = field(default_factory=QuietBoard)
    setting: str = "native"
    url: str = ""
    page_bytes: int = 2
    address: str = ""
    truncated: bool = False
    requests: int = 0
    clients: int = 0
    most_clients: int = 0
    last_s: float = 0.0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            half = self.truncated and self.requests % 2 == 0
            self.clients += 1
            self.most_clients = max(self.most_clients, self.clients)
            status = b"200 OK" if self.clients <= self.most else b"503 Service Unavailable"
            self.last_s = time.monotonic()
            while time.monotonic() < self.last_s + ALL_HERE_S:
                await asyncio.sleep(0.02)
            self.clients -= 1
            page = b"" if half else b"ok"
            writer.write(b"HTTP/1.0 " + status + b"\r\nContent-Length: 2\r\n\r\n" + page)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


Serve = Callable[[int], SmallServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    listening: list[asyncio.Server] = []

    def start(most: int) -> SmallServer:
        small = SmallServer(most)
        starting = asyncio.start_server(small.answer, "127.0.0.1", 0, backlog=1024)
        listening.append(asyncio.run_coroutine_threadsafe(starting, loop).result(5))
        small.url = f"http://127.0.0.1:{listening[-1].sockets[0].getsockname()[1]}/"
        return small

    async def stop() -> None:
        for server in listening:
            server.close()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    yield start
    asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


def capacity(small: SmallServer, *, requests: int, most: int) -> float:
    (found,) = serving.capacity(cast("Server", small), requests=requests, most=most)
    assert (found.metric, found.labels, found.unit) == (
        "serving.capacity",
        {"setting": "native"},
        "clients",
    )
    (value,) = found.samples
    return value


def test_the_search_finds_the_highest_served_rung() -> None:
    lower = rungs()[:-1]
    for most in range(250):
        asked: list[int] = []

        def served(clients: int, most: int = most, asked: list[int] = asked) -> bool:
            asked.append(clients)
            return clients <= most

        best = max((rung for rung in lower if rung <= most), default=0)
        assert serving._highest_rung(lower, served) == best
        assert len(asked) == len(set(asked)) <= 6


def test_a_server_that_handles_all_clients_is_tried_once(serve: Serve) -> None:
    small = serve(60)
    assert capacity(small, requests=10, most=60) == 60
    assert small.requests == 61, "ab sends one request alone, and then as many at a time as it has clients"
    assert small.most_clients == 60
    assert small.board.messages == ["serving native: trying 60 clients"]


def test_a_server_that_fails_at_the_most_is_put_on_the_ladder(serve: Serve) -> None:
    small = serve(23)
    assert capacity(small, requests=1, most=60) == max(rung for rung in rungs(60) if rung <= 23)
    assert small.board.messages[0] == "serving native: trying 60 clients"
    assert len(small.board.messages) < 8


def test_a_server_that_serves_no_client_has_capacity_0(serve: Serve) -> None:
    assert capacity(serve(0), requests=1, most=12) == 0


def test_a_load_keeps_the_time_of_every_request_and_counts_failures(serve: Serve) -> None:
    small = serve(6)
    measured = serving.load(cast("Server", small), clients=10, requests=11)
    by_metric = {m.metric: m for m in measured}
    assert set(by_metric) == {"serving.page_time", "serving.throughput", "serving.failures"}
    assert len(by_metric["serving.page_time"].samples) == 11
    assert min(by_metric["serving.page_time"].samples) >= ALL_HERE_S * 0.9
    assert by_metric["serving.failures"].samples == [4]
    assert all(m.labels == {"setting": "native", "clients": 10} for m in measured)


def test_pages_that_do_not_arrive_whole_are_failures_and_not_throughput(serve: Serve) -> None:
    small = serve(100)
    small.truncated = True
    measured = {m.metric: m for m in serving.load(cast("Server", small), clients=10, requests=40)}
    assert measured["serving.failures"].samples == [20]
    assert measured["serving.page_time"].reason == "20 of 40 requests failed"
    assert measured["serving.throughput"].median > 0


def test_a_page_that_no_client_receives_is_infeasible_regardless_of_limits(serve: Serve) -> None:
    (failures,) = serving.load(cast("Server", serve(0)), clients=10, requests=20)
    assert (failures.metric, failures.samples) == ("serving.failures", [20])
    assert (failures.verdict, failures.reason) == ("infeasible", "20 of 20 requests failed")
