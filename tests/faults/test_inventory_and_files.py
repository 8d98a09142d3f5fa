"""Invalid inventories, and a controller that cannot write: both are reported, and nothing is lost."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.errors import BoardError, InventoryError

if TYPE_CHECKING:
    from tests.support.real import RealBoard, RealBoards

pytestmark = pytest.mark.engine

PATIENCE_S = 180.0
SUITE = """\
    import os
    from pathlib import Path

    from pytest_microcloud.experiments import serving
    from pytest_microcloud.measurement import Measurement

    def fill(directory):
        with suppress(OSError), (Path(directory) / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1024))

    def test_a(board, measure):
        measure(lambda: [Measurement("startup.ready_time", [15.0])])

    def test_disk_fills_up(board):
        fill(os.environ["FILL"])

    def test_c(board, measure):
        measure(lambda: [Measurement("startup.ready_time", [15.0])])

    def test_pages(serve, measure):
        fill(os.environ["FILL"])
        measure(serving.load, serve("httpd", "docker"), clients=5, requests=500)
    """
HOSTILE = {
    "substitution": "$(touch {owned})",
    "backticks": "`touch {owned}`",
    "next command": "x; touch {owned};",
    "option": "-oProxyCommand=touch {owned}",
    "next line": "x\n  ProxyCommand touch {owned}\nHost y",
    "next word": "x -o ProxyCommand='touch {owned}'",
    "quotes": "'\"; touch {owned}; '\"",
}
VARIABLES = ["ansible_host", "ansible_user", "ansible_ssh_private_key_file", "microcloud_docker_socket"]


@pytest.fixture
def project(tmp_path: Path, real_board: RealBoard) -> Path:
    """A project with one real board in its hosts.ini."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "hosts.ini").write_text(f"[pi3b]\n{real_board.inventory_line()}\n")
    (tmp_path / "test_suite.py").write_text("from contextlib import suppress\n" + dedent(SUITE))
    return tmp_path


def run(project: Path, *arguments: str, before: str = "true", after: str = "true") -> tuple[int, str]:
    """Run pytest in a private mount namespace; return its exit code and output."""
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--hosts=real", *arguments]
    script = f"{before}; {shlex.join(words)}; code=$?; {after}; exit $code"
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def reads_well(message: str) -> bool:
    return not any(noise in message for noise in ("Traceback", "INTERNALERROR", 'File "'))


@pytest.mark.parametrize("variable", VARIABLES)
def test_hostile_text_in_a_variable_is_reported_and_no_shell_runs_it(
    real_boards: RealBoards, real_board: RealBoard, tmp_path: Path, variable: str
) -> None:
    owned = tmp_path / "owned"
    (tmp_path / "host_vars").mkdir()
    names = [f"hostile{n}" for n in range(len(HOSTILE))]
    for name, text in zip(names, HOSTILE.values(), strict=True):
        own = real_board.variables(**{variable: text.format(owned=owned)})
        (tmp_path / "host_vars" / f"{name}.yml").write_text(json.dumps(own))
    (tmp_path / "hosts.ini").write_text("\n".join(["[pi3b]", *names]))
    for name in names:
        with (
            pytest.raises((InventoryError, BoardError), match=name),
            closing(real_boards.rack(tmp_path / "hosts.ini", name)) as rack,
        ):
            rack.board(name)
    assert not owned.exists()
    assert not real_board.shell(f"ls {owned} 2>/dev/null", check=False)


def test_an_unknown_variable_is_reported_with_the_nearest_one(project: Path) -> None:
    (project / "hosts.ini").write_text("[pi3b]\nreal microcloud_docker_sokcet=/run/docker.sock\n")
    code, message = run(project)
    assert code == pytest.ExitCode.USAGE_ERROR, message
    assert "microcloud_docker_sokcet" in message
    assert "did you mean 'microcloud_docker_socket'" in message


def test_unwritable_reports_are_reported_before_anything_is_measured(project: Path) -> None:
    (project / "taken").write_text("a file")
    (project / "reports").mkdir()
    read_only = "mount -t tmpfs -o ro none reports"
    full = "mount -t tmpfs -o size=16k none reports; dd if=/dev/zero of=reports/x 2>/dev/null"
    for option, before, why in (
        ("taken", "true", "Not a directory"),
        ("taken/deeper", "true", "Not a directory"),
        ("reports", read_only, "Read-only file system"),
        ("reports", full, "No space left on device"),
    ):
        code, message = run(project, f"--microcloud-reports={option}", before=before)
        assert code == pytest.ExitCode.USAGE_ERROR, message
        assert f"{option}: cannot write reports to this directory: {why}" in message
        assert "--microcloud-reports" in message
        assert reads_well(message), message


def test_a_disk_that_fills_up_during_the_run_keeps_the_earlier_measurements(project: Path) -> None:
    (project / "reports").mkdir()
    code, message = run(
        project,
        "-k",
        "test_a or test_c or test_disk",
        before="mount -t tmpfs -o size=128k none reports; export FILL=reports",
        after="rm -f reports/filler; cp -r reports kept",
    )
    assert code == pytest.ExitCode.TESTS_FAILED, message
    assert reads_well(message), message
    assert "3 passed" in message
    assert "micro-cloud verdicts" in message
    assert ".json was not written: No space left on device" in message
    assert ".html was not written: No space left on device" in message
    (file,) = (project / "kept" / "runs").glob("*.json")
    (benchmark,) = json.loads(file.read_text())["benchmarks"]
    assert benchmark["name"].startswith("test_a")


def test_a_full_disk_for_temporary_files_invalidates_the_measurement(project: Path) -> None:
    (project / "small").mkdir()
    code, message = run(
        project,
        "-k",
        "test_pages",
        before='export XDG_RUNTIME_DIR=$(mktemp -d) FILL=small TMPDIR="$PWD/small"; '
        "mount -t tmpfs -o size=256k none small",
        after='rm -r "$XDG_RUNTIME_DIR"',
    )
    assert code == pytest.ExitCode.TESTS_FAILED, message
    assert "1 invalid" in message
    assert "is this machine's disk full?" in message
    assert reads_well(message), message


def test_a_path_too_long_for_sockets_is_reported_with_the_variable_to_set(project: Path) -> None:
    code, message = run(project, "-k", "test_a", before=f'export XDG_RUNTIME_DIR="$PWD/{"x" * 60}"')
    assert code == pytest.ExitCode.TESTS_FAILED, message
    assert "too long for sockets (set XDG_RUNTIME_DIR, or TMPDIR, to a short path)" in message
    assert reads_well(message), message


def test_a_killed_controller_leaves_a_complete_run_file_or_none(project: Path, real_board: RealBoard) -> None:
    before = real_board.state()
    suite = """
        import os, signal
        from pytest_microcloud.measurement import Measurement

        def test_a(board, measure):
            measure(lambda: [Measurement("startup.ready_time", [15.0])])

        def test_b(board):
            os.kill(os.getpid(), signal.SIGKILL)
        """
    (project / "test_suite.py").write_text(dedent(suite))
    code, message = run(project)
    assert code == 128 + 9, message
    (file,) = (project / "reports" / "runs").glob("*.json")
    assert json.loads(file.read_text())["benchmarks"]
    assert real_board.changes_since(before) == []
