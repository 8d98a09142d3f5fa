"""Removes what ended runs left on the host's engine. Objects of runs that may be alive are not touched."""

from __future__ import annotations

from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Cleaned:
    """The names of the removed objects, and the names and reasons of objects that could not be removed."""

    removed: list[str] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)


def clean(engine: DockerClient, run_id: str | None = None, *, kept: bool = False) -> Cleaned:
    """Remove what runs left on the host's engine; continue if an object cannot be removed.

    With `run_id`, remove the objects of that run. Otherwise, remove the objects of all runs that are known to
    have ended, on any controller. Boards that were kept for the next run are only removed if `kept` is true.
    Raises EngineError if the engine does not answer.
    """
    label = RUN_LABEL if run_id is None else f"{RUN_LABEL}={run_id}"
    with explained("this machine", "removing what a run left"):
        containers = engine.containers.list(all=True, sparse=True, filters={"label": label})
        volumes = engine.volumes.list(filters={"label": label})
        # Leases are listed last: a run that has just begun took its lease before it created anything.
        alive = lease.held(engine) if run_id is None else set()
        cleaned = Cleaned()
        for container in containers:
            if not kept and _name(container).startswith(KEPT_PREFIX):
                continue
            if run_id is not None or _has_ended(container.attrs.get("Labels") or {}, alive):
                _remove_container(container, cleaned)
        for volume in volumes:
            if run_id is not None or _has_ended(volume.attrs.get("Labels") or {}, alive):
                _remove_volume(volume, cleaned)
    return cleaned


def _has_ended(found: dict[str, str], alive: set[str]) -> bool:
    """Return whether a run is known to have ended. `found` are the labels of an object of that run.

    It has ended if it is not in `alive` (the runs whose leases are held), and the lock of its workspace is
    free. If the labels name no lease, the run is not known to have ended.
    """
    if LEASE_LABEL not in found or found[RUN_LABEL] in alive:
        return False
    return not workspace.alive(Path(found.get(LOCK_LABEL) or workspace.lock_of(found[RUN_LABEL])))


def _remove_container(container: Container, cleaned: Cleaned) -> None:
    from docker.errors import APIError, NotFound

    name = f"container {_name(container)}"
    try:
        container.remove(force=True, v=True)
    except NotFound:
        pass
    except APIError as error:
        if "already in progress" not in str(error):
            cleaned.remaining.append(f"{name}: {error.explanation or error}")
            return
    cleaned.removed.append(name)


def _remove_volume(volume: Volume, cleaned: Cleaned) -> None:
    from docker.errors import APIError, NotFound

    name = f"volume {volume.name}"
    try:
        volume.remove(force=True)
        cleaned.removed.append(name)
    except NotFound:
        pass
    except APIError as error:
        if "in use" not in str(error):  # a kept board uses it
            cleaned.remaining.append(f"{name}: {error.explanation or error}")


def _name(container: Container) -> str:
    return str((container.attrs.get("Names") or [container.id])[0]).lstrip("/")
