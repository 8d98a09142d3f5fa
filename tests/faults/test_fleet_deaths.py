"""A worker, the controller or a board of a distributed session is killed at a random moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud.controller import engine, leftovers

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = [pytest.mark.engine, pytest.mark.long]

BOARDS = ("left", "right")
SUITE = """\
import os
import pytest
from pathlib import Path
from pytest_microcloud.experiments import io

@pytest.mark.parametrize("turn", range(6))
def test_io(board, measure, turn):
    Path(f"worker-{board.name}").write_text(str(os.getpid()))
    measure(io.memory, board, size=4096, repetitions=5, seconds=0.2)
"""
KILLED = """\
import os
import signal

def test_last(board):
    if board.name == "left":
        os.kill(os.getpid(), signal.SIGKILL)
"""
ALL = {f"test_io.py::test_io[ssh://{board}-{turn}]" for board in BOARDS for turn in range(6)}
PATIENCE_S = 400.0
MOMENTS = [0, *(pytest.param(moment, marks=pytest.mark.fleet) for moment in range(1, 7))]


class Fleet:
    """A session of two emulated boards, each with a worker."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
        hosts = "".join(f"{board} microcloud_driver=container\n" for board in BOARDS)
        (path / "hosts.ini").write_text(f"[pi3b]\n{hosts}")
        (path / "test_io.py").write_text(SUITE)

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        with (self.path / "output").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-mpytest", "--hosts=all", "-n", "auto", *more],
                cwd=self.path,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return (self.path / "output").read_text(errors="replace")

    def document(self) -> dict[str, Any]:
        (file,) = (self.path / "reports" / "runs").glob("*.json")
        document: dict[str, Any] = json.loads(file.read_text())
        return document

    def measured(self) -> set[str]:
        return {benchmark["fullname"] for benchmark in self.document()["benchmarks"]}

    def wait_for_workers(self, session: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not all((self.path / f"worker-{board}").exists() for board in BOARDS):
            assert session.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def at(self, moment: str) -> subprocess.Popen[bytes]:
        """Start a session, and return it at a random moment after both workers have begun."""
        session = self.start()
        self.wait_for_workers(session)
        time.sleep(random.Random(moment).uniform(0, 4))
        return session

    def worker(self, board: str) -> int:
        return int((self.path / f"worker-{board}").read_text())


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def left(host_engine: DockerClient) -> Iterator[str]:
    """Yield what a run has left on the engine, apart from what this test session uses itself."""
    filters: dict[str, Any] = {"label": engine.LEASE_LABEL}
    for container in host_engine.containers.list(all=True, ignore_removed=True, filters=filters):
        if any(board in str(container.name) for board in BOARDS):
            yield str(container.name)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_that_is_killed_loses_no_finished_measurement(
    fleet: Fleet, host_engine: DockerClient, moment: int
) -> None:
    session = fleet.at(f"worker {moment}")
    os.kill(fleet.worker("left"), signal.SIGKILL)
    assert session.wait(PATIENCE_S) in (0, 1), fleet.output
    missing = ALL - fleet.measured()
    assert len(missing) <= 1, fleet.output  # the test in which it died
    assert all("left" in test for test in missing)
    assert list(left(host_engine)) == []


def test_a_worker_that_is_killed_in_its_last_test_leaves_no_board(
    fleet: Fleet, host_engine: DockerClient
) -> None:
    (fleet.path / "test_io.py").write_text(KILLED)
    session = fleet.start()
    assert session.wait(PATIENCE_S) == pytest.ExitCode.TESTS_FAILED, fleet.output
    assert "1 failed, 1 passed" in fleet.output
    assert list(left(host_engine)) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_controller_that_is_killed_loses_no_finished_measurement(
    fleet: Fleet, host_engine: DockerClient, moment: int
) -> None:
    session = fleet.at(f"controller {moment}")
    session.kill()
    session.wait(10)
    before = fleet.measured()
    resumed = fleet.start("--microcloud-resume")
    assert resumed.wait(PATIENCE_S) == 0, fleet.output
    assert before <= fleet.measured()
    assert len(fleet.measured()) == 12
    deadline = time.monotonic() + 30
    while list(left(host_engine)) and time.monotonic() < deadline:
        leftovers.clean(host_engine)
        time.sleep(0.5)
    assert list(left(host_engine)) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_board_that_is_killed_loses_no_finished_measurement(
    fleet: Fleet, host_engine: DockerClient, moment: int
) -> None:
    session = fleet.at(f"board {moment}")
    (board,) = (name for name in left(host_engine) if name.endswith("-left"))
    host_engine.containers.get(board).kill()
    assert session.wait(PATIENCE_S) in (0, 1), fleet.output
    missing = ALL - fleet.measured()
    assert len(missing) <= 1, fleet.output  # the test in which it died
    assert all("left" in test for test in missing)
    assert list(left(host_engine)) == []
