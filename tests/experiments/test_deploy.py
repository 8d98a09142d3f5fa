"""Deploying applications on a board whose engine dies: the error names the board."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest
import requests.exceptions

from pytest_microcloud import catalog as catalogs
from pytest_microcloud.boards.board import Board
from pytest_microcloud.errors import EngineError
from pytest_microcloud.experiments import deploy as deploying
from pytest_microcloud.experiments.deploy import deploy, published_port
from pytest_microcloud.experiments.probe import ANSWER_TIMEOUT_S, wait_until_ready

DESK = cast(
    "Board",
    SimpleNamespace(name="desk", reach=lambda port: ("127.0.0.1", port), facts=SimpleNamespace(isa="armv7l")),
)


def dies(*_: object, **__: object) -> NoReturn:
    raise requests.exceptions.ConnectionError("the connection was aborted")


def container(**calls: object) -> Any:
    """A fake of a container that ended, on an engine that dies at one of the calls."""
    return SimpleNamespace(
        **({"status": "exited", "attrs": {"State": {"ExitCode": 1}}, "reload": lambda: None} | calls)
    )


def test_an_engine_that_dies_before_a_port_is_known_is_an_error_of_the_board() -> None:
    with pytest.raises(EngineError, match="desk: reading a container's port: the connection was aborted"):
        published_port(DESK, container(reload=dies))


def test_an_engine_that_dies_before_a_log_is_read_is_an_error_of_the_board() -> None:
    ready = catalogs.load().workload("httpd").ready
    with pytest.raises(EngineError, match="desk: reading the log of a container: the connection was"):
        wait_until_ready(DESK, ready, None, container(logs=dies))


def test_an_engine_of_this_machine_that_dies_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deploying, "host_engine", lambda: SimpleNamespace(info=dies, close=lambda: None))
    with pytest.raises(EngineError, match="this machine: reading the engine's architecture: the conn"):
        deploy(DESK, catalogs.load().workload("httpd"))


def test_an_application_that_forgot_the_first_question_is_ready_long_before_that_one_times_out() -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:

        def serve() -> None:
            forgotten, _ = server.accept()
            answered, _ = server.accept()
            with forgotten, answered:
                asked.append(answered.recv(4))
                answered.sendall(b"Zookeeper version: 3")

        served = pool.submit(serve)
        took_s = wait_until_ready(DESK, catalogs.load().workload("zookeeper").ready, server.getsockname()[1])
        served.result(ANSWER_TIMEOUT_S)
    assert asked == [b"srvr"]
    assert took_s < ANSWER_TIMEOUT_S / 2


@pytest.mark.parametrize(
    ("address", "families", "published"),
    [
        ("board.test", [socket.AF_INET6, socket.AF_INET], "0.0.0.0"),  # noqa: S104
        ("board.test", [socket.AF_INET6], "::"),
        ("2001:db8::7", [socket.AF_INET6], "::"),
        ("board.test", [], "0.0.0.0"),  # noqa: S104
    ],
)
def test_a_port_is_published_where_the_boards_address_is_reached(
    address: str, families: list[int], published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolves only to IPv6 cannot reach a port that is published on IPv4."""

    def resolve(*_: object, **__: object) -> list[Any]:
        if not families:
            raise socket.gaierror("no such name")
        return [(family, socket.SOCK_STREAM, 6, "", (address, 0)) for family in families]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    facts = SimpleNamespace(engine="Docker")
    board = cast("Board", SimpleNamespace(name="desk", address=address, facts=facts))
    deployment = deploying.Deployment(board, catalogs.load().workload("httpd"), "httpd")
    assert deployment.published(None) == {"80/tcp": (published, None)}
