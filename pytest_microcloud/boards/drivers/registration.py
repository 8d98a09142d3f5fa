"""What the registry stores about a driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.boards.drivers.protocol import DriverFactory
    from pytest_microcloud.inventory.target import DriverRules


@dataclass(frozen=True)
class Registration:
    """A driver's factory, the class of its boards, and the inventory rules for its hosts."""

    make: DriverFactory
    board: type[Board]
    rules: DriverRules
