"""Removes what ended runs left on the host's engine. Objects of runs that may be alive are not touched."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_microcloud.controller import lease, workspace
from pytest_microcloud.controller.engine import (
    KEPT_PREFIX,
    LEASE_LABEL,
    LOCK_LABEL,
    RUN_LABEL,
    explained,
)

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container
    from docker.models.volumes import Volume


def clean(engine: DockerClient, run_id: str | None = None, *, kept: bool = False) -> list[str]:
    """Remove what runs left on the host's engine, and return the names of the removed objects.

    With `run_id`, remove the objects of that run; without, those of all runs that are known to have ended, on
    any controller. Boards that were kept for the next run are only removed if `kept` is true. Raises
    EngineError.
    """
    label = RUN_LABEL if run_id is None else f"{RUN_LABEL}={run_id}"
    with explained("this machine", "removing what a run left"):
        containers = engine.containers.list(all=True, sparse=True, filters={"label": label})
        volumes = engine.volumes.list(filters={"label": label})
        # Listed last: a run that began in the meantime took its lease before it created anything.
        alive = lease.held(engine) if run_id is None else set()
        removed = [
            _remove(container)
            for container in containers
            if (kept or not _name(container).startswith(KEPT_PREFIX))
            and (run_id is not None or _has_ended(container.attrs.get("Labels") or {}, alive))
        ]
        removed += [
            f"volume {volume.name}"
            for volume in volumes
            if (run_id is not None or _has_ended(volume.attrs.get("Labels") or {}, alive))
            and _removed(volume)
        ]
    return removed


def _has_ended(found: dict[str, str], alive: set[str]) -> bool:
    """Whether the run with these labels has ended: it has no lease, and its lock is free."""
    if LEASE_LABEL not in found or found[RUN_LABEL] in alive:
        return False
    return not workspace.alive(Path(found.get(LOCK_LABEL) or workspace.lock_of(found[RUN_LABEL])))


def _removed(volume: Volume) -> bool:
    from docker.errors import APIError

    with suppress(APIError):  # in use by a kept board, or removed already
        volume.remove(force=True)
        return True
    return False


def _name(container: Container) -> str:
    return str((container.attrs.get("Names") or [container.id])[0]).lstrip("/")


def _remove(container: Container) -> str:
    from docker.errors import APIError, NotFound

    try:
        container.remove(force=True, v=True)
    except NotFound:
        pass
    except APIError as error:
        if "already in progress" not in str(error):
            raise
    return f"container {_name(container)}"
