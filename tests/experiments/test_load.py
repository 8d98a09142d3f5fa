"""The load generator: a real ab against small servers, and what stops it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_microcloud.errors import InvalidMeasurement, UserMistake
from pytest_microcloud.experiments import deploy, load, serving
from pytest_microcloud.experiments.load import Load, ab

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board

PAGE = b"a page"
CLIENTS = 40
FEW = 20
"""A limit of open files that is too low for all clients."""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(0.2)  # so that all clients are there together
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    request_queue_size = 256

    def handle_error(self, *_: object) -> None:
        """Print nothing about a client that ended."""


@pytest.fixture(autouse=True)
def on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the thresholds of ab's CPU use, since servers and other tests run on this machine."""
    monkeypatch.setattr(load, "threshold", lambda _symptom: 9.0)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with _Server(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a fake `ab` that comes first on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "ab"


def script(path: Path, *lines: str) -> None:
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)


def loaded(url: str) -> Load:
    return ab("desk", url, requests=2 * CLIENTS, clients=CLIENTS, page_bytes=len(PAGE), timeout_s=60)


def test_running_out_of_open_files_here_is_not_a_board_failure(url: str, instead: Path) -> None:
    script(instead, f"ulimit -n {FEW}", f'exec {shutil.which("ab", path="/usr/bin")} "$@"')
    with pytest.raises(
        InvalidMeasurement, match=r"^desk: the load generator .*: Too many open files .*ulimit"
    ):
        loaded(url)


def test_running_out_of_local_ports_is_not_a_board_failure(url: str, instead: Path) -> None:
    script(instead, "echo 'apr_socket_connect(): Cannot assign requested address (99)' >&2", "exit 99")
    with pytest.raises(
        InvalidMeasurement, match=r"^desk: .*: Cannot assign requested address .*ip_local_port"
    ):
        loaded(url)


def test_ab_can_open_as_many_files_as_this_machine_allows(url: str) -> None:
    program = (
        "import resource; from pytest_microcloud.experiments.load import ab; "
        "_, most = resource.getrlimit(resource.RLIMIT_NOFILE); "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({CLIENTS}, most)); "
        f"seen = ab('desk', {url!r}, requests={2 * CLIENTS}, clients={CLIENTS}, page_bytes={len(PAGE)}, "
        "timeout_s=60); print(seen.answered, seen.failures)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{2 * CLIENTS} 0\n", "")


def test_the_time_of_the_requests_excludes_the_start_of_the_program(url: str, instead: Path) -> None:
    script(instead, "sleep 3", f'exec {shutil.which("ab", path="/usr/bin")} "$@"')
    started = time.monotonic()
    seen = loaded(url)
    assert max(seen.request_times_s) < seen.duration_s < time.monotonic() - started - 3


class _Counted(ThreadingHTTPServer):
    """Answers at once, but never the request `silent_at`, and none after the request `closes_at`."""

    request_queue_size = 256
    daemon_threads = True
    silent_at = closes_at = 0

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, _CountedPage)
        self.requests: list[str] = []
        self.connections = 0
        self.guard = threading.Lock()
        self.released = threading.Event()

    def get_request(self) -> tuple[socket.socket, Any]:
        self.connections += 1
        return super().get_request()

    def handle_error(self, *_: object) -> None:
        """Print nothing about a client that ended."""


class _CountedPage(_Page):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Counted)
        with self.server.guard:
            self.server.requests.append(self.headers["Host"])
            number = len(self.server.requests)
        if number == self.server.silent_at:
            self.server.released.wait(60)
            return
        if number == self.server.closes_at:
            self.server.socket.close()
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)


@pytest.fixture
def counted() -> Iterator[_Counted]:
    with _Counted(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


def port(server: _Counted) -> int:
    return int(server.server_address[1])


def at(server: _Counted) -> str:
    return f"http://127.0.0.1:{port(server)}/"


@dataclass
class _QuietBoard:
    name: str = "desk"
    address: str = "127.0.0.1"

    def reach(self, port: int) -> tuple[str, int]:
        return self.address, port

    def say(self, text: str) -> None: ...

    def trouble(self) -> str:
        return ""

    def load_turn(self) -> AbstractContextManager[None]:
        return nullcontext()


def server_of(counted: _Counted, address: str = "127.0.0.1") -> deploy.Server:
    board = cast("Board", _QuietBoard(address=address))
    return deploy._server(board, "native", port(counted), "/", len(PAGE))


def test_one_request_that_is_never_answered_is_one_failure(
    counted: _Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "REQUEST_TIMEOUT_S", 2)
    counted.silent_at = 150
    seen = ab("desk", at(counted), requests=300, clients=20, page_bytes=len(PAGE), timeout_s=60)
    assert (seen.answered, seen.failures, len(seen.request_times_s)) == (299, 1, 299)
    assert seen.stopped == "no answer within 2 s"
    assert seen.duration_s < 2, "the wait for the request that is never answered is not in it"


def test_a_load_with_one_request_unanswered_has_299_page_times_and_a_throughput(
    counted: _Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "REQUEST_TIMEOUT_S", 2)
    server = server_of(counted)
    counted.silent_at = 150
    measured = {m.metric: m for m in serving.load(server, clients=20, requests=300)}
    assert measured["serving.failures"].samples == [1]
    assert measured["serving.failures"].reason == "1 of 300 requests failed (no answer within 2 s)"
    assert {m.verdict for m in measured.values()} == {"feasible"}
    assert len(measured["serving.page_time"].samples) == 299
    assert measured["serving.throughput"].median > 150


def test_requests_completed_before_ab_aborts_are_answered(url: str, instead: Path) -> None:
    script(
        instead,
        "echo 'Benchmarking 127.0.0.1 (be patient)...Total of 292 requests completed'",
        "echo 'Test aborted after 10 failures' >&2",
        "echo 'apr_socket_connect(): Connection reset by peer (104)' >&2",
        "exit 104",
    )
    seen = ab("desk", url, requests=300, clients=20, page_bytes=len(PAGE), timeout_s=60)
    assert (seen.answered, seen.failures, seen.request_times_s) == (292, 8, [])
    assert seen.stopped == "ab stopped: apr_socket_connect(): Connection reset by peer (104)"


def test_a_server_that_goes_away_fails_the_rest_of_the_requests_alone(counted: _Counted) -> None:
    counted.closes_at = 100
    seen = ab("desk", at(counted), requests=300, clients=20, page_bytes=len(PAGE), timeout_s=60)
    assert 80 <= seen.answered <= 120
    assert seen.failures == 300 - seen.answered


def test_an_ab_that_does_not_start_is_not_a_board_failure(url: str, instead: Path) -> None:
    script(instead, "echo 'ab: invalid option' >&2", "exit 22")
    with pytest.raises(InvalidMeasurement, match=r"^desk: the load generator did not start: ab: invalid opt"):
        loaded(url)


@pytest.mark.parametrize(("clients", "requests"), [(100, 50), (0, 50), (20_001, 30_000)])
def test_a_load_that_ab_cannot_send_is_the_callers_mistake(
    counted: _Counted, clients: int, requests: int
) -> None:
    server = deploy.Server(cast("Board", _QuietBoard()), "native", at(counted))
    with pytest.raises(UserMistake, match=f"clients={clients}"):
        serving.load(server, clients=clients, requests=requests)
    assert counted.connections == 0


def test_ab_connects_to_the_address_that_answered_and_names_the_host(
    counted: _Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name resolves to IPv6 first, where nothing listens, and to IPv4."""

    def resolve(host: str, to: int | None, *_: object, **__: object) -> list[Any]:
        assert host == "board.test"
        tcp = (socket.SOCK_STREAM, 6, "")
        v6 = (socket.AF_INET6, *tcp, ("::1", to, 0, 0))
        return [v6, (socket.AF_INET, *tcp, ("127.0.0.1", to))]

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", resolve)
        server = server_of(counted, "board.test")
    assert (server.url, server.address) == (f"http://board.test:{port(counted)}/", "127.0.0.1")
    measured = {m.metric: m for m in serving.load(server, clients=20, requests=300)}
    assert measured["serving.failures"].samples == [0]
    assert set(counted.requests) == {f"board.test:{port(counted)}"}
    (capacity,) = serving.capacity(server, requests=100, most=40)
    assert capacity.samples == [40]


def test_an_ipv6_address_is_put_in_brackets(tmp_path: Path) -> None:
    arguments = load.ab_arguments(
        "http://pi3b:8080/page", requests=4, clients=1, table=tmp_path, address="2001:db8::7"
    )
    assert arguments[-3:] == ["-H", "Host: pi3b:8080", "http://[2001:db8::7]:8080/page"]
