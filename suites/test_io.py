"""I/O overhead (section 4.III of the paper)."""

import pytest

from pytest_microcloud.experiments import io

pytestmark = pytest.mark.experiment("io")


@pytest.mark.sweep("size")
def test_disk_access(board, effort, measure, limit, size):
    limit(measure(io.disk, board, size=size, repetitions=effort.io_rounds, seconds=effort.io_seconds))


@pytest.mark.sweep("size")
def test_memory_access(board, effort, measure, limit, size):
    limit(measure(io.memory, board, size=size, repetitions=effort.io_rounds, seconds=effort.io_seconds))
