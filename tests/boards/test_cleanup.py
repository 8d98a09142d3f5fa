"""A run leaves nothing on this machine, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.controller import engine
from tests.support.ended import PATIENCE_S, Run, started

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from pytest_microcloud.boards.board import Board

pytestmark = [pytest.mark.engine, pytest.mark.long]

# Logs the progress of experiments, line by line, so that a test can choose the moment.
CONFTEST = """\
import pytest

@pytest.fixture(autouse=True)
def logged(board, monkeypatch):
    usual = board.say

    def say(text):
        with open("said", "a") as file:
            print(text, file=file)
        usual(text)

    monkeypatch.setattr(board, "say", say)
"""
SUITE = """\
from pytest_microcloud.experiments import hosting, io, serving, startup

def test_serving(serve, measure):
    server = serve("httpd", "docker")
    measure(serving.load, server, clients=50, requests=100_000)

def test_hosting(deploy, measure):
    measure(hosting.fill, deploy("httpd"))

def test_io(board, measure):
    measure(io.disk, board, size=4096, repetitions=1000, seconds=1.0)

def test_startup(deploy, measure):
    measure.repeat(100, startup.reboot, deploy("httpd"))

def test_everything_briefly(board, serve, deploy, measure):
    server = serve("httpd", "native")
    measure(serving.load, server, clients=5, requests=20)
"""
MOMENTS = {
    "serving": "serving docker: 100000 requests",
    "hosting": "hosting httpd: 3 containers",
    "io": "io disk read 4KiB: 2 of ",
    "startup": "startup: boot 2",
}


def left(run: Run, host_engine: DockerClient) -> list[str]:
    label = f"{engine.RUN_LABEL}={run.id}"
    return [
        *(
            str(c.name)
            for c in host_engine.containers.list(all=True, ignore_removed=True, filters={"label": label})
        ),
        *(str(v.name) for v in host_engine.volumes.list(filters={"label": label})),
        *(str(n.name) for n in host_engine.networks.list(filters={"label": label})),
        *processes(str(run.directory)),
        *([str(run.directory)] if run.directory.exists() else []),
    ]


def processes(text: str) -> Iterator[str]:
    """Yield the command lines of live processes that contain a text."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command:
            yield command


def nothing_is_left(run: Run, host_engine: DockerClient) -> bool:
    """Wait for processes that are ending, and return whether all have ended."""
    deadline = time.monotonic() + 10
    while there := left(run, host_engine):
        if time.monotonic() > deadline:
            print(f"left: {there}\n{run.output}")
            return False
        time.sleep(0.1)
    return True


def the_host_may_sleep(run: Run, host_engine: DockerClient) -> bool:
    """Wait for the loops that keep the host awake to end with their controller."""
    deadline = time.monotonic() + 10
    while [name for name in left(run, host_engine) if name.endswith("-awake")]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "hosts.ini").write_text("[pi3b]\nlittle microcloud_driver=container\n")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_suite.py").write_text(dedent(SUITE))
    return tmp_path


@pytest.fixture(scope="module")
def neighbours(host_engine: DockerClient) -> Iterator[list[Container]]:
    """Foreign objects on the same engine: a container without labels, and a run of another controller."""
    elsewhere = {engine.RUN_LABEL: "20200101T000000-abcd", engine.CONTROLLER_LABEL: "another-machine"}
    made = [
        host_engine.containers.create("microcloud/base:bookworm", "true", labels=labels)
        for labels in ({}, elsewhere)
    ]
    yield made
    for container in made:
        container.remove(force=True)


@pytest.fixture(autouse=True)
def others_are_untouched(
    pi3b: Board, host_engine: DockerClient, neighbours: list[Container]
) -> Iterator[None]:
    yield
    assert pi3b.link.run("echo alive").stdout == "alive\n"  # a run that goes on beside
    for container in neighbours:
        host_engine.containers.get(str(container.id))


@pytest.mark.parametrize("experiment", sorted(MOMENTS))
def test_an_interrupted_run_leaves_nothing(project: Path, host_engine: DockerClient, experiment: str) -> None:
    with started(project, "pi3b", f"test_{experiment}") as run:
        run.wait_for(MOMENTS[experiment])
        assert left(run, host_engine)
        os.killpg(run.process.pid, signal.SIGINT)
        assert run.wait() == pytest.ExitCode.INTERRUPTED, run.output
    assert "KeyboardInterrupt" in run.output
    assert nothing_is_left(run, host_engine)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_run_leaves_nothing(
    project: Path, host_engine: DockerClient, number: signal.Signals
) -> None:
    with started(project, "pi3b", "test_hosting") as run:
        run.wait_for(MOMENTS["hosting"])
        assert left(run, host_engine)
        run.process.send_signal(number)
        assert run.wait() == pytest.ExitCode.INTERRUPTED, run.output
    assert f"ended by {number.name}" in run.output
    assert "1 planned test has not run yet" in run.output
    assert (project / "reports" / "feasibility.html").exists()
    assert nothing_is_left(run, host_engine)


def test_the_next_run_removes_what_a_killed_one_left_and_leaves_nothing_itself(
    project: Path, host_engine: DockerClient
) -> None:
    with started(project, "pi3b", "test_hosting") as killed:
        killed.wait_for("hosting httpd: 1 container,")
        killed.process.kill()
        killed.process.wait()
    lost = killed.id
    assert left(killed, host_engine)
    (project / "output").rename(project / "first")
    with started(project, "pi3b", "test_everything_briefly") as run:
        assert run.wait() == pytest.ExitCode.OK, run.output
    assert nothing_is_left(run, host_engine)
    assert f"removed container microcloud-{lost}-little of a killed run" in run.output
    (project / "first").rename(project / "output")
    assert nothing_is_left(killed, host_engine)


def test_who_does_not_see_the_lock_of_a_live_run_leaves_its_board_alone(
    project: Path, host_engine: DockerClient, tmp_path: Path
) -> None:
    elsewhere = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "TMPDIR": str(tmp_path)}
    clean = [sys.executable, "-m", "pytest_microcloud.cli", "clean"]
    with started(project, "pi3b", "test_hosting") as run:
        run.wait_for("hosting httpd: 1 container,")
        before = {name for name in left(run, host_engine) if " " not in name}  # processes come and go
        done = subprocess.run(
            clean, env=elsewhere, capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )
        assert run.id not in done.stdout
        assert set(left(run, host_engine)) >= before
        run.wait_for("hosting httpd: 3 containers")
        os.killpg(run.process.pid, signal.SIGINT)
        assert run.wait() == pytest.ExitCode.INTERRUPTED, run.output
    assert nothing_is_left(run, host_engine)


@pytest.fixture
def machine_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have a run keep the host awake itself, although the tests' own board does so already."""
    with TemporaryDirectory() as directory:  # a short path: sockets are in it
        monkeypatch.setenv("TMPDIR", directory)
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        yield


@pytest.mark.usefixtures("machine_of_its_own")
def test_microcloud_clean_removes_what_a_killed_run_left(project: Path, host_engine: DockerClient) -> None:
    with started(project, "pi3b", "test_io") as killed:
        killed.wait_for("io disk read")
        assert [name for name in left(killed, host_engine) if name.endswith("-awake")]
        killed.process.kill()
        killed.process.wait()
    assert left(killed, host_engine)
    assert the_host_may_sleep(killed, host_engine)
    clean = [sys.executable, "-m", "pytest_microcloud.cli", "clean"]
    done = subprocess.run(clean, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert f"removed container microcloud-{killed.id}-little\n" in done.stdout
    assert f"removed the files of run {killed.id}\n" in done.stdout
    assert nothing_is_left(killed, host_engine)
    again = subprocess.run(clean, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert killed.id not in again.stdout
