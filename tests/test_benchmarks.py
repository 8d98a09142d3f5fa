"""The benchmarks themselves: what they generate, what they report, and the boards that they use."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import fleet, stored
from benchmarks import gate_simulation as simulation
from benchmarks.row import Row
from benchmarks.standins import standins
from pytest_microcloud import runs
from pytest_microcloud.verdict import gate

if TYPE_CHECKING:
    from docker import DockerClient


def test_made_up_runs_have_200_metrics_and_are_read_as_real_ones(tmp_path: Path) -> None:
    files = stored.write(tmp_path, 3, boots=2)
    read = list(runs.every(tmp_path))
    assert [run.file for run in read] == files
    for run in read:
        assert isinstance(run, runs.Run)
        series = gate.series(run)
        assert len(series) == 200
        assert {len(each.values) for each in series.values()} == {2}
    assert 100_000 < files[0].stat().st_size < 1_000_000


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "RUNS", 3)
    monkeypatch.setattr(simulation, "METRICS", 60)
    cases = (simulation.Case(0.03, 20, asked=True), simulation.Case(0.03, 10, confirming=True))
    monkeypatch.setattr(simulation, "CASES", cases)


@pytest.mark.usefixtures("small")
def test_the_simulation_says_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulation.main() == 0
    table, asked = capsys.readouterr().out.split("\n\n")[1:]
    assert "mean:5%" in table
    assert "10, confirming" in table
    assert len(asked.splitlines()) == 3
    assert all(line.startswith("yes") for line in asked.splitlines())


@pytest.mark.usefixtures("small")
def test_the_simulation_fails_if_something_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(simulation, "LEAST_FOUND", 1.01)
    assert simulation.main() == 1
    assert "NO  CV 3%, 20 boots: at least 101% of +20% changes are found (100.0%)" in capsys.readouterr().out


@pytest.mark.parametrize(("at_most", "code"), [(2.0, 0), (1.0, 1)])
def test_the_benchmarks_fail_if_a_row_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], at_most: float, code: int
) -> None:
    row = Row("opening", [1.5], "", "", at_most=at_most)
    monkeypatch.setattr("benchmarks.__main__.rows.collecting", lambda pairs: row)
    monkeypatch.setattr("sys.argv", ["benchmarks", "--only=collecting"])
    assert benchmarks.main() == code
    assert "opening  1.500" in capsys.readouterr().out


@pytest.mark.engine
def test_stand_ins_are_boards_of_one_session(host_engine: DockerClient, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    with standins(2, host_engine, tmp_path / "keys") as lines:
        (tmp_path / "hosts.ini").write_text("\n".join(["[pi3b]", *lines, ""]))
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        (tmp_path / "test_waits.py").write_text(
            dedent(fleet.SUITE).replace("seconds = (", "seconds = 0.01 * (")
        )
        seen = fleet._session(tmp_path, ["standin-00", "standin-01"])
        assert [c.name for c in host_engine.containers.list() if "standin-" in str(c.name)]
    (file,) = (tmp_path / "reports" / "runs").glob("*.json")
    boards = json.loads(file.read_text())["machine_info"]["microcloud"]["boards"]
    assert list(boards) == ["standin-00", "standin-01"]
    assert seen.memory_bytes > 50e6
    assert not [c.name for c in host_engine.containers.list(all=True) if "standin-" in str(c.name)]
