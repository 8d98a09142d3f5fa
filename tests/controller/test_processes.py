"""Child processes end with this process, together with the processes that they started."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pytest_microcloud
from pytest_microcloud.controller.processes import end_group, ends_with_us


def _ends(pid: int, within_s: float = 5.0) -> bool:
    """Return whether a process ends within that time; a zombie counts as ended."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_ending_a_group_ends_the_grandchild() -> None:
    child = subprocess.Popen(
        ["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE, start_new_session=True
    )
    assert child.stdout is not None
    with child.stdout:
        grandchild = int(child.stdout.readline())
    end_group(child)
    assert child.returncode == -signal.SIGTERM
    assert _ends(grandchild)


def test_ending_a_group_kills_what_ignores_sigterm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_microcloud.controller.processes.END_TIMEOUT_S", 0.2)
    child = subprocess.Popen(
        ["sh", "-c", "trap '' TERM; echo ready; sleep 600 & wait; sleep 600"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout is not None
    with child.stdout:
        child.stdout.readline()
    end_group(child)
    assert child.returncode == -signal.SIGKILL


def test_ending_a_group_that_has_ended_does_not_fail() -> None:
    child = subprocess.Popen(["true"], start_new_session=True)
    child.wait()
    end_group(child)
    assert child.returncode == 0


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs util-linux's setpriv")
def test_a_child_ends_when_its_parent_is_killed() -> None:
    script = (
        "import subprocess, time; from pytest_microcloud.controller.processes import ends_with_us; "
        "child = subprocess.Popen([*ends_with_us(), 'sleep', '600']); print(child.pid, flush=True); "
        "time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
    while Path(f"/proc/{child}/comm").read_text().strip() != "sleep":  # setpriv comes first
        time.sleep(0.01)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert _ends(child)


def test_no_prefix_is_used_without_setpriv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert ends_with_us() == ()


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs util-linux's setpriv")
def test_a_child_whose_parent_ended_before_it_could_ask_for_the_signal_does_not_start(tmp_path: Path) -> None:
    command = [*ends_with_us(), "touch", str(tmp_path / "started")]
    subprocess.run(["sh", "-c", f"{shlex.join(command)}; true"], check=True)  # its parent is another process
    assert not (tmp_path / "started").exists()
    subprocess.run(command, check=True)
    assert (tmp_path / "started").exists()


def test_ctrl_c_lets_a_command_end_first(tmp_path: Path) -> None:
    script = (
        "import signal; from pytest_microcloud.controller import processes; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "processes.run(['sh', '-c', 'touch begun; sleep 1; touch ended'], stdin=b'', timeout_s=60)"
    )
    session = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(pytest_microcloud.__file__).parent.parent)},
    )
    while not (tmp_path / "begun").exists():
        assert session.poll() is None
        time.sleep(0.01)
    os.killpg(session.pid, signal.SIGINT)
    _, errors = session.communicate(timeout=30)
    assert b"KeyboardInterrupt" in errors
    assert (tmp_path / "ended").exists()
