"""Readiness: whether a hosted application responds as its workload defines."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import TYPE_CHECKING, cast

from docker.errors import APIError

from pytest_microcloud.controller.engine import explained
from pytest_microcloud.errors import BoardError, DeadlineExceeded

if TYPE_CHECKING:
    from docker.models.containers import Container

    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.catalog import Ready

POLL_S = 0.02
ANSWER_TIMEOUT_S = 10.0
FIRST_TIMEOUT_S = 0.5
"""An application that is starting may accept a request and never respond, as ZooKeeper does. So the first
request has a short timeout, which doubles after each request without a response."""


def answers(
    board: Board,
    ready: Ready,
    port: int | None,
    container: Container | None,
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> bool:
    """Send one request to the application, and return whether the expected response arrives."""
    try:
        if ready.kind == "stdin":
            return container is not None and _stdin(container, ready, timeout_s)
        if port is None:
            return False
        if ready.kind == "http":
            return http_answers(*board.reach(port), ready.path, ready.expect, timeout_s, timeout_s)
        return _tcp(*board.reach(port), ready, timeout_s)
    except (OSError, HTTPException, APIError):
        return False


def wait_until_ready(
    board: Board, ready: Ready, port: int | None = None, container: Container | None = None
) -> float:
    """Send requests until the application responds, and return how long that took (s).

    Raises BoardError if the container ended, DeadlineExceeded if the application is not ready in time.
    """
    started = time.monotonic()
    timeout_s = FIRST_TIMEOUT_S
    while True:
        asked = time.monotonic()
        if answers(board, ready, port, container, timeout_s):
            return time.monotonic() - started
        now = time.monotonic()
        waited = now - started
        if now - asked >= timeout_s:
            timeout_s = min(2 * timeout_s, ANSWER_TIMEOUT_S)
        if waited > ready.timeout_s:
            raise DeadlineExceeded(
                board.name, f"the application on the board was not ready within {ready.timeout_s:.0f} s"
            )
        if container is not None and waited > 1 and not _runs(board, container):
            with explained(board.name, "reading the log of a container"):
                received = container.logs(tail=3).decode(errors="replace").strip() or "(nothing)"
            status = container.attrs["State"]["ExitCode"]
            raise BoardError(
                board.name,
                f"a container ended with {status} before it was ready; its log ends with: {received}",
            )
        time.sleep(POLL_S)


def http_answers(
    address: str,
    port: int,
    path: str,
    expect: str,
    connect_timeout_s: float = ANSWER_TIMEOUT_S,
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> bool:
    """Return whether the response to a GET has status 200 and a body that contains `expect`.

    The rest of the body is not read: over a slow link, reading a long page takes several more round trips.
    """
    with _got(address, port, path, connect_timeout_s, timeout_s) as response:
        return response.status == 200 and _contains(response.read1, expect)


def http_page(address: str, port: int, path: str) -> tuple[int, bytes]:
    """Send a GET, and return the response's status and body. Raises OSError, HTTPException."""
    with _got(address, port, path, ANSWER_TIMEOUT_S, ANSWER_TIMEOUT_S) as response:
        return response.status, response.read()


@contextlib.contextmanager
def _got(
    address: str, port: int, path: str, connect_timeout_s: float, timeout_s: float
) -> Iterator[HTTPResponse]:
    """Send a GET, and yield the response with its body still to be read. Raises OSError, HTTPException."""
    connection = HTTPConnection(address, port, timeout=connect_timeout_s)
    with contextlib.closing(connection):
        connection.connect()
        connection.sock.settimeout(timeout_s)
        connection.request("GET", path)
        yield connection.getresponse()


def answering_address(host: str, port: int) -> str:
    """Return the IP address that a GET would use: the host's first address whose port accepts connections.

    Raises OSError if no address accepts connections.
    """
    with socket.create_connection((host, port), timeout=ANSWER_TIMEOUT_S) as connection:
        return str(connection.getpeername()[0])


def has_ipv4(host: str) -> bool:
    """Return whether a host has an IPv4 address. A name that cannot be resolved counts as having one."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return ":" not in host
    return any(family == socket.AF_INET for family, *_ in found)


def _tcp(address: str, port: int, ready: Ready, timeout_s: float) -> bool:
    with socket.create_connection((address, port), timeout=timeout_s) as connection:
        connection.sendall(ready.send.encode())
        connection.shutdown(socket.SHUT_WR)
        return _contains(connection.recv, ready.expect)


def _stdin(container: Container, ready: Ready, timeout_s: float) -> bool:
    """Write a line to the main process, and return whether the expected response arrives."""
    channel = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    raw = cast(
        "socket.socket", getattr(channel, "_sock", channel)
    )  # docker-py wraps the socket in a SocketIO
    try:
        raw.settimeout(timeout_s)
        raw.sendall(ready.send.encode() + b"\n")
        return _contains(raw.recv, ready.expect)
    finally:
        raw.close()
        channel.close()


def _contains(receive: Callable[[int], bytes], expect: str) -> bool:
    """Read until `expect` has arrived; return False if the connection ends before that."""
    received = b""
    while expect.encode() not in received:
        part = receive(4096)
        if not part:
            return False
        received += part
    return True


def _runs(board: Board, container: Container) -> bool:
    with explained(board.name, "reading a container's state"):
        container.reload()
    return bool(container.status == "running")
