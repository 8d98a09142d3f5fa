"""Docker engines, spoken to through docker-py: the host's (for emulated boards) and each board's own."""

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
"""Where the lock of the run is on its controller: while it is held, the run is alive."""
LEASE_LABEL = "microcloud.lease"
"""The name of the run's lease on the engine (`lease.py`): once that is gone, the run has ended."""
KEPT_PREFIX = "microcloud-kept-"
"""How the name of a board begins that was handed over to the next run: labels cannot be added later."""
CALL_TIMEOUT_S = 120
"""Deadline of one call to an engine. An overloaded board starts a container slowly, but not this slowly."""


def connect(url: str, board: str, timeout_s: float = CALL_TIMEOUT_S) -> DockerClient:
    """Return a client of the engine at that URL, or raise an EngineError that says what to do."""
    import docker
    from docker.errors import DockerException, InvalidVersion

    try:
        if url.startswith("unix://"):
            _knock(url.removeprefix("unix://"))
        client = docker.DockerClient(base_url=url, version="auto", timeout=int(timeout_s))
        if _is_podman(client):
            # It hangs up on a connection that is idle for ten seconds, be it that a request is under way.
            client.api.headers["Connection"] = "close"
    except InvalidVersion as error:
        raise EngineTooOld(
            board,
            f"its engine is {_make(url)}, and API 1.24 (Docker 1.12) is the oldest that will do: install a "
            "newer one, https://docs.docker.com/engine/install has how",
        ) from error
    except DockerException as error:
        raise EngineError(board, f"no Docker engine answers: {_first_line(error)}") from error
    except OSError as error:
        kind = EngineMissing if isinstance(error, FileNotFoundError) else EngineError
        raise kind(board, f"no Docker engine answers: {error.strerror or error}") from error
    return client


def _is_podman(client: DockerClient) -> bool:
    return any(part["Name"].startswith("Podman") for part in client.version().get("Components") or ())


def _knock(path: str) -> None:
    """Raise OSError if nobody listens there: docker-py would say it in worse words, and leak a socket."""
    with socket.socket(socket.AF_UNIX) as knocking:
        knocking.connect(path)


def _make(url: str) -> str:
    """Return what an engine says that it is, though it is too old for docker-py."""
    from docker import APIClient
    from docker.constants import MINIMUM_DOCKER_API_VERSION

    with closing(APIClient(url, version=MINIMUM_DOCKER_API_VERSION, timeout=CALL_TIMEOUT_S)) as api:
        said = api.version(api_version=False)
    return f"Docker {said.get('Version', '?')} with API {said.get('ApiVersion', '?')}"


def host_engine() -> DockerClient:
    """Return the engine of this machine: DOCKER_HOST, else the usual socket."""
    url = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    try:
        return connect(url, "this machine")
    except EngineError as error:
        raise type(error)(
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


def within(timeout_s: float, board: str, step: str, call: Callable[[], T]) -> T:
    """Call docker-py with a deadline of the whole: its own is one of silence, and a stream may trickle on.

    Raises DeadlineExceeded, and what the call raises. A call that is late is left to its own deadline.
    """
    came: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            came.append(call())
        except BaseException as error:
            failed.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(timeout_s)
    if failed:
        raise failed[0]
    if not came:
        raise DeadlineExceeded(board, f"{step}: did not end within {timeout_s:.0f} s")
    return came[0]


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
    """Run a container to its end, yield it, and remove it; `options` are docker-py's.

    Raises EngineError when it exits with other than 0, DeadlineExceeded when it does not end in time.
    """
    with explained(board, step):
        container = engine.containers.create(image, list(command), **options)
        try:
            container.start()
            status = _wait(container, board, step, timeout_s)
            if status != 0:
                said = container.logs(tail=5).decode(errors="replace")[-300:].strip()
                raise EngineError(board, f"{step}: exited with {status}: {said or 'nothing was said'}")
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
    """Raise EngineError if that engine is not this machine's: a board on it could not be reached.

    An emulated board is reached at its address on the engine's bridge, which only the engine's machine has.
    """
    with explained("this machine", "asking the engine where it is"):
        info = engine.info()
    url = os.environ.get("DOCKER_HOST") or "unix://"
    same_kernel = info["KernelVersion"] == platform.release()
    if not same_kernel or (not url.startswith("unix://") and info["Name"] != socket.gethostname()):
        raise EngineError(
            "this machine",
            f"the Docker engine is elsewhere (on {info['Name']}), and an emulated board can be reached only "
            "from the machine that it runs on: unset DOCKER_HOST to use an engine here, or call pytest there",
        )


def controller() -> str:
    """Return the name of this machine, which knows whether its runs are alive."""
    return socket.gethostname()


def labels(run_id: str) -> dict[str, str]:
    """Return the labels of everything that we create on an engine; cleaning goes by them."""
    return {RUN_LABEL: run_id, CONTROLLER_LABEL: controller()}


def host_labels(run_id: str) -> dict[str, str]:
    """Return the labels of what we create on the host's engine: those, and what proves the run alive."""
    marks = {LOCK_LABEL: str(workspace.lock_of(run_id)), LEASE_LABEL: lease_name(run_id)}
    return labels(run_id) | marks


def lease_name(run_id: str) -> str:
    """Return the name of the container that is a run's lease."""
    return f"microcloud-{run_id}-lease"


def _first_line(error: Exception) -> str:
    text = getattr(error, "explanation", None) or str(error)
    return str(text).strip().splitlines()[0] if str(text).strip() else type(error).__name__
