"""SIGTERM, SIGHUP and a closed terminal end a session as Ctrl-C does."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.fake_boards import Project

PATIENCE_S = 60.0
SUITE = """\
    import time

    def test_first(measure, board):
        measure(took, board)

    @pytest.fixture
    def on_board(board):
        yield
        Path("torn down").touch()

    def test_takes_long(measure, on_board):
        Path("started").touch()
        time.sleep(600)
    """


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(pytester, monkeypatch)
    project.tests(SUITE)
    return project


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not file.exists():
        assert time.monotonic() < deadline, f"{file.name} never came"
        time.sleep(0.05)


def cleaned_up(project: Project) -> bool:
    reports = project.path / "reports"
    assert (project.path / "torn down").exists()
    assert project.done() == ["desk on", "desk off"]
    assert [b["name"] for b in project.document()["benchmarks"]] == ["test_first[ssh://desk]"]
    return (reports / "feasibility.html").exists() and (reports / "generations.html").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_session_as_ctrl_c_does(project: Project, number: signal.Signals) -> None:
    session = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--hosts=all"],
        cwd=project.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    wait_for(project.path / "started")
    session.send_signal(number)
    session.send_signal(signal.SIGTERM)  # as a service manager that is in a hurry
    output, _ = session.communicate(timeout=PATIENCE_S)
    assert session.returncode == pytest.ExitCode.INTERRUPTED, output
    assert f"ended by {number.name}" in output
    assert "micro-cloud verdicts" in output
    assert "1 planned test has not run yet: to resume, add --microcloud-resume" in output
    assert cleaned_up(project)


def test_a_closed_terminal_ends_the_session_as_ctrl_c_does(project: Project) -> None:
    process, terminal = pty.fork()
    if not process:
        os.chdir(project.path)
        os.execv(sys.executable, [sys.executable, "-m", "pytest", "--hosts=all"])  # noqa: S606
    wait_for(project.path / "started")
    with contextlib.suppress(OSError):
        os.read(terminal, 100_000)
    os.close(terminal)
    deadline = time.monotonic() + PATIENCE_S
    while (ended := os.waitpid(process, os.WNOHANG))[0] == 0:
        assert time.monotonic() < deadline, "the session goes on"
        time.sleep(0.05)
    assert os.waitstatus_to_exitcode(ended[1]) == pytest.ExitCode.INTERRUPTED
    assert cleaned_up(project)


def test_signals_that_are_ignored_on_purpose_stay_ignored(project: Project) -> None:
    project.tests("def test_first(measure, board):\n    os.kill(os.getpid(), 1)\n    measure(took, board)")
    result = subprocess.run(
        ["nohup", sys.executable, "-m", "pytest", "--hosts=all"],
        cwd=project.path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert result.returncode == pytest.ExitCode.OK, result.stdout


def test_a_signal_ends_a_test_that_catches_every_exception(project: Project) -> None:
    project.tests(
        """\
        def test_stubborn(board):
            try:
                os.kill(os.getpid(), 15)
                os.getpid()
            except Exception:
                pass

        def test_next(board):
            Path("went on").touch()
        """
    )
    result = project.run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert not (project.path / "went on").exists()
    assert project.done() == ["desk on", "desk off"]
