"""Free boards are looked for, with stand-ins for boards that take a timeout to be found down."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from pytest_microcloud.boards import free
from pytest_microcloud.boards.board import Board
from pytest_microcloud.boards.lock import Holder
from pytest_microcloud.errors import BoardError


class Down:
    """A board that is down, and that only answers once all boards of `together` have been asked."""

    def __init__(self, name: str, together: threading.Barrier) -> None:
        self.name = name
        self._together = together

    def holder(self) -> Holder | None:
        self._together.wait(timeout=30)
        raise BoardError(self.name, "cannot be reached")

    def cancel(self) -> None:
        pass


def test_boards_that_are_down_are_asked_at_once() -> None:
    first, rest = threading.Barrier(1), threading.Barrier(free.AT_ONCE)
    boards = [Down(f"board-{number}", rest if number else first) for number in range(free.AT_ONCE + 1)]
    with ThreadPoolExecutor(free.AT_ONCE) as threads:
        taken, reasons = free.take(cast("list[Board]", boards), 1, threads=threads, wait_s=0, say=pytest.fail)
    assert taken == []
    assert reasons == {board.name: "cannot be reached" for board in boards}
