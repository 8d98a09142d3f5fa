"""Docker engines, used through docker-py: the host's (for emulated boards) and each board's own."""

from __future__ import annotations

import os
import platform
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_microcloud.controller import workspace
from pytest_microcloud.errors import DeadlineExceeded, EngineError, EngineMissing, EngineTooOld

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

T = TypeVar("T")
RUN_LABEL = "microcloud.run"
CONTROLLER_LABEL = "microcloud.controller"
LOCK_LABEL = "microcloud.lock"
"""The label's value is the path of the run's lock on its controller, held for as long as the run is alive."""
LEASE_LABEL = "microcloud.lease"
"""The label's value is the name of the run's lease (`lease.py`). A run without a lease has ended."""
KEPT_PREFIX = "microcloud-kept-"
"""Prefix of the container name of a board kept for the next run: labels cannot be added to a container."""
CALL_TIMEOUT_S = 120
"""Timeout of one call to an engine. Even an overloaded board starts a container faster than this."""


def connect(url: str, board: str, timeout_s: float = CALL_TIMEOUT_S) -> DockerClient:
    """Return a client of the engine at a URL, or raise an EngineError that states what to do."""
    import docker
    from docker.errors import DockerException, InvalidVersion

    try:
        if url.startswith("unix://"):
            _knock(url.removeprefix("unix://"))
        client = docker.DockerClient(base_url=url, version="auto", timeout=int(timeout_s))
        if _is_podman(client):
            # Podman closes a connection that is idle for ten seconds, even during a request.
            client.api.headers["Connection"] = "close"
    except InvalidVersion as error:
        raise EngineTooOld(
            board,
            f"its engine is {_version(url)}, but API 1.24 (Docker 1.12) or newer is needed: install a "
            "newer engine (see https://docs.docker.com/engine/install)",
        ) from error
    except DockerException as error:
        raise EngineError(board, f"no Docker engine responds: {_first_line(error)}") from error
    except OSError as error:
        kind = EngineMissing if isinstance(error, FileNotFoundError) else EngineError
        raise kind(board, f"no Docker engine responds: {error.strerror or error}") from error
    return client


def _is_podman(client: DockerClient) -> bool:
    return any(part["Name"].startswith("Podman") for part in client.version().get("Components") or ())


def _knock(path: str) -> None:
    """Raise OSError if no process listens at the path. docker-py's error is less clear and leaks a socket."""
    with socket.socket(socket.AF_UNIX) as knocking:
        knocking.connect(path)


def _version(url: str) -> str:
    """Return a text with the version and API version of an engine that is too old for docker-py."""
    from docker import APIClient
    from docker.constants import MINIMUM_DOCKER_API_VERSION

    with closing(APIClient(url, version=MINIMUM_DOCKER_API_VERSION, timeout=CALL_TIMEOUT_S)) as api:
        version = api.version(api_version=False)
    return f"Docker {version.get('Version', '?')} with API {version.get('ApiVersion', '?')}"


def host_engine() -> DockerClient:
    """Return a client of this machine's engine: at DOCKER_HOST, otherwise at Docker's default socket."""
    url = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    try:
        return connect(url, "this machine")
    except EngineError as error:
        raise type(error)(
            "this machine",
            f"{error.what}. An emulated board needs an engine at {url}: run `make setup`, or start Docker "
            "(`systemctl start docker`, or `dockerd` where there is no init system)",
        ) from error


@contextmanager
def explained(board: str, step: str) -> Iterator[None]:
    """Convert docker-py's exceptions in the context to an EngineError that names `board` and `step`."""
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


def within(timeout_s: float, board: str, step: str, call: Callable[[], T]) -> T:
    """Call docker-py with a timeout for the whole call.

    docker-py's own timeout only limits the time without data. A late call continues in its thread until
    docker-py's timeout. Raises DeadlineExceeded, or the exception of the call.
    """
    results: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:
            failed.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(timeout_s)
    if failed:
        raise failed[0]
    if not results:
        raise DeadlineExceeded(board, f"{step}: did not end within {timeout_s:.0f} s")
    return results[0]


@contextmanager
def ended(
    engine: DockerClient,
    image: str,
    command: Sequence[str],
    *,
    board: str,
    step: str,
    timeout_s: float,
    **options: Any,
) -> Iterator[Container]:
    """Run a container, yield it after its end, and remove it when the context ends.

    `options` are docker-py's options for creating a container. Raises EngineError if the exit status is not
    0, and DeadlineExceeded if the container does not end in time.
    """
    with explained(board, step):
        container = engine.containers.create(image, list(command), **options)
        try:
            container.start()
            status = _wait(container, board, step, timeout_s)
            if status != 0:
                output = container.logs(tail=5).decode(errors="replace")[-300:].strip()
                raise EngineError(board, f"{step}: exited with {status}: {output or 'no output'}")
            yield container
        finally:
            container.remove(force=True, v=True)


def _wait(container: Container, board: str, step: str, timeout_s: float) -> int:
    import requests.exceptions

    started = time.monotonic()
    try:
        return int(container.wait(timeout=timeout_s)["StatusCode"])
    except (requests.exceptions.Timeout, requests.exceptions.ConnectionError) as error:
        if time.monotonic() - started < timeout_s:
            raise
        raise DeadlineExceeded(board, f"{step}: did not end within {timeout_s:.0f} s") from error


def must_be_here(engine: DockerClient) -> None:
    """Raise EngineError if the engine runs on another machine, where a board could not be reached.

    An emulated board is reached at its address on the engine's bridge, which exists only on the engine's
    machine.
    """
    with explained("this machine", "reading the engine's location"):
        info = engine.info()
    url = os.environ.get("DOCKER_HOST") or "unix://"
    same_kernel = info["KernelVersion"] == platform.release()
    if not same_kernel or (not url.startswith("unix://") and info["Name"] != socket.gethostname()):
        raise EngineError(
            "this machine",
            f"the Docker engine runs on {info['Name']}, and an emulated board can only be reached "
            "from the engine's machine: unset DOCKER_HOST to use an engine on this machine, or run pytest "
            "on that machine",
        )


def controller() -> str:
    """Return this machine's name, for labels: a run's lock can only be checked on the run's controller."""
    return socket.gethostname()


def labels(run_id: str) -> dict[str, str]:
    """Return a dict of labels for everything that a run creates on an engine."""
    return {RUN_LABEL: run_id, CONTROLLER_LABEL: controller()}


def host_labels(run_id: str) -> dict[str, str]:
    """Return a dict of labels for everything that a run creates on the host's engine.

    The dict contains `labels`, and the labels of the run's lock and lease.
    """
    marks = {LOCK_LABEL: str(workspace.lock_of(run_id)), LEASE_LABEL: lease_name(run_id)}
    return labels(run_id) | marks


def lease_name(run_id: str) -> str:
    """Return the name of the container that serves as a run's lease."""
    return f"microcloud-{run_id}-lease"


def _first_line(error: Exception) -> str:
    text = getattr(error, "explanation", None) or str(error)
    return str(text).strip().splitlines()[0] if str(text).strip() else type(error).__name__
