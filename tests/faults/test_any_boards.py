"""Sessions that use any free boards, at once, on real boards: no board ever has two."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.real import RealBoard, RealBoards

pytestmark = [pytest.mark.engine, pytest.mark.long]

PATIENCE_S = 240.0
LOCK = "/run/lock/microcloud.lock"
SUITE = f"""
    import pathlib
    import time

    def test_first(host):
        lock = host.check_output("cat {LOCK}")
        with pathlib.Path("locks").open("a") as file:
            file.write(lock + chr(10))
        while not pathlib.Path("go").exists():
            time.sleep(0.1)
    """


@pytest.fixture(scope="module")
def boards(real_boards: RealBoards) -> Iterator[tuple[RealBoard, RealBoard]]:
    both = real_boards.new("desk"), real_boards.new("shelf")
    yield both
    for board in both:
        board.remove()


@pytest.fixture
def session(
    boards: tuple[RealBoard, RealBoard], pytester: pytest.Pytester
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start sessions on both boards whose tests run until there is a file `go`."""
    lines = "\n".join(board.inventory_line() for board in boards)
    (pytester.path / "hosts.ini").write_text(f"[pi3b]\n{lines}\n")
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider\n")
    pytester.makepyfile(SUITE)
    with ExitStack() as stack:

        def start(number: int, *arguments: str) -> subprocess.Popen[str]:
            command = [
                sys.executable,
                "-m",
                "pytest",
                "--hosts=all",
                f"--microcloud-reports=reports-{number}",
            ]
            return stack.enter_context(
                subprocess.Popen(
                    [*command, *arguments],
                    cwd=pytester.path,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )

        try:
            yield start
        finally:
            (pytester.path / "go").touch()


def holder(board: RealBoard) -> str:
    """Return the run that holds a board's lock; empty if it is free."""
    words = board.shell(f"cat {LOCK} 2>/dev/null", check=False).split()
    return words[3] if words[1:2] == ["busy"] else ""


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_two_sessions_at_once_get_a_board_each_and_a_third_none(
    boards: tuple[RealBoard, RealBoard],
    session: Callable[..., subprocess.Popen[str]],
    pytester: pytest.Pytester,
) -> None:
    before = [board.state() for board in boards]
    both = session(1, "--microcloud-any=1"), session(2, "--microcloud-any=1", "-n", "1")
    written = pytester.path / "locks"
    wait_until(lambda: written.exists() and len(written.read_text().splitlines()) == 2)
    runs = sorted(line.split()[3] for line in written.read_text().splitlines())
    assert sorted(holder(board) for board in boards) == runs
    assert [run.endswith("-gw0") for run in runs].count(True) == 1
    third = session(3, "--microcloud-any=1")
    said, _ = third.communicate(timeout=PATIENCE_S)
    assert third.returncode == pytest.ExitCode.USAGE_ERROR, said
    assert all(f"(run {run}) since " in said for run in runs), said
    assert "for `pytest --hosts=all --microcloud-reports=reports-1 --microcloud-any=1`" in said
    (pytester.path / "go").touch()
    outputs = [each.communicate(timeout=PATIENCE_S)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0], "\n".join(outputs)
    assert [board.changes_since(state) for board, state in zip(boards, before, strict=True)] == [[], []]


def test_a_controller_holds_the_locks_of_boards_that_no_worker_has_begun(
    boards: tuple[RealBoard, RealBoard],
    session: Callable[..., subprocess.Popen[str]],
    pytester: pytest.Pytester,
) -> None:
    desk, shelf = boards
    fleet = session(1, "--microcloud-any=2", "-n", "1")
    wait_until(lambda: holder(desk).endswith("-gw0"))
    run = holder(desk).removesuffix("-gw0")
    assert holder(shelf) == run
    other = session(2, "--microcloud-any=1", "--microcloud-wait=5")
    said, _ = other.communicate(timeout=PATIENCE_S)
    assert other.returncode == pytest.ExitCode.USAGE_ERROR
    assert re.search(r"^microcloud: waiting for 1 free board for \d+ s, at most 5 s: desk is in use", said)
    assert holder(shelf) == run
    (pytester.path / "go").touch()
    output, _ = fleet.communicate(timeout=PATIENCE_S)
    assert fleet.returncode == 0, output
    taken = [line.split()[3] for line in (pytester.path / "locks").read_text().splitlines()]
    assert taken == [f"{run}-gw0"] * 2
    wait_until(lambda: not holder(desk) and not holder(shelf))
