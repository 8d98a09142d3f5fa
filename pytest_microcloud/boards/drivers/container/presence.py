"""Uses container labels to find an emulated board on this machine, and the run that uses the board."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_microcloud.boards.drivers.protocol import Found
from pytest_microcloud.boards.lock import Holder
from pytest_microcloud.controller import lease
from pytest_microcloud.controller.engine import (
    CONTROLLER_LABEL,
    KEPT_PREFIX,
    RUN_LABEL,
    controller,
    explained,
)

if TYPE_CHECKING:
    from docker import DockerClient

BOARD_LABEL = "microcloud.board"


def labels_of(board: str) -> list[str]:
    """Return the labels that select the containers of a board that this machine emulates."""
    return [f"{BOARD_LABEL}={board}", f"{CONTROLLER_LABEL}={controller()}"]


def find(engine: DockerClient, board: str) -> Found:
    """Return a board's state: in use, kept, left by a killed run, or not running. Raises EngineError."""
    with explained("this machine", "listing the emulated boards"):
        there = engine.containers.list(all=True, sparse=True, filters={"label": labels_of(board)})
        alive = lease.held(engine)
    found = Found()
    for container in there:
        run_id = container.attrs["Labels"][RUN_LABEL]
        if run_id in alive:
            since = float(container.attrs["Created"])
            return Found(what="running", holder=Holder(since, False, run_id, board, controller()))
        kept = container.attrs["Names"][0].lstrip("/").startswith(KEPT_PREFIX)
        found = Found(what=f"{'kept' if kept else 'left'} by run {run_id}: microcloud clean removes it")
    return found
