"""Watching the health of a board while something happens on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_microcloud.boards.health import Watch

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board

POLL_S = 0.2
SPIN = "timeout {seconds} sh -c 'while :; do :; done'"


def found(
    board: Board, meanwhile: Callable[[], object] = lambda: None, *, expected: str = "load"
) -> list[str]:
    """Return the reasons of a watch during a call; foreign load is tolerated: tests share this machine."""
    with Watch(board, expected=expected.split()) as watch:
        meanwhile()
    return watch.verdict()


def polled() -> None:
    """Wait for a few readings of the board."""
    time.sleep(5 * POLL_S)
