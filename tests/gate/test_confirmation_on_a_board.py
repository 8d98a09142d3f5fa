"""The gate's confirmation on an emulated board: half of its CPU is a confirmed regression."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import platformdirs
import pytest

from pytest_microcloud.boards.drivers.container.presence import BOARD_LABEL
from tests.support.gate_project import BOOTS, FRESH, OPTION

if TYPE_CHECKING:
    from docker import DockerClient

CACHE = platformdirs.user_cache_path()
SPIN = """\
    import time
    from pytest_microcloud.measurement import Measurement

    SPINS = "i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done"

    def spin(board):
        started = time.monotonic()
        board.link.run(SPINS)
        return [Measurement("io.memory_time", [time.monotonic() - started])]

    def count(board):
        cpus = int(board.link.run("nproc").stdout)
        return [Measurement("io.disk_read_time", [float(cpus)])]

    def test_spin(measure, board):
        measure.repeat(3, spin, board)

    def test_count(measure, board):
        measure(count, board)
    """


@pytest.mark.engine
@pytest.mark.long
def test_an_emulated_board_with_half_its_cpu_is_a_confirmed_regression(
    pytester: pytest.Pytester, host_engine: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE))  # pytester's home has no calibration
    pytester.makepyfile(test_desk=SPIN)
    inventory = pytester.path / "hosts.ini"
    inventory.write_text("[pi3b]\ndesk microcloud_driver=container\n")
    assert pytester.runpytest_subprocess("--hosts=desk", OPTION).ret == pytest.ExitCode.OK
    (baseline,) = (pytester.path / "reports" / "runs").glob("*.json")
    inventory.write_text("[pi3b]\ndesk microcloud_driver=container microcloud_cpu_share=0.5\n")
    result = pytester.runpytest_subprocess("--hosts=desk", OPTION, f"--microcloud-baseline={baseline.stem}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes() == {"passed": 2 * BOOTS + 2 * FRESH}
    (candidate,) = {*(pytester.path / "reports" / "runs").glob("*.json")} - {baseline}
    stored = json.loads(candidate.read_text())["machine_info"]["microcloud"]["gate"]
    verdicts = {finding["metric"]: finding["verdict"] for finding in stored["metrics"]}
    assert verdicts == {"io.memory_time": "regressed", "io.disk_read_time": "no evidence"}
    assert stored["confirmed"]
    assert any("CPU: 0.5 of the model's" in warning for warning in stored["warnings"])
    labels: dict[str, str | list[str] | bool] = {"label": f"{BOARD_LABEL}=desk"}
    assert host_engine.containers.list(all=True, filters=labels) == []
