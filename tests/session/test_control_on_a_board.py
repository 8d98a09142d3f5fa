"""The control on an emulated board: what keeps its CPU busy at the end is a drift."""

from __future__ import annotations

import platformdirs
import pytest

from pytest_microcloud import runs
from pytest_microcloud.boards import control
from tests.support.controls import multiply

CACHE = platformdirs.user_cache_path()
TESTS = f"""\
    from pathlib import Path
    from pytest_microcloud import Measurement

    SPIN = "timeout 60 sh -c 'while :; do :; done' </dev/null >/dev/null 2>&1"

    def test_burn(measure, board):
        measure(lambda: [Measurement("io.memory_time", [1.0])])
        assert board.link.run("ls -d {control.DIRECTORY}", check=False).status != 0
        if Path("burn").exists():
            board.link.run(f"for each in 1 2 3 4; do ({{SPIN}} &); done")
    """


@pytest.mark.engine
@pytest.mark.long
def test_a_cpu_burner_on_the_board_is_a_drift_of_its_cpu_control(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_ADDOPTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE))  # pytester's home has no calibration
    pytester.makepyfile(test_desk=TESTS)
    (pytester.path / "hosts.ini").write_text("[pi3b]\ndesk microcloud_driver=container\n")
    assert pytester.runpytest_subprocess("--hosts=desk").ret == pytest.ExitCode.OK
    (quiet,) = (pytester.path / "reports" / "runs").glob("*.json")
    for reading in runs.load(quiet).controls["desk"].readings:
        assert reading.left_out == {}
        assert set(reading.times_s) == {"cpu", "memory", "disk", "loopback"}
        assert 0.05 < reading.times_s["disk"] < 1  # the emulated card writes 10 MB/s
    earlier = multiply(quiet)
    (pytester.path / "burn").touch()
    result = pytester.runpytest_subprocess("--hosts=desk")
    assert result.ret == pytest.ExitCode.OK
    warning = "desk: cpu control * % slower at the end than at the start (*): the measurements*"
    result.stdout.fnmatch_lines([warning])
    (burnt,) = {*(pytester.path / "reports" / "runs").glob("*.json")} - {quiet, *earlier}
    drifted = runs.load(burnt).controls["desk"]
    start, end = drifted.readings
    assert end.times_s["cpu"] > 1.5 * start.times_s["cpu"]
    assert any("it was busy with something else" in doubt for doubt in end.doubts)
    assert any("busy with something else" in sentence for sentence in drifted.drift)
