"""Takes the locks of as many free boards as a session needs. A board is free if no other session uses it."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from pytest_microcloud.boards.lock import SAY_EVERY_S, TIDYING_S
from pytest_microcloud.errors import BoardError

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board

POLL_S = 4.0
"""Mean time between two attempts to reserve boards. The actual time is random, so that two sessions do not
block each other forever."""
AT_ONCE = 8
"""If a board was not free, ask at least this many at once next: each board that is down costs a timeout."""
RACE_S = 30.0
"""How long to keep trying if another session takes a board that was free a moment before."""


def take(
    boards: Sequence[Board], count: int, *, threads: Executor, wait_s: float, say: Callable[[str], None]
) -> tuple[list[Board], dict[str, str]]:
    """Reserve and return the first `count` free boards, and return why other boards are not free.

    The second value is a dict from a board's name to the reason why the board is not free. If too few boards
    are free until the timeout, no board is reserved, and the list is empty. A session never keeps some boards
    while it waits for more, because two such sessions could wait for each other. `wait_s` is the timeout;
    while a board is being cleaned up, the timeout is at least TIDYING_S. `say` is called once a minute with
    the reasons. Connections to boards that are not reserved are closed. The connections of reserved boards
    end with `threads`: the kernel ends an ssh process with the thread that started it (see `processes`).
    """
    try:
        taken, reasons = _wait(boards, count, threads, wait_s, say)
    except BaseException:
        _cancel(boards, threads)
        raise
    _cancel([board for board in boards if board not in taken], threads)
    return taken, reasons


def _wait(
    boards: Sequence[Board], count: int, threads: Executor, wait_s: float, say: Callable[[str], None]
) -> tuple[list[Board], dict[str, str]]:
    started_s, said_s, raced = time.monotonic(), -SAY_EVERY_S, False
    while True:
        reasons, tidying = _look(boards, count, threads)
        if len(boards) - len(reasons) >= count:
            taken = _reserve([b for b in boards if b.name not in reasons], count, threads, reasons)
            if taken:
                return taken, reasons
            raced = True
        waited_s = time.monotonic() - started_s
        timeout_s = max(wait_s, TIDYING_S if tidying else 0.0, RACE_S if raced else 0.0)
        if waited_s >= timeout_s:
            return [], reasons
        if waited_s - said_s >= SAY_EVERY_S:
            said_s = waited_s
            what = "; ".join(f"{name} {reason}" for name, reason in reasons.items())
            wanted = f"{count} free board{'s' if count > 1 else ''}"
            say(f"waiting for {wanted} for {waited_s:.0f} s, at most {timeout_s:.0f} s: {what}")
        time.sleep(POLL_S * random.uniform(0.5, 1.5))  # noqa: S311 - not for secrets


def _look(boards: Sequence[Board], count: int, threads: Executor) -> tuple[dict[str, str], bool]:
    """Return a dict from boards that are not free to the reasons, and whether a board is being cleaned up.

    The boards are asked in their order, several at once, until `count` boards are free: first `count` boards,
    then as many boards as are missing, but at least AT_ONCE.
    """
    reasons: dict[str, str] = {}
    tidying, asked = False, 0
    while asked < len(boards) and asked - len(reasons) < count:
        missing = count - (asked - len(reasons))
        batch = boards[asked : asked + (max(AT_ONCE, missing) if asked else missing)]
        for board, (reason, is_tidying) in zip(batch, threads.map(_ask, batch), strict=True):
            reasons |= {board.name: reason} if reason else {}
            tidying |= is_tidying
        asked += len(batch)
    return reasons, tidying


def _ask(board: Board) -> tuple[str, bool]:
    """Return why a board is not free (empty if it is), and whether the board is being cleaned up."""
    try:
        holder = board.holder()
    except BoardError as error:
        return error.what, False
    return (f"is in use by {holder}", holder.tidying) if holder else ("", False)


def _reserve(boards: Sequence[Board], count: int, threads: Executor, reasons: dict[str, str]) -> list[Board]:
    """Reserve `count` boards, or none if too few are free. Add the reasons for failures to `reasons`."""
    taken: list[Board] = []
    asked = 0
    while asked < len(boards) and len(taken) < count:
        batch = boards[asked : asked + count - len(taken)]
        for board, reason in zip(batch, threads.map(_reserved, batch), strict=True):
            if reason:
                reasons[board.name] = reason
            else:
                taken.append(board)
        asked += len(batch)
    if len(taken) == count:
        return taken
    _cancel(taken, threads)
    return []


def _reserved(board: Board) -> str:
    """Reserve a board. Return an empty string on success, otherwise the reason for the failure."""
    try:
        board.reserve()
    except BoardError as error:
        return error.what
    return ""


def _cancel(boards: Sequence[Board], threads: Executor) -> None:
    list(threads.map(_cancelled, boards))


def _cancelled(board: Board) -> None:
    with contextlib.suppress(BoardError):
        board.cancel()
