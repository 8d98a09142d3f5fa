"""Hooks that a user's conftest.py or plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.measurement import Measurement
    from pytest_microcloud.registry import Registry


@pytest.hookspec
def pytest_microcloud_register(registry: Registry) -> None:
    """Register drivers, experiments and meters; called once per session, before the inventory is read.

    If a plugin that implements this hook is loaded later, this is a usage error.
    """


@pytest.hookspec
def pytest_microcloud_board_ready(board: Board, config: pytest.Config) -> None:
    """Called before the first test of each boot of a board (`board.boot`), once the board's engine responds.

    An exception in an implementation ends the test; the hook is called again before the next test.
    """


@pytest.hookspec
def pytest_microcloud_measured(board: Board, measurements: list[Measurement], item: pytest.Item) -> None:
    """Called with a test's measurements before they are judged and stored. The hook may change the list."""
