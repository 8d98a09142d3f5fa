"""What the tests of faults share: a jump host, and short timeouts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.boards import board as boards
from tests.support.logins import PATIENCE_S

if TYPE_CHECKING:
    from tests.support.real import RealBoard, RealBoards


@pytest.fixture(scope="module")
def gate(real_boards: RealBoards) -> Iterator[RealBoard]:
    """A jump host."""
    machine = real_boards.new("gate", user="porter", engine=None)
    yield machine
    machine.remove()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a connection take seconds only."""
    monkeypatch.setattr(boards, "CONNECT_TIMEOUT_S", PATIENCE_S)
