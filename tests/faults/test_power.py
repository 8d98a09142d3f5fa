"""A board's power, cut and restored by a command on the controller."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.boards import facts, power
from pytest_microcloud.errors import BoardError, DeadlineExceeded
from pytest_microcloud.experiments import startup
from pytest_microcloud.experiments.deploy import deploy

if TYPE_CHECKING:
    from pytest_microcloud.catalog import Catalog
    from tests.conftest import NewRealBoard
    from tests.support.real import RealBoard

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PATIENCE_S = 60.0
USUAL = ["startup.ready_time", "startup.container_time"]
FROM_POWER_ON = ["startup.power_on_ready_time", "startup.power_on_container_time"]


def test_with_a_command_startup_counts_from_power_on_too(
    new_real_board: NewRealBoard, catalog: Catalog
) -> None:
    desk = new_real_board("desk", others_containers=1)
    before = desk.shell("docker ps -a --format '{{.Names}}'; docker images -q")
    with closing(desk.in_rack(microcloud_power_cycle=f"docker restart -t 0 {desk.container.name}")) as rack:
        board = rack.board("desk")
        booted, number = board.booted, board.boot
        seen = {m.metric: m.samples for m in startup.reboot(deploy(board, catalog.workload("httpd")))}
        assert list(seen) == USUAL + FROM_POWER_ON
        (ready_s,), (answered_s,) = (seen[metric] for metric in FROM_POWER_ON)
        assert 0 < ready_s < answered_s
        assert facts.boot_identity(board.link) == board.booted != booted
        assert board.boot == number + 1
        assert board.lock.held
        assert rack.diagnose("desk") == ""
    assert desk.shell("docker ps -a --format '{{.Names}}'; docker images -q") == before


def test_without_a_command_the_board_reboots_by_itself(
    new_real_board: NewRealBoard, catalog: Catalog
) -> None:
    desk = new_real_board("desk", user="pirate")
    with closing(desk.in_rack()) as rack:
        board = rack.board("desk")
        seen = startup.reboot(deploy(board, catalog.workload("httpd")))
        assert [m.metric for m in seen] == USUAL
        assert board.lock.held
        with pytest.raises(BoardError, match="desk: has no command that cuts its power"):
            board.driver.cut_power()


def test_a_failing_command_is_reported_with_its_last_line_and_without_its_arguments(tmp_path: Path) -> None:
    script = tmp_path / "switch"
    script.write_text("#!/bin/sh\necho trying >&2\necho 'no such outlet' >&2\nexit 3\n")
    script.chmod(0o755)
    with pytest.raises(
        BoardError, match=r"desk: microcloud_power_cycle: \S+switch exited with 3: no such"
    ) as caught:
        power.cycle("desk", f"{script} --password=hunter2 '$(touch {tmp_path}/owned)'")
    assert "hunter2" not in str(caught.value)
    assert not (tmp_path / "owned").exists()


def test_a_missing_command_is_reported() -> None:
    with pytest.raises(
        BoardError, match=r"desk: microcloud_power_cycle: pduclint cannot be run: No such file"
    ):
        power.cycle("desk", "pduclint --daemon=pdu")


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_hanging_command_is_ended_with_its_child_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power, "POWER_TIMEOUT_S", 1.0)
    pid = tmp_path / "pid"
    with pytest.raises(DeadlineExceeded, match="desk: microcloud_power_cycle: sh did not end within 1 s"):
        power.cycle("desk", f"sh -c 'sleep 600 & echo $! > {pid}; wait'")
    deadline = time.monotonic() + PATIENCE_S
    while runs(int(pid.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_command_counts_from_its_own_end_even_if_it_leaves_a_process_running(tmp_path: Path) -> None:
    pid, started = tmp_path / "pid", time.monotonic()
    on_at_s = power.cycle("desk", f"sh -c 'sleep 600 & echo $! > {pid}'")
    assert started < on_at_s < time.monotonic()
    assert runs(int(pid.read_text()))
    os.kill(int(pid.read_text()), signal.SIGKILL)


def test_a_power_command_that_fails_ends_the_experiment_and_the_board_stays_usable(
    real_board: RealBoard, catalog: Catalog
) -> None:
    before = real_board.state()
    with closing(real_board.in_rack(microcloud_power_cycle="false")) as rack:
        board = rack.board(real_board.name)
        with pytest.raises(BoardError, match="false exited with 1: no output"):
            startup.reboot(deploy(board, catalog.workload("httpd")))
        assert rack.diagnose(real_board.name) == ""
        assert rack.board(real_board.name).docker.containers.list(all=True) == []
    assert real_board.changes_since(before) == []
