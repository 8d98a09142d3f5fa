"""The load generator, a real ab: what befalls it on this machine is not the board's."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_microcloud.errors import InvalidMeasurement
from pytest_microcloud.experiments.load import Load, ab

PAGE = b"a page"
CLIENTS = 40
FEW = 20
"""Open files that are not enough for all clients."""


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
        """Say nothing of a client that ended."""


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
    """The path of an `ab` that comes before the real one."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "ab"


def script(path: Path, *lines: str) -> None:
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)


def loaded(url: str) -> Load:
    return ab("desk", url, requests=2 * CLIENTS, clients=CLIENTS, page_bytes=len(PAGE), timeout_s=60)


def test_too_few_open_files_here_are_no_failures_of_the_board(url: str, instead: Path) -> None:
    script(instead, f"ulimit -n {FEW}", f'exec {shutil.which("ab", path="/usr/bin")} "$@"')
    with pytest.raises(
        InvalidMeasurement, match=r"^desk: the load generator .*: Too many open files .*ulimit"
    ):
        loaded(url)


def test_want_of_local_ports_is_no_failure_of_the_board(url: str, instead: Path) -> None:
    script(instead, "echo 'apr_socket_connect(): Cannot assign requested address (99)' >&2", "exit 99")
    with pytest.raises(
        InvalidMeasurement, match=r"^desk: .*: Cannot assign requested address .*ip_local_port"
    ):
        loaded(url)


def test_it_may_open_as_many_files_as_this_machine_allows(url: str) -> None:
    program = (
        "import resource; from pytest_microcloud.experiments.load import ab; "
        "_, most = resource.getrlimit(resource.RLIMIT_NOFILE); "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({CLIENTS}, most)); "
        f"seen = ab('desk', {url!r}, requests={2 * CLIENTS}, clients={CLIENTS}, page_bytes={len(PAGE)}, "
        "timeout_s=60); print(seen.answered, seen.failures)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{2 * CLIENTS} 0\n", "")


def test_the_start_of_the_program_is_not_in_the_time_of_the_requests(url: str, instead: Path) -> None:
    script(instead, "sleep 3", f'exec {shutil.which("ab", path="/usr/bin")} "$@"')
    started = time.monotonic()
    seen = loaded(url)
    assert max(seen.request_times_s) < seen.duration_s < time.monotonic() - started - 3
