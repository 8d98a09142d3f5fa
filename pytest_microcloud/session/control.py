"""Reads each board's control (fixed loads that show drift) before and after its tests that measure."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud import fixtures
from pytest_microcloud.errors import BoardError
from pytest_microcloud.session.items import board_of, stage_of
from pytest_microcloud.session.state import SESSION

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board


class ControlReadings:
    """The hooks that read the control, in the process that drives the boards.

    A reading waits in the session's `readings` for the next report of a test on its board. If a control
    cannot be read, its reading has no times, which is never an error. During the gate's confirmation no
    control is read, because drift affects both of its alternating sides.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._session = config.stash[SESSION]
        self._last: dict[str, pytest.Item] = {}
        self._started: set[str] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Store each board's last test that measures, now that the order of the tests is known."""
        self._last = {board: item for item in session.items if (board := _measured(item))}

    def before(self, item: pytest.Item, board: Board) -> None:
        """Read the board's control if `item` is the board's first test that measures."""
        if _measured(item) and board.name not in self._started:
            self._started.add(board.name)
            self._read(board, "start")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Read the board's control after its last test that measures, or when the session stops early."""
        try:
            result = yield
        except Exception:
            self._after(item)
            raise
        self._after(item)
        return result

    def _after(self, item: pytest.Item) -> None:
        name = _measured(item)
        stops = bool(item.session.shouldstop or item.session.shouldfail)
        if name in self._started and (stops or item is self._last.get(name)):
            self._read(self._session.boards[name], "end")

    def _read(self, board: Board, at: str) -> None:
        from pytest_microcloud.catalog import loads

        reading: dict[str, Any]
        try:
            reading = asdict(board.read_control())
        except (BoardError, OSError) as error:
            why = error.what if isinstance(error, BoardError) else str(error)
            reading = {"times_s": {}, "left_out": dict.fromkeys(loads(), why)}
        self._session.readings.setdefault(board.name, []).append({"at": at, **reading})


def _measured(item: pytest.Item) -> str:
    """Return the name of the board that a test measures; empty if none, or in the gate's confirmation."""
    measures = fixtures.uses(item, ("measure",)) and not stage_of(item)
    return (board_of(item) or "") if measures else ""
