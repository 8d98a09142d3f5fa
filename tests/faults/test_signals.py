"""Ctrl-C and SIGKILL at every stage of a run on a real board: nothing is left on it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from tests.support.ended import started
from tests.support.machines import hypriot

if TYPE_CHECKING:
    from tests.support.real import RealBoard, RealBoards

pytestmark = [pytest.mark.engine, pytest.mark.long]

# Logs the stages of a run, line by line, so that a test can choose the moment.
CONFTEST = """\
    import functools

    import pytest

    from pytest_microcloud.boards import preflight
    from pytest_microcloud.boards.link import Link
    from pytest_microcloud.boards.rack import Rack
    from pytest_microcloud.controller import images

    def log(text):
        with open("said", "a") as file:
            print(text, file=file)

    def logged(owner, name, stage):
        usual = getattr(owner, name)

        @functools.wraps(usual)
        def wrapper(*args, **kwargs):
            log(stage)
            return usual(*args, **kwargs)

        setattr(owner, name, wrapper)

    logged(Link, "open", "connecting")
    logged(preflight, "check", "preflight")
    logged(images, "transfer", "deploying")
    logged(Rack, "close", "tidying")

    @pytest.fixture(autouse=True)
    def experiments_logged(board, monkeypatch):
        usual = board.say
        monkeypatch.setattr(board, "say", lambda text: (log(text), usual(text)))
    """
SUITE = """\
    from pytest_microcloud.experiments import hosting, io, serving, startup

    def test_native(serve, measure):
        measure(serving.load, serve("httpd", "native"), clients=50, requests=100_000)

    def test_docker(serve, measure):
        measure(serving.load, serve("httpd", "docker"), clients=50, requests=100_000)

    def test_hosting(deploy, measure):
        measure(hosting.fill, deploy("httpd"))

    def test_io(board, measure):
        measure(io.disk, board, size=4096, repetitions=1000, seconds=1.0)

    def test_startup(deploy, measure):
        measure.repeat(100, startup.reboot, deploy("httpd"))

    def test_briefly(serve):
        serve("httpd", "docker")
    """
STAGES = {
    "connecting": ("test_io", "connecting"),
    "preflight": ("test_io", "preflight"),
    "deploying": ("test_docker", "deploying"),
    "serving natively": ("test_native", "serving native: 100000 requests"),
    "serving by docker": ("test_docker", "serving docker: 100000 requests"),
    "hosting": ("test_hosting", "hosting httpd: 3 containers"),
    "io": ("test_io", "io disk read 4KiB: 2 of "),
    "tidying": ("test_briefly", "tidying"),
}
REBOOTING = ("test_startup", "startup: boot 2")


@pytest.fixture(scope="module")
def desk(real_boards: RealBoards) -> Iterator[RealBoard]:
    board = real_boards.new("desk", **hypriot(others_containers=1))
    yield board
    board.remove()


@pytest.fixture(scope="module")
def before(desk: RealBoard) -> list[str]:
    return desk.state()


@pytest.fixture
def project(tmp_path: Path, desk: RealBoard) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "hosts.ini").write_text(f"[pi3b]\n{desk.inventory_line()}\n")
    (tmp_path / "conftest.py").write_text(dedent(CONFTEST))
    (tmp_path / "test_suite.py").write_text(dedent(SUITE))
    return tmp_path


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_that_is_interrupted_leaves_nothing(
    project: Path, desk: RealBoard, before: list[str], stage: str
) -> None:
    test, expected = STAGES[stage]
    with started(project, "desk", test) as run:
        run.wait_for(expected)
        os.killpg(run.process.pid, signal.SIGINT)
        assert run.wait() in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.OK), run.output
    assert "INTERNALERROR" not in run.output
    assert desk.changes_since(before) == [], run.output
    assert not run.directory.exists()


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_that_is_killed_leaves_nothing_on_the_board(
    project: Path, desk: RealBoard, before: list[str], stage: str
) -> None:
    test, expected = STAGES[stage]
    with started(project, "desk", test) as run:
        run.wait_for(expected)
        run.process.kill()
        run.wait()
    assert desk.changes_since(before) == [], run.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_a_run_that_ends_while_the_board_reboots_leaves_nothing_once_the_next_has_run(
    project: Path, desk: RealBoard, before: list[str], number: signal.Signals
) -> None:
    test, expected = REBOOTING
    with started(project, "desk", test) as run:
        run.wait_for(expected)
        os.killpg(run.process.pid, number)
        run.wait()
    desk.wait_until_up()
    with started(project, "desk", "test_briefly") as following:
        assert following.wait() == pytest.ExitCode.OK, following.output
    assert desk.changes_since(before) == [], run.output + following.output
