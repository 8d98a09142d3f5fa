"""Two sessions that need one board: the second reports the holder, or waits."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.errors import BoardBusy, BoardError

if TYPE_CHECKING:
    from tests.conftest import NewRack
    from tests.support.real import RealBoard

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PATIENCE_S = 240.0
SUITE = """
    import pathlib
    import time

    def test_first(host):
        for _ in range(600):
            if pathlib.Path("go").exists():
                break
            time.sleep(0.1)

    def test_second(host):
        assert host.service("docker").is_running
    """


@contextmanager
def another_session(real_board: RealBoard, pytester: pytest.Pytester) -> Iterator[subprocess.Popen[bytes]]:
    """Run a session that works on the board until there is a file `go`."""
    (pytester.path / "hosts.ini").write_text(f"[pi3b]\n{real_board.inventory_line()}\n")
    pytester.makeini("[pytest]\n")
    pytester.makepyfile(SUITE)
    command = [sys.executable, "-m", "pytest", "--hosts=pi3b", "--microcloud-reports=first"]
    with subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not real_board.shell("cat /run/lock/microcloud.lock", check=False).count(" busy "):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield process
        finally:
            (pytester.path / "go").touch()
            process.wait(PATIENCE_S)


def test_the_second_of_two_sessions_is_shown_the_holder_and_since_when(
    real_board: RealBoard, pytester: pytest.Pytester
) -> None:
    with another_session(real_board, pytester) as first:
        done = pytester.runpytest_subprocess("--hosts=pi3b", "-k", "test_second")
        assert first.poll() is None
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["BoardBusy: real: is in use by *@* (run *) since 20*: wait for it with *"])
    assert first.returncode == 0


def test_a_session_can_wait_for_another_to_end(real_board: RealBoard, pytester: pytest.Pytester) -> None:
    with another_session(real_board, pytester):
        second = subprocess.Popen(
            [sys.executable, "-m", "pytest", "--hosts=pi3b", "--microcloud-wait=200", "-k", "test_second"],
            cwd=pytester.path,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
        )
        assert second.stdout
        message = next(line for line in second.stdout if b"is in use by" in line)
        (pytester.path / "go").touch()
        rest, _ = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 0, rest.decode()
    assert message.startswith(b"  real: is in use by ")


@pytest.mark.parametrize("wrong", ["soon", "-1", "inf", "nan"])
def test_an_invalid_wait_time_is_a_usage_error(pytester: pytest.Pytester, wrong: str) -> None:
    (pytester.path / "hosts.ini").write_text("[pi3b]\ndesk ansible_host=192.0.2.1\n")
    pytester.makeini(f"[pytest]\nmicrocloud_wait = {wrong}\n")
    pytester.makepyfile(SUITE)
    done = pytester.runpytest_subprocess("--hosts=pi3b")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: --microcloud-wait={wrong}: give a number of seconds"])


def test_two_names_of_one_machine_are_found_out(real_board: RealBoard, pytester: pytest.Pytester) -> None:
    line = real_board.inventory_line()
    (pytester.path / "hosts.ini").write_text(f"[pi3b]\n{line}\n{line.replace('real ', 'again ', 1)}\n")
    pytester.makeini("[pytest]\n")
    pytester.makepyfile("def test_it(host):\n    assert host.service('docker').is_running\n")
    done = pytester.runpytest_subprocess("--hosts=all")
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["BoardBusy: *: is the same machine as *: remove one of the names*"])


def test_an_emulated_board_has_a_lock_as_well(new_rack: NewRack) -> None:
    with closing(new_rack("locked")) as rack:
        board = rack.board("locked")
        assert board.lock.held
        assert f" {board.run_id} locked " in board.link.run("cat /run/lock/microcloud.lock").stdout


def test_the_board_is_free_when_a_rack_is_closed(real_board: RealBoard) -> None:
    first, second = real_board.in_rack(), real_board.in_rack()
    first.board(real_board.name)
    with pytest.raises(BoardBusy):
        second.board(real_board.name)
    with pytest.raises(BoardError, match="is in use by"):  # and is not tried again in this run
        second.board(real_board.name)
    first.close()
    with closing(real_board.in_rack()) as third:
        third.board(real_board.name)
    second.close()
