"""A jump host for the tests of faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.real import RealBoard, RealBoards


@pytest.fixture(scope="module")
def gate(real_boards: RealBoards) -> Iterator[RealBoard]:
    """A jump host."""
    machine = real_boards.new("gate", user="porter", engine=None)
    yield machine
    machine.remove()
