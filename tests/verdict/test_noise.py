"""The noise of boards, from stored runs, and `microcloud noise`."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_microcloud import runs
from pytest_microcloud.catalog import descriptions
from pytest_microcloud.cli import main
from pytest_microcloud.verdict import gate, noise
from tests.support import run_files
from tests.support.command import one_line_error
from tests.support.controls import JITTER, control

METRICS = {"io.memory_time": 0.01, "startup.ready_time": 0.03, "startup.container_time": 0.08}

Measure = Callable[..., Path]


@pytest.fixture
def measure(tmp_path: Path) -> Measure:
    """Write a run of some boards with so many boots, and return the directory."""
    source = random.Random(2017)

    def measure(name: str, boots: int, *boards: str, factor: float = 1.0, **facts: Any) -> Path:
        boards = boards or ("desk",)
        jitter = JITTER[int(name) % len(JITTER)]
        benchmarks = [
            benchmark
            for board in boards
            for metric, cv in METRICS.items()
            for benchmark in run_files.boots(
                metric, [factor * source.lognormvariate(0, cv) for _ in range(boots)], board=board
            )
        ]
        controls = {board: control(jitter, jitter) for board in boards}
        fingerprints = {board: run_files.fingerprint(**facts) for board in boards}
        run_files.store(tmp_path / f"{name}.json", benchmarks, fingerprints, controls=controls)
        return tmp_path

    return measure


def of_desk(directory: Path) -> noise.Noise:
    stored = runs.every(directory, newest_first=True)
    return noise.of_boards(stored, gate.Rules(), descriptions())["desk"]


def test_the_spread_is_that_between_the_boots_of_a_run(measure: Measure) -> None:
    for name in "12345678":
        directory = measure(name, 20, factor=1.0 + int(name))  # sessions may be far apart
    found = of_desk(directory)
    assert {spread.metric: pytest.approx(spread.cv, rel=0.25) for spread in found.spreads} == METRICS
    assert (found.runs, found.metrics, found.spreads[0].boots) == (8, 3, 160)
    assert found.worst is not None
    assert found.median is not None
    assert found.worst.metric == "startup.container_time"
    assert found.median.metric == "startup.ready_time"
    assert [spread.metric for spread in found.headlines] == ["startup.container_time"]


def test_the_boots_needed_are_those_of_its_noisiest_and_its_median_metric(measure: Measure) -> None:
    directory = measure("1", 20)
    found = of_desk(directory)
    assert found.worst is not None
    assert found.median is not None
    five, ten, twenty = found.needed(found.worst)
    assert five is None  # the gate's smallest effect
    assert ten is not None
    assert twenty is not None
    assert ten > twenty >= 6
    assert (found.needed(found.median)[1] or 0) < ten


def test_metrics_that_move_in_steps_have_a_spread_and_no_number_of_boots(tmp_path: Path) -> None:
    counts = [78.0, 79.0, 77.0, 78.0, 78.0, 80.0, 78.0, 77.0, 78.0]
    benchmarks = run_files.boots("hosting.containers", counts, workload="httpd")
    run_files.store(tmp_path / "1.json", benchmarks)
    found = of_desk(tmp_path)
    (spread,) = found.headlines
    assert 0.005 < spread.cv < 0.02
    assert found.needed(spread) == ()
    assert found.worst is None


@pytest.mark.parametrize(
    ("boots", "enough"), [((8,), False), ((9,), True), ((5, 5), True), ((1,) * 9, False)]
)
def test_a_spread_needs_eight_boots_after_the_first_of_each_run(
    measure: Measure, boots: tuple[int, ...], enough: bool
) -> None:
    for name, count in enumerate(boots, 1):
        directory = measure(str(name), count)
    assert bool(of_desk(directory).spreads) == enough


def test_another_os_release_has_a_noise_of_its_own(measure: Measure) -> None:
    measure("1", 12)
    directory = measure("2", 3, os_release=run_files.TRIXIE)
    found = of_desk(directory)
    assert found.runs == 1
    assert not found.spreads


@pytest.fixture
def lab(measure: Measure) -> Path:
    for name in "123456789":
        measure(name, 3, "pi3b-1", "pi3b-2")
    return measure("0", 2, "attic", model="pi1b")


def test_the_table_has_each_board_with_median_noisiest_and_headline_metrics(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["noise", "--runs", str(lab)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["BOARD", "METRIC", "BOOTS", "CV", "+5%", "+10%", "+20%"]
    assert [line.split()[:2] for line in lines[1:7]] == [
        [board, what]
        for board in ("pi3b-1", "pi3b-2")
        for what in ("median", "noisiest:", "startup.container_time")
    ]
    assert lines[1].split()[-3] == "–"
    said = "\n".join(lines)
    assert "pi3b-1 (pi3b; Debian GNU/Linux 12 (bookworm)): 9 runs, 6 metrics in the gate" in said
    assert "control: spread cpu 1" in said
    assert "too few boots: needs 8 boots after the first boot of each run (--microcloud-boots), has 1" in said
    assert "control: too few sessions to judge drift: needs 8, has 1" in said


def test_a_pattern_selects_boards_by_name_and_model(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for pattern, boards in {"pi3b-*": 2, "pi1b": 1, "attic,pi3b-1": 2, "*": 3}.items():
        assert main(["noise", pattern, "--json", "--runs", str(lab)]) == 0
        assert len(json.loads(capsys.readouterr().out)) == boards
    said = one_line_error(capsys, "noise", "atic", "--runs", str(lab))
    known = "boards and models with runs: attic, pi1b, pi3b"
    assert f"no run has a board or model 'atic'; did you mean 'attic'? ({known}" in said


def test_the_figures_for_machines_are_shares_and_numbers_of_boots(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["noise", "--json", "--runs", str(lab)]) == 0
    attic, desk, _ = json.loads(capsys.readouterr().out)
    assert attic["too_few_boots"]
    assert attic["control"]["too_few_sessions"]
    assert desk["worst"]["cv"] == pytest.approx(0.08, rel=0.4)
    assert desk["worst"]["boots_needed"]["5%"] is None
    assert desk["worst"]["boots_needed"]["20%"] > 5
    assert set(desk["control"]["spread"]) == {"cpu", "memory", "disk", "loopback"}
    assert desk["control"]["spread"]["cpu"] == pytest.approx(0.0104, rel=0.4)


def test_user_rules_of_the_gate_are_applied(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keen = tmp_path / "keen.toml"
    keen.write_text("[default]\neffect = 0.02\nq = 0.05\n")
    assert main(["noise", "pi3b-1", "--json", "--runs", str(lab), f"--gate={keen}"]) == 0
    (desk,) = json.loads(capsys.readouterr().out)
    assert desk["median"]["boots_needed"]["5%"] >= 4


def test_a_directory_without_runs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["noise", "--runs", str(tmp_path)]) == 0
    assert "holds no runs" in capsys.readouterr().out
