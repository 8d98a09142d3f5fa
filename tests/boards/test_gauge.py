"""The gauge's readings of a board's memory while a process allocates memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.boards.gauge import Gauge
from pytest_microcloud.errors import LinkError

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board

pytestmark = pytest.mark.engine

ALLOCATED = 100_000_000
CACHED = 32 * 2**20


def test_memory_that_a_process_takes_shows_until_it_ends(pi3b: Board) -> None:
    taker = f"exec perl -e 'vec(my $x, {ALLOCATED - 1}, 8) = 1; $| = 1; print \"taken\\n\"; <STDIN>'"
    with Gauge(pi3b.link) as gauge:
        before = gauge.read()
        process = pi3b.link.start(taker)
        assert process.stdin
        assert process.stdout
        try:
            assert process.stdout.readline() == b"taken\n"
            during = gauge.read()
        finally:
            process.stdin.close()
            process.wait(10)
            process.stdout.close()
        after = gauge.read()
    assert before.available_bytes - during.available_bytes == pytest.approx(ALLOCATED, rel=0.2)
    assert after.available_bytes == pytest.approx(before.available_bytes, abs=0.2 * ALLOCATED)
    assert before.total_bytes == during.total_bytes == after.total_bytes
    assert before.uptime_s <= during.uptime_s <= after.uptime_s


def test_page_cache_does_not_count_as_used(pi3b: Board) -> None:
    with Gauge(pi3b.link) as gauge:
        before = gauge.read()
        pi3b.link.run(f"head -c {CACHED} /dev/zero > /var/tmp/cached && sync /var/tmp/cached", timeout_s=120)
        pi3b.link.run("cat /var/tmp/cached > /dev/null")
        during = gauge.read()
        pi3b.link.run("rm /var/tmp/cached")
    assert abs(before.available_bytes - during.available_bytes) < 0.2 * CACHED


def test_a_gauge_leaves_nothing_running_on_the_board(pi3b: Board) -> None:
    running = "pgrep -f '[M]emAvailable'"
    with Gauge(pi3b.link) as gauge:
        gauge.read()
        assert pi3b.link.run(running).stdout
    gone = f"for i in $(seq 50); do {running} >&2 || exit 0; sleep 0.1; done; exit 1"  # not at once
    assert pi3b.link.run(gone, check=False).status == 0


def test_a_gauge_whose_shell_ended_reports_a_broken_connection(pi3b: Board) -> None:
    with Gauge(pi3b.link) as gauge:
        gauge.read()
        pi3b.link.run("pkill -f '[M]emAvailable'")
        with pytest.raises(LinkError, match="shared: the connection broke"):
            gauge.read()
