"""What changed on a board over its latest runs, beside the noise of its runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_microcloud import runs
from pytest_microcloud.verdict import drift
from pytest_microcloud.verdict.drift import Drift
from pytest_microcloud.verdict.histories import LATEST, Histories
from tests.support import fleets, run_files


def changes(directory: Path) -> list[Drift]:
    histories = Histories()
    for run in runs.every(directory):
        assert isinstance(run, runs.Run)
        histories.add(run)
    return [found for board in histories.boards for found in drift.drifts(board)]


def of_values(tmp_path: Path, *values: float) -> list[Drift]:
    for number, value in enumerate(values):
        measured = [run_files.benchmark("startup.ready_time", [value])]
        run_files.store(
            tmp_path / f"{number:02d}.json", measured, taken=f"2026-01-{number + 1:02d}T12:00:00+00:00"
        )
    return changes(tmp_path)


def test_a_card_that_becomes_slower_from_run_to_run_drifts(tmp_path: Path) -> None:
    slowing = {"pi3b-2": ("io.disk_write_time", 1.08)}
    found = [d for d in changes(fleets.write(tmp_path, 3, sessions=10, drift=slowing)) if d.drifts]
    (one,) = found
    assert (one.board, one.group.id, one.metric) == ("pi3b-2", "write", "io.disk_write_time")
    assert one.times > 0
    assert one.ratio == pytest.approx(1.08**9, rel=0.15)
    assert len(one.taken) == 10


def test_a_step_is_drift_too(tmp_path: Path) -> None:
    (found,) = of_values(tmp_path, 15.0, 15.1, 14.9, 15.0, 21.0, 21.1, 20.9, 21.0)
    assert found.drifts
    assert found.ratio == pytest.approx(1.4)


def test_improvement_has_the_other_sign(tmp_path: Path) -> None:
    (found,) = of_values(tmp_path, 21.0, 21.1, 20.9, 21.0, 15.0, 15.1, 14.9, 15.0)
    assert found.drifts
    assert found.times < 0


def test_boards_without_drift_are_rarely_reported(tmp_path: Path) -> None:
    reported = boards = 0
    for seed in range(4):
        found = changes(fleets.write(tmp_path / str(seed), 8, seed=seed, sessions=8))
        boards += len({d.board for d in found})
        reported += len({d.board for d in found if d.drifts})
    assert boards == 32
    assert reported <= 2


def test_a_change_within_the_noise_is_not_reported(tmp_path: Path) -> None:
    (found,) = of_values(tmp_path, 15.0, 18.0, 14.0, 19.0, 15.0, 20.0, 16.0, 19.0)
    assert not found.drifts
    assert found.noise is not None
    assert found.noise > 0.2


def test_too_few_runs_have_no_drift(tmp_path: Path) -> None:
    assert of_values(tmp_path, 15.0, 15.0, 15.0, 15.0, 60.0) == []


def test_only_the_latest_runs_count(tmp_path: Path) -> None:
    (found,) = of_values(tmp_path, 60.0, 60.0, *[15.0] * LATEST)
    assert len(found.taken) == LATEST
    assert not found.drifts
    assert found.ratio == 1.0


def test_values_of_0_have_no_ratio(tmp_path: Path) -> None:
    for number in range(7):
        measured = [run_files.benchmark("serving.failures", [0.0])]
        run_files.store(tmp_path / f"{number}.json", measured, taken=f"2026-01-0{number + 1}T12:00:00+00:00")
    (found,) = changes(tmp_path)
    assert (found.ratio, found.noise, found.drifts) == (None, None, False)
