"""Boards with hardware of their own: they are measured at once, and their load generators take turns."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.fake_boards import Project, said

CPUS = os.cpu_count() or 1
HELD = f"""
    import subprocess, sys
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.controller import uplink

    HOLD = '''
    import time
    from pytest_microcloud.controller import turns
    with turns.turn({CPUS}, print):
        print("held", flush=True)
        time.sleep(1.5)
    '''

    @pytest.fixture(autouse=True)
    def address(monkeypatch):
        monkeypatch.setattr(Board, "address", "127.0.0.1")

    @pytest.fixture
    def busy_controller():
        command = [sys.executable, "-c", HOLD]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout.readline() == "held\\n"
            yield
    """


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Project:
    project = Project(pytester, monkeypatch)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return project


def test_more_boards_than_the_controller_has_cpus_are_measured_at_once(project: Project) -> None:
    boards = [f"board-{number}" for number in range(2 * CPUS + 1)]
    project.hosts(**{name: {} for name in boards})
    project.tests(
        f"""
        import time

        def test_meets_all_others(measure, board):
            def meet():
                Path(f"met-{{board.name}}").touch()
                deadline = time.monotonic() + 60
                while len(list(Path().glob("met-*"))) < {len(boards)}:
                    assert time.monotonic() < deadline, "the others are not measured at the same time"
                    time.sleep(0.05)
                return took(board)

            measure(meet)
        """
    )
    result = project.run("-n", "auto")
    assert result.ret == pytest.ExitCode.OK, said(result)
    result.assert_outcomes(passed=len(boards))


def test_a_load_generator_waits_for_its_turn_and_the_reports_say_so(project: Project) -> None:
    project.tests(
        HELD
        + """
    def test_load(measure, board, busy_controller):
        def load():
            with board.load_turn():
                return took(board)

        measure(load)
    """
    )
    result = project.run()
    assert result.ret == pytest.ExitCode.OK, said(result)
    waited_s = project.document()["machine_info"]["microcloud"]["boards"]["desk"]["waited_s"]
    assert 1 < waited_s < 30
    shared = "their turn on this machine's CPUs and network"
    result.stdout.fnmatch_lines([f"boards waited for {shared}: desk {waited_s:.0f} s"])
    page = (project.path / "reports" / "feasibility.html").read_text()
    assert f"{waited_s:.0f} s for the controller&#x27;s CPUs and network" in page


def test_a_measurement_without_load_does_not_wait(project: Project) -> None:
    project.tests(HELD + "def test_plain(measure, board, busy_controller):\n        measure(took, board)\n")
    result = project.run()
    assert result.ret == pytest.ExitCode.OK, said(result)
    assert project.document()["machine_info"]["microcloud"]["boards"]["desk"]["waited_s"] < 1
    assert "boards waited" not in said(result)


@pytest.mark.parametrize(("uplink", "waits"), [("94e6", True), ("1e12", False), ("None", False)])
def test_a_load_occupies_the_share_of_the_network_that_its_board_can_use(
    project: Project, uplink: str, waits: bool
) -> None:
    project.tests(
        HELD
        + f"""
    def test_load(measure, board, monkeypatch):
        import fcntl
        from pytest_microcloud.controller import turns
        monkeypatch.setattr(uplink, "bits_per_s", lambda address: {uplink})

        def load():
            with board.load_turn(), turns._opened() as handle:
                free = [turns._lock(handle, byte) for byte in range({CPUS} * turns.PER_CPU)]
            assert any(free) is not {waits}
            return took(board)

        measure(load)
    """
    )
    result = project.run()
    assert result.ret == pytest.ExitCode.OK, said(result)
