"""Leases, which show all sessions on the same engine that a run is alive.

A lease is a container that ends when its standard input closes. The standard input is a connection of the
process that holds the lease, so the container ends with that process, even after SIGKILL. A run takes its
lease before it creates anything else. So an object is a leftover if its label names a lease that no longer
exists.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_microcloud.controller import tethered
from pytest_microcloud.controller.engine import LEASE_LABEL, RUN_LABEL, explained, lease_name
from pytest_microcloud.controller.tethered import Tethered

if TYPE_CHECKING:
    from docker import DockerClient

STARTING_S = 60.0
"""For this long after its creation, a lease counts as held even if its container has not started."""


def take(engine: DockerClient, image: str, run_id: str) -> Tethered | None:
    """Take the lease of a run; None if another session holds it. Raises EngineError.

    `image` is any image with a shell. Only one session can take a lease, because container names are
    unique.
    """
    from docker.errors import APIError

    with explained("this machine", f"taking the lease of run {run_id}"):
        try:
            container = tethered.create(
                engine, image, ["-c", "exec cat >/dev/null"], name=lease_name(run_id), run_id=run_id
            )
        except APIError as error:
            if error.status_code != 409:
                raise
            return None
        return Tethered(container)


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
