"""The benchmarks that need no board: what they make up is what it says it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import gate_simulation as simulation
from benchmarks import stored
from pytest_microcloud import runs
from pytest_microcloud.verdict import gate


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
    assert "NO  CV 3%, 20 boots: at least 101% of +20% are found (100.0%)" in capsys.readouterr().out
