"""I/O, with the real fio and sysbench on an emulated board."""

from __future__ import annotations

import shlex
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.experiments import io

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from tests.support.real import RealBoard

pytestmark = pytest.mark.engine

SMALL, LARGE = 4096, 4 * 2**20
REPETITIONS = 2
# As fio was before 3.23, e.g. on HypriotOS.
OLD_FIO = """\
#!/bin/sh
case "$*" in *sync=dsync*) echo "fio: failed parsing sync=dsync" >&2; exit 1 ;; esac
exec /usr/bin/fio "$@"
"""


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


def test_a_fio_that_does_not_know_dsync_is_good_enough(real_board: RealBoard) -> None:
    before = real_board.state()
    old = "/usr/local/bin/fio"
    real_board.shell(f"printf %s {shlex.quote(OLD_FIO)} > {old} && chmod 755 {old}")
    try:
        with closing(real_board.in_rack()) as rack:
            seen = io.disk(rack.board(real_board.name), size=SMALL, repetitions=1, seconds=0.1)
    finally:
        real_board.shell(f"rm {old}")
    assert [m.metric for m in seen] == ["io.disk_read_time", "io.disk_write_time"]
    assert real_board.changes_since(before) == []


def test_a_link_that_another_user_created_is_not_followed(real_board: RealBoard) -> None:
    real_board.shell(f"mkdir /srv/theirs && ln -s /srv/theirs {io.DIRECTORY}")
    before = real_board.shell("ls -lA /srv/theirs")
    try:
        with closing(real_board.in_rack()) as rack:
            board = rack.board(real_board.name)
            seen_as_root: list[str] = []
            board.say = lambda _: seen_as_root.append(real_board.shell(f"stat -c %A {io.DIRECTORY}").strip())
            io.disk(board, size=SMALL, repetitions=1, seconds=0.1)
        assert set(seen_as_root) == {"drwx------"}
        assert real_board.shell("ls -lA /srv/theirs") == before
    finally:
        real_board.shell(f"rm -rf {io.DIRECTORY} /srv/theirs")


def test_more_bytes_take_longer_in_memory(pi3b: Board) -> None:
    (small,) = io.memory(pi3b, size=SMALL, repetitions=1, seconds=1)
    (large,) = io.memory(pi3b, size=LARGE, repetitions=1, seconds=1)
    assert large.labels == {"size": "4MiB"}
    assert 0 < small.median < large.median
