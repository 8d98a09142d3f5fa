"""Docker engines, spoken to through docker-py: the host's (for emulated boards) and each board's own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_microcloud.boards import workspace
from pytest_microcloud.errors import DeadlineExceeded, EngineError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

RUN_LABEL = "microcloud.run"
CONTROLLER_LABEL = "microcloud.controller"
KEEP_LABEL = "microcloud.keep"
CALL_TIMEOUT_S = 120
"""Deadline of one call to an engine. An overloaded board starts a container slowly, but not this slowly."""


def connect(url: str, board: str, timeout_s: float = CALL_TIMEOUT_S) -> DockerClient:
    """Return a client of the engine at that URL, or raise an EngineError that says what to do."""
    import docker
    from docker.errors import DockerException

    try:
        if url.startswith("unix://"):
            _knock(url.removeprefix("unix://"))
        client = docker.DockerClient(base_url=url, version="auto", timeout=int(timeout_s))
        client.ping()
    except DockerException as error:
        raise EngineError(board, f"no Docker engine answers: {_first_line(error)}") from error
    except OSError as error:
        raise EngineError(board, f"no Docker engine answers: {error.strerror or error}") from error
    return client


def _knock(path: str) -> None:
    """Raise OSError if nobody listens there: docker-py would say it in worse words, and leak a socket."""
    with socket.socket(socket.AF_UNIX) as knocking:
        knocking.connect(path)


def host_engine() -> DockerClient:
    """Return the engine of this machine: DOCKER_HOST, else the usual socket."""
    url = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    try:
        return connect(url, "this machine")
    except EngineError as error:
        raise EngineError(
            "this machine",
            f"{error.what}. An emulated board needs one at {url}: run `make setup`, or start it "
            "(`systemctl start docker`, or `dockerd` where there is no init system)",
        ) from error


@contextmanager
def explained(board: str, step: str) -> Iterator[None]:
    """Turn what docker-py raises inside into an EngineError that names the board and the step."""
    import requests.exceptions
    from docker.errors import DockerException

    try:
        yield
    except requests.exceptions.Timeout as error:
        raise DeadlineExceeded(
            board, f"{step}: the Docker engine did not answer within {CALL_TIMEOUT_S} s"
        ) from error
    except (DockerException, requests.exceptions.RequestException) as error:
        raise EngineError(board, f"{step}: {_first_line(error)}") from error


def labels(run_id: str) -> dict[str, str]:
    """Return the labels that everything bears that we create on an engine; cleaning goes by them."""
    return {RUN_LABEL: run_id, CONTROLLER_LABEL: socket.gethostname()}


def clean(engine: DockerClient, run_id: str | None = None, *, kept: bool = False) -> list[str]:
    """Remove what a run left on the host's engine, and return the names of what was removed.

    With `run_id`, that run's things. Without, those of all runs of this controller that are not alive any
    more; boards that were kept on purpose are spared unless `kept` is true.
    """
    from docker.errors import APIError, NotFound

    wanted = RUN_LABEL if run_id is None else f"{RUN_LABEL}={run_id}"
    removed = [
        _remove(container)
        for container in engine.containers.list(all=True, sparse=True, filters={"label": wanted})
        if _ours_to_remove(container.attrs.get("Labels") or {}, run_id, kept)
    ]
    for volume in engine.volumes.list(filters={"label": wanted}):
        if _ours_to_remove(volume.attrs.get("Labels") or {}, run_id, kept):
            try:
                volume.remove(force=True)
                removed.append(f"volume {volume.name}")
            except (NotFound, APIError):
                continue  # in use by a board that was kept, or gone already
    return removed


def _ours_to_remove(found: dict[str, str], run_id: str | None, kept: bool) -> bool:
    if found.get(KEEP_LABEL) and not kept:
        return False
    if run_id is not None:
        return True
    return found.get(CONTROLLER_LABEL) == socket.gethostname() and not workspace.alive(found[RUN_LABEL])


def _remove(container: Container) -> str:
    from docker.errors import APIError, NotFound

    name = str(container.attrs.get("Names", [container.id])[0]).lstrip("/")
    try:
        container.remove(force=True, v=True)
    except NotFound:
        pass
    except APIError as error:
        if "already in progress" not in str(error):
            raise
    return f"container {name}"


def _first_line(error: Exception) -> str:
    text = getattr(error, "explanation", None) or str(error)
    return str(text).strip().splitlines()[0] if str(text).strip() else type(error).__name__
