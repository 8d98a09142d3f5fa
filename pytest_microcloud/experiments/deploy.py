"""Deploys applications on a board: images, containers, and the native web server."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from pytest_microcloud.boards import undo
from pytest_microcloud.catalog.picture import PAGE_BYTES, picture_page
from pytest_microcloud.controller import images
from pytest_microcloud.controller.engine import explained, host_engine, labels
from pytest_microcloud.errors import BoardError, EngineError, MicrocloudError
from pytest_microcloud.experiments.probe import answering_address, has_ipv4, http_page, wait_until_ready

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
        """Return docker-py's options for a container of the workload, on a port that Docker selects."""
        workload = self.workload
        return {
            "image": self.image,
            "command": list(workload.command) or None,
            "environment": dict(workload.environment),
            "ports": self.published(None) if workload.port else {},
            "stdin_open": workload.ready.kind == "stdin",
            "tty": workload.ready.kind == "stdin",  # Podman closes a pipe after the first client
            "detach": True,  # otherwise Docker closes standard input after the first client
            "labels": labels(self.board.run_id),
            **more,
        }

    @contextmanager
    def running(self, **more: Any) -> Iterator[Container]:
        """Run a container of the workload and wait until it is ready. Remove it when the context ends.

        `more` are further options for docker-py's `containers.run`. Raises BoardError if the container ends
        before it is ready, DeadlineExceeded if it is not ready within the workload's timeout.
        """
        board = self.board
        with explained(board.name, f"running {self.image}"):
            container = board.docker.containers.run(**self.options(**more))
        with afterwards(lambda: remove(board, container)):
            wait_until_ready(board, self.workload.ready, published_port(board, container), container)
            yield container

    def published(self, port: int | None) -> dict[str, tuple[str, int | None]]:
        """Return docker-py's option that publishes the workload on `port` of the board, or on a free port."""
        # Docker publishes on one IP version, since it runs a proxy process for each version. For
        # Podman, no address is given, since netavark < 1.6 ignores ports with an address.
        only = "0.0.0.0" if has_ipv4(self.board.address) else "::"  # noqa: S104
        address = "" if self.board.facts.engine == "Podman" else only
        return {f"{self.workload.port}/tcp": (address, port)}


@dataclass(frozen=True)
class Server:
    """A web server on the board that clients reach at `url`; `setting` is "native" or "docker".

    The host in `url` may have several IP addresses. `address` is the address at which the server responded,
    or empty if that address is not known.
    """

    board: Board
    setting: str
    url: str
    page_bytes: int = PAGE_BYTES
    address: str = ""


def deploy(board: Board, workload: Workload) -> Deployment:
    """Load a workload's image onto the board if it is missing. Raises NotMeasured if no image is available.

    A newly loaded image is removed when the board is released.
    """

    def coming(tag: str) -> None:
        if not board.docker.images.list(name=tag):
            board.undo(undo.unload(tag))

    with _builder(board) as builder:
        isa = board.facts.isa
        if builder is board.docker:
            tag = images.workload(builder, workload, board.say, coming, isa)
            with explained(board.name, f"inspecting the image {tag}"):
                images.must_run_on(builder, builder, tag, board.name, isa)
            return Deployment(board, workload, tag)
        tag = images.workload(builder, workload, board.say, isa=isa)
        with explained(board.name, f"loading the image {tag}"):
            images.must_run_on(board.docker, builder, tag, board.name, isa)
            if not board.docker.images.list(name=tag):
                board.undo(undo.unload(tag))
                board.say(f"loading {tag}")
                images.transfer(builder, board.docker, tag, board.name)
    return Deployment(board, workload, tag)


@contextmanager
def _builder(board: Board) -> Iterator[DockerClient]:
    """Yield the engine that builds images: this machine's if architectures match, otherwise the board's."""
    try:
        host = host_engine()
    except EngineError:
        yield board.docker
        return
    with contextlib.closing(host):
        with explained("this machine", "reading the engine's architecture"):
            same = host.info()["Architecture"] == board.facts.isa
        yield host if same else board.docker


def published_port(board: Board, container: Container) -> int | None:
    """Return the board's port through which a container is reached; None if no port is published."""
    with explained(board.name, "reading a container's port"):
        container.reload()
    ports = (container.attrs["NetworkSettings"]["Ports"] or {}).values()
    return next((int(bound[0]["HostPort"]) for bound in ports if bound), None)


def remove(board: Board, container: Container) -> None:
    """Remove a container from a board, if it still exists."""
    from docker.errors import NotFound

    with explained(board.name, "removing a container"), contextlib.suppress(NotFound):
        board.docker.containers.get(str(container.id)).remove(force=True, v=True)


@contextmanager
def afterwards(tidy: Callable[[], None]) -> Iterator[None]:
    """Call `tidy` when the context ends. If both fail, the error of the context is raised."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(MicrocloudError):
            tidy()
        raise
    tidy()


@contextmanager
def changed(board: Board, back: str) -> Iterator[None]:
    """Record the command that reverts a change of the board (`Board.undo`); run it when the context ends."""
    note = board.undo(back)
    with afterwards(lambda: board.revert(note)):
        yield


@contextmanager
def docker_server(deployment: Deployment) -> Iterator[Server]:
    """Run a web server in Docker for as long as the context lasts."""
    board, ready = deployment.board, deployment.workload.ready
    with deployment.running() as container:
        port = published_port(board, container)
        yield _server(board, "docker", port, ready.path, _page_bytes(deployment, port))


def _page_bytes(deployment: Deployment, port: int | None) -> int:
    """Return the page's length in bytes: a constant for the picture page, otherwise measured by a GET."""
    board, workload = deployment.board, deployment.workload
    if workload.page is not None or port is None:
        return PAGE_BYTES
    try:
        _, body = http_page(*board.reach(port), workload.ready.path)
    except (OSError, HTTPException) as error:
        raise BoardError(board.name, f"{workload.name} did not return its page: {error!r}") from error
    return max(1, len(body))


@contextmanager
def native_server(board: Board, workload: Workload) -> Iterator[Server]:
    """Serve the picture page with the board's native Apache httpd, and restore the board afterwards."""
    page = f"{DOCUMENT_ROOT}/{workload.page}"
    board.need("apache2")
    was_active = board.link.run("systemctl is-active -q apache2", check=False).status == 0
    if not was_active and board.link.run(f"ss -Hltn 'sport = :{NATIVE_PORT}'", check=False).stdout:
        raise BoardError(
            board.name,
            f"its Apache httpd cannot serve: something else listens at port {NATIVE_PORT}. Stop that program "
            "(`ss -ltnp` on the board shows its name)",
        )

    quoted, saved = shlex.quote(page), shlex.quote(f"{page}.before-microcloud")
    existed = board.link.run(f"test -e {quoted}", root=True, check=False).status == 0
    with ExitStack() as stack:
        back = f"[ ! -e {saved} ] || mv -f {saved} {quoted}" if existed else f"rm -f {quoted}"
        stack.enter_context(changed(board, back))
        if existed:
            board.link.run(f"mv {quoted} {saved}", root=True)
        board.link.run(f"cat > {quoted}", root=True, stdin=picture_page())
        if not was_active:
            stack.enter_context(changed(board, "systemctl stop apache2"))
            board.link.run("systemctl start apache2", root=True)
        wait_until_ready(board, workload.ready, NATIVE_PORT)
        yield _server(board, "native", NATIVE_PORT, workload.ready.path, PAGE_BYTES)


def _server(board: Board, setting: str, port: int | None, path: str, page_bytes: int) -> Server:
    """Return the `Server` for a web server that is ready, with the address at which it responds."""
    if port is None:
        raise BoardError(board.name, "cannot be put under load: its web server publishes no port")
    host, reached = board.reach(port)
    try:
        address = answering_address(host, reached)
    except OSError as error:
        raise BoardError(board.name, f"its web server no longer responds at port {port}: {error}") from error
    in_url = f"[{host}]" if ":" in host else host
    return Server(board, setting, f"http://{in_url}:{reached}{path}", page_bytes, address)
