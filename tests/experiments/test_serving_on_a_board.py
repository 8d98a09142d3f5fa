"""Serving, with a real ab against real web servers."""

from __future__ import annotations

import os
import re
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud import catalog as catalogs
from pytest_microcloud import ladder
from pytest_microcloud.errors import BoardError, InvalidMeasurement
from pytest_microcloud.experiments import load, serving
from pytest_microcloud.experiments.deploy import Server, deploy, docker_server, native_server

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.catalog import Catalog
    from pytest_microcloud.measurement import Measurement

pytestmark = pytest.mark.engine

REQUESTS, CLIENTS = 120, 30


def set_threshold(monkeypatch: pytest.MonkeyPatch, symptom: str, most: float) -> None:
    """Set the threshold of a symptom."""
    shipped = vars(load)["threshold"]
    monkeypatch.setattr(load, "threshold", lambda name: most if name == symptom else shipped(name))


@pytest.fixture(autouse=True)
def on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow ab to wait for a CPU, since other processes may use this machine."""
    set_threshold(monkeypatch, "starved", 9.0)


def by_metric(measurements: list[Measurement]) -> dict[str, Measurement]:
    return {m.metric.removeprefix("serving."): m for m in measurements}


@pytest.fixture(params=["native", "docker"])
def server(request: pytest.FixtureRequest, pi3b: Board, catalog: Catalog) -> Iterator[Server]:
    httpd = catalog.workload("httpd")
    before = state(pi3b)
    if request.param == "native":
        with native_server(pi3b, httpd) as running:
            yield running
    else:
        with docker_server(deploy(pi3b, httpd)) as running:
            yield running
    assert state(pi3b) == before


def state(board: Board) -> tuple[str, str, int]:
    """Return what servers left on a board."""
    active = board.link.run("systemctl is-active apache2", check=False).stdout
    pages = board.link.run("ls -A /var/www/html; pgrep -x apache2 | wc -l", check=False).stdout
    return active, pages, len(board.docker.containers.list(all=True))


def test_every_request_gives_a_page_time_and_none_fails(server: Server) -> None:
    seen = by_metric(serving.load(server, clients=CLIENTS, requests=REQUESTS))
    assert len(seen["page_time"].samples) == REQUESTS
    assert min(seen["page_time"].samples) >= 0
    assert seen["page_time"].labels == {"setting": server.setting, "clients": CLIENTS}
    assert seen["failures"].samples == [0.0]
    median, tail = seen["page_time"].statistic("p50"), seen["page_time"].statistic("p99")
    assert 0 < median <= tail
    assert seen["throughput"].samples[0] > 0


def test_the_largest_number_of_clients_is_tried_first(server: Server) -> None:
    output: list[str] = []
    server.board.say, usual = output.append, server.board.say
    try:
        (capacity,) = serving.capacity(server, requests=1, most=CLIENTS)
    finally:
        server.board.say = usual
    assert capacity.samples == [float(CLIENTS)]
    assert len(output) == 1


class _Narrow(socketserver.ThreadingTCPServer):
    """A web server that resets every connection beyond the first `places` that are open at a time."""

    daemon_threads = True
    request_queue_size = 512
    places = 20
    page = b"page"
    refused = 0
    open_now = 0
    guard = threading.Lock()

    def verify_request(self, request: socket.socket | tuple[bytes, socket.socket], _address: object) -> bool:
        assert isinstance(request, socket.socket)
        with self.guard:
            if self.open_now < self.places:
                self.open_now += 1
                return True
        self.refused += 1
        time.sleep(0.005)  # ab ends if the reset comes before it has seen the connection
        request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def wait_until_empty(self) -> None:
        deadline = time.monotonic() + 10
        while self.open_now:
            assert time.monotonic() < deadline
            time.sleep(0.01)


class _Page(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Narrow)
        try:
            if self.request.recv(4096):
                time.sleep(0.3)  # so that all of a wave of clients are there together
        finally:
            with self.server.guard:
                self.server.open_now -= 1
        head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(self.server.page)}\r\n\r\n"
        with suppress(ConnectionError):  # a client that had enough
            self.request.sendall(head.encode() + self.server.page)


@contextmanager
def narrow_server() -> Iterator[tuple[_Narrow, int]]:
    with _Narrow(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server, server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_a_server_with_few_places_gets_the_capacity_that_the_ladder_finds(
    pi3b: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    with narrow_server() as (narrow, port):
        monkeypatch.setattr(
            pi3b, "say", lambda _text: narrow.wait_until_empty()
        )  # called before each attempt
        server = Server(pi3b, "native", f"http://127.0.0.1:{port}/", len(narrow.page))
        (capacity,) = serving.capacity(server, requests=1)
        crowded = by_metric(serving.load(server, clients=4 * narrow.places, requests=4 * narrow.places))
    rungs = [rung for rung in ladder.rungs() if rung <= narrow.places]
    assert capacity.samples == [float(rungs[-1])]
    assert narrow.refused > 0
    assert crowded["failures"].samples[0] > 0
    assert min(crowded["page_time"].samples) > 0  # what was refused has no page time


def test_a_missing_server_serves_no_client(pi3b: Board) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Server(pi3b, "native", f"http://127.0.0.1:{port}/")
    (capacity,) = serving.capacity(server, requests=1)
    assert capacity.samples == [0.0]
    assert [m.metric for m in serving.load(server, clients=2, requests=4)] == ["serving.failures"]


def fake_ab(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a fake `ab` first on PATH that reports 50 requests with their times."""
    directory.mkdir()
    fake = directory / "ab"
    rows = "{ echo head; seq 50 | sed 's/.*/a\\t1\\t1\\t1\\t9\\t0/'; }"
    table = f'while [ "$1" != -g ]; do shift; done; {rows} > "$2"'
    summary = "Complete requests: 50\\nHTML transferred: 200 bytes\\n"
    fake.write_text(f"#!/bin/sh\n{script}\n{table}\nprintf '{summary}'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=":")


def test_a_saturated_load_generator_makes_the_measurement_invalid(
    pi3b: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spin = "timeout 1 sh -c 'while :; do :; done' &\n"
    fake_ab(tmp_path / "bin", f"{4 * spin}wait", monkeypatch)
    set_threshold(monkeypatch, "saturated", 0.1)
    server = Server(pi3b, "native", "http://127.0.0.1:9/", 4)
    measured = by_metric(serving.load(server, clients=50, requests=50))
    assert {m.verdict for m in measured.values()} == {"invalid"}
    assert measured["page_time"].samples == [0.009] * 50
    assert re.match(r"the load generator was saturated .*50 clients", measured["page_time"].reason)
    with pytest.raises(InvalidMeasurement, match="shared: the load generator was saturated"):
        serving.capacity(server, requests=50, most=1)


def test_a_load_generator_that_waits_for_a_busy_controller_makes_the_measurement_invalid(
    pi3b: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spin = "timeout 2 sh -c 'while :; do :; done' &\n"
    rival = f"taskset -cp 0 $$ >/dev/null\n{3 * spin}"
    fake_ab(
        tmp_path / "bin", f"{rival}i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done; wait", monkeypatch
    )
    set_threshold(monkeypatch, "saturated", 9.0)
    set_threshold(monkeypatch, "starved", catalogs.threshold("starved"))

    def refuse(*_: object) -> None:
        raise PermissionError  # as for a user who is not root: root's ab has priority over all rivals

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    server = Server(pi3b, "native", "http://127.0.0.1:9/", 4)
    (reason,) = {m.reason for m in serving.load(server, clients=50, requests=50)}
    assert reason.startswith("the load generator was starved: this machine was busy with something else")


def test_a_missing_ab_is_reported_with_the_package_to_install(
    pi3b: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BoardError, match="apt-get install apache2-utils"):
        serving.load(Server(pi3b, "native", "http://127.0.0.1:9/"), clients=1, requests=1)
