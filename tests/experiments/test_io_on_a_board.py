"""I/O, with the real fio and sysbench on an emulated board."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.experiments import io

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board

pytestmark = pytest.mark.engine

SMALL, LARGE = 4096, 4 * 2**20
REPETITIONS = 2


def test_more_bytes_take_longer_on_disk_and_the_files_are_removed(pi3b: Board) -> None:
    small = {m.metric: m for m in io.disk(pi3b, size=SMALL, repetitions=REPETITIONS, seconds=0.5)}
    large = {m.metric: m for m in io.disk(pi3b, size=LARGE, repetitions=REPETITIONS, seconds=0.5)}
    assert list(small) == ["io.disk_read_time", "io.disk_write_time"]
    for metric in small:
        assert small[metric].labels == {"size": "4KiB"}
        assert large[metric].labels == {"size": "4MiB"}
        assert len(small[metric].samples) == len(large[metric].samples) == REPETITIONS
        assert 0 < small[metric].median < large[metric].median
    assert pi3b.link.run(f"ls -A {io.DIRECTORY}", check=False).status != 0


def test_more_bytes_take_longer_in_memory(pi3b: Board) -> None:
    (small,) = io.memory(pi3b, size=SMALL, repetitions=1, seconds=1)
    (large,) = io.memory(pi3b, size=LARGE, repetitions=1, seconds=1)
    assert large.labels == {"size": "4MiB"}
    assert 0 < small.median < large.median
