"""Leases, which show all sessions on the same engine that a run is alive.

A lease is a container that ends when its standard input closes. The standard input is a connection of the
process that holds the lease, so the container ends with that process, even after SIGKILL. A run takes its
lease before it creates anything else. So an object is a leftover if its label names a lease that no longer
exists.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from pytest_microcloud.controller.engine import (
    LEASE_LABEL,
    RUN_LABEL,
    explained,
    host_labels,
    lease_name,
)

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

STARTING_S = 60.0
"""For this long after its creation, a lease counts as held even if its container has not started."""


RELEASE_TIMEOUT_S = 60.0


class Lease:
    """A lease that this process holds until `release` or until the process ends."""

    def __init__(self, container: Container, held_by: Any) -> None:
        self._container = container
        self._input = held_by

    def release(self) -> None:
        """Release the lease, and wait until its container is removed and another session can take it."""
        from docker.errors import APIError, NotFound

        with contextlib.suppress(OSError):
            getattr(self._input, "_sock", self._input).close()  # docker-py wraps the socket in a SocketIO
        self._input.close()
        with contextlib.suppress(APIError):  # the engine also removes it (auto_remove)
            self._container.remove(force=True)
        with contextlib.suppress(NotFound):
            self._container.wait(condition="removed", timeout=RELEASE_TIMEOUT_S)


def take(engine: DockerClient, image: str, run_id: str) -> Lease | None:
    """Take the lease of a run; None if another session holds it. Raises EngineError.

    `image` is any image with a shell. Only one session can take a lease, because container names are
    unique.
    """
    from docker.errors import APIError

    api = engine.api
    with explained("this machine", f"taking the lease of run {run_id}"):
        try:
            created = api.create_container(
                image,
                ["-c", "exec cat >/dev/null"],
                name=lease_name(run_id),
                entrypoint="sh",
                stdin_open=True,
                detach=False,  # standard input closes when its first client disconnects
                labels=host_labels(run_id),
                host_config=api.create_host_config(auto_remove=True, network_mode="none"),
            )
        except APIError as error:
            if error.status_code != 409:
                raise
            return None
        container = engine.containers.get(created["Id"])
        held_by = container.attach_socket(params={"stdin": 1, "stream": 1})
        container.start()
    return Lease(container, held_by)


def held(engine: DockerClient) -> set[str]:
    """Return the ids of the runs whose leases are held by any session. Raises EngineError."""
    with explained("this machine", "listing the runs that are alive"):
        labelled = engine.containers.list(all=True, sparse=True, filters={"label": LEASE_LABEL})
    runs = set()
    for container in labelled:
        marks = container.attrs.get("Labels") or {}
        names = [name.lstrip("/") for name in container.attrs.get("Names") or ()]
        if marks.get(LEASE_LABEL) not in names:
            continue  # not the lease, but another container of its run
        state = container.attrs["State"]
        young = time.time() - container.attrs["Created"] < STARTING_S
        if state == "running" or (state == "created" and young):
            runs.add(marks[RUN_LABEL])
    return runs
