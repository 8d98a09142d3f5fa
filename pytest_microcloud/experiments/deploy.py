"""Putting applications on a board: images there, containers from them, the web server natively."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_microcloud.boards import images
from pytest_microcloud.boards.engine import explained, host_engine, labels
from pytest_microcloud.catalog.page import PAGE_BYTES, picture_page
from pytest_microcloud.errors import BoardError, EngineError, MicrocloudError
from pytest_microcloud.experiments.answer import answers, wait_until_ready

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.catalog import Workload

DOCUMENT_ROOT = "/var/www/html"
NATIVE_PORT = 80


@dataclass(frozen=True)
class Deployment:
    """A workload whose image is on the board."""

    board: Board
    workload: Workload
    image: str

    def options(self, **more: Any) -> dict[str, Any]:
        """Return docker-py's options for a container of it, published on a port that Docker chooses."""
        workload = self.workload
        return {
            "image": self.image,
            "command": list(workload.command) or None,
            "environment": dict(workload.environment),
            "ports": {f"{workload.port}/tcp": ("0.0.0.0", None)} if workload.port else {},  # noqa: S104
            "stdin_open": workload.ready.kind == "stdin",
            "detach": True,  # else Docker closes the standard input after the first who talked to it
            "labels": labels(self.board.run_id),
            **more,
        }


@dataclass(frozen=True)
class Server:
    """A web server on the board that clients reach at `url`; `setting` is "native" or "docker"."""

    board: Board
    setting: str
    url: str
    page_bytes: int = PAGE_BYTES


def deploy(board: Board, workload: Workload) -> Deployment:
    """Bring a workload's image to the board, unless it is there; NotMeasured when there is no such image."""
    from docker.errors import ImageNotFound

    with _builder(board) as builder:
        tag = images.workload(builder, workload, board.say)
        if builder is not board.docker:
            with explained(board.name, f"loading the image {tag}"):
                try:
                    board.docker.images.get(tag)
                except ImageNotFound:
                    board.say(f"loading {tag}")
                    images.transfer(builder, board.docker, tag)
    return Deployment(board, workload, tag)


@contextmanager
def _builder(board: Board) -> Iterator[DockerClient]:
    """Yield the engine that builds for a board: this machine's if architectures agree, else the board's."""
    try:
        host = host_engine()
    except EngineError:
        yield board.docker
        return
    with contextlib.closing(host):
        yield host if host.info()["Architecture"] == board.facts.isa else board.docker


def published_port(container: Container) -> int | None:
    """Return the board's port at which a started container is reached, if it publishes one."""
    container.reload()
    ports = (container.attrs["NetworkSettings"]["Ports"] or {}).values()
    return next((int(bound[0]["HostPort"]) for bound in ports if bound), None)


def remove(board: Board, container: Container) -> None:
    """Remove a container from a board, running or not."""
    with explained(board.name, "removing a container"):
        board.docker.containers.get(str(container.id)).remove(force=True, v=True)


@contextmanager
def afterwards(tidy: Callable[[], None]) -> Iterator[None]:
    """Call `tidy` at the end; if it fails after a failure, the first failure is the one that is told."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(MicrocloudError):
            tidy()
        raise
    tidy()


@contextmanager
def docker_server(deployment: Deployment) -> Iterator[Server]:
    """Run a web server in Docker for as long as the context lasts."""
    board, ready = deployment.board, deployment.workload.ready
    with explained(board.name, f"running {deployment.image}"):
        container = board.docker.containers.run(**deployment.options())
    with afterwards(lambda: remove(board, container)):
        port = published_port(container)
        wait_until_ready(board, ready, port, container)
        yield Server(board, "docker", f"http://{board.address}:{port}{ready.path}")


@contextmanager
def native_server(board: Board, workload: Workload) -> Iterator[Server]:
    """Serve the same page by the board's own Apache httpd; afterwards the board is as it was."""
    page = f"{DOCUMENT_ROOT}/{workload.page}"
    if board.link.run("command -v apache2 || test -x /usr/sbin/apache2", check=False).status != 0:
        raise BoardError(board.name, "has no Apache httpd to compare with: apt-get install apache2")
    was_active = board.link.run("systemctl is-active -q apache2", check=False).status == 0

    def as_it_was() -> None:
        board.link.run(f"rm -f {shlex.quote(page)}", root=True, check=False)
        if not was_active:
            board.link.run("systemctl stop apache2", root=True, check=False)

    with afterwards(as_it_was):
        board.link.run(f"cat > {shlex.quote(page)}", root=True, stdin=picture_page())
        if not was_active:
            board.link.run("systemctl start apache2", root=True)
        started = time.monotonic()
        while not answers(board, workload.ready, NATIVE_PORT, None):
            if time.monotonic() - started > workload.ready.timeout_s:
                raise BoardError(board.name, "its own Apache httpd does not answer")
            time.sleep(0.05)
        yield Server(board, "native", f"http://{board.address}:{NATIVE_PORT}{workload.ready.path}")
