"""A bad board is found among its fleet, equal boards are not reported, and kinds of boards are not mixed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import outlier_thresholds
from pytest_microcloud import catalog as catalogs
from pytest_microcloud import runs
from pytest_microcloud.verdict import outliers
from pytest_microcloud.verdict.histories import Histories
from pytest_microcloud.verdict.outliers import Fleet, Rules
from tests.support import fleets, run_files
from tests.support.run_files import BOOKWORM, TRIXIE


def histories(directory: Path) -> Histories:
    found = Histories()
    for run in runs.every(directory):
        assert isinstance(run, runs.Run)
        found.add(run)
    return found


def judged(directory: Path) -> list[Fleet]:
    return [outliers.judge(boards) for boards in histories(directory).fleets()]


def of_one_metric(tmp_path: Path, metric: str, values: Sequence[float], **facts: Any) -> Fleet:
    """Return the fleet of boards b0, b1 and so on with one value each."""
    measured = [run_files.benchmark(metric, [v], board=f"b{n}") for n, v in enumerate(values)]
    boards = {f"b{n}": run_files.fingerprint(**facts) for n in range(len(values))}
    run_files.store(tmp_path / "1.json", measured, boards)
    (fleet,) = judged(tmp_path)
    return fleet


def deviating(fleet: Fleet) -> list[tuple[str, str]]:
    return [(found.board, found.group.id) for found in fleet.deviating]


def test_a_bad_card_among_eight_is_reported_with_its_likely_cause(tmp_path: Path) -> None:
    slow = {"io.disk_write_time": 2.3, "io.disk_read_time": 2.0}
    (fleet,) = judged(fleets.write(tmp_path, 8, slower={"pi3b-7": slow}))
    assert {board for board, _ in deviating(fleet)} == {"pi3b-7"}
    assert ("pi3b-7", "write") in deviating(fleet)
    write = next(found for found in fleet.deviating if found.group.id == "write")
    assert write.metric == "io.disk_write_time"
    assert write.ratio == pytest.approx(2.3, rel=0.1)
    assert write.worse
    assert (write.beyond, write.values) == (5, 5)
    (cause,) = fleet.causes("pi3b-7", outliers.shipped())
    assert "SD card" in cause


def test_a_slow_clock_among_eight_is_reported_with_its_likely_cause(tmp_path: Path) -> None:
    slow = dict.fromkeys(("io.memory_time", "serving.page_time", "hosting.start_time"), 2.0)
    (fleet,) = judged(fleets.write(tmp_path, 8, slower={"pi3b-2": slow}))
    assert ("pi3b-2", "memory") in deviating(fleet)
    assert [cause for cause in fleet.causes("pi3b-2", outliers.shipped()) if "clock" in cause]


def test_a_board_that_is_faster_is_reported_without_a_cause(tmp_path: Path) -> None:
    (fleet,) = judged(fleets.write(tmp_path, 8, slower={"pi3b-4": {"io.memory_time": 0.4}}))
    assert deviating(fleet) == [("pi3b-4", "memory")]
    assert not fleet.deviating[0].worse
    assert fleet.causes("pi3b-4", outliers.shipped()) == []


def test_two_bad_boards_of_eight_do_not_mask_each_other(tmp_path: Path) -> None:
    slow = {"io.disk_write_time": 2.5}
    (fleet,) = judged(fleets.write(tmp_path, 8, slower={"pi3b-1": slow, "pi3b-2": slow}))
    assert sorted(deviating(fleet)) == [("pi3b-1", "write"), ("pi3b-2", "write")]


def test_a_fleet_of_equal_boards_is_reported_in_at_most_5_percent_of_cases(tmp_path: Path) -> None:
    reported = 0
    for seed in range(100):
        (fleet,) = judged(fleets.write(tmp_path / str(seed), 8, seed=seed))
        assert len(fleet.groups) == 8
        reported += bool(fleet.deviating)
    assert reported <= 5


@pytest.mark.parametrize("boards", [1, 2, 4])
def test_too_few_boards_are_not_judged(tmp_path: Path, boards: int) -> None:
    slow = {"io.disk_write_time": 9.0}
    (fleet,) = judged(fleets.write(tmp_path, boards, slower={"pi3b-1": slow}))
    assert len(fleet.boards) == boards
    assert (fleet.values, fleet.judged) == ((), ())


@pytest.mark.parametrize(("capacity", "reported"), [(250, False), (230, False), (100, True)])
def test_equal_values_do_not_make_a_small_difference_an_outlier(
    tmp_path: Path, capacity: float, reported: bool
) -> None:
    fleet = of_one_metric(tmp_path, "serving.capacity", [250.0] * 7 + [capacity])
    assert deviating(fleet) == ([("b7", "serving")] if reported else [])
    assert all(math.isfinite(found.z) for found in fleet.judged)


def test_a_difference_of_a_thousandth_is_no_outlier_whatever_the_spread(tmp_path: Path) -> None:
    fleet = of_one_metric(tmp_path, "startup.ready_time", [15.0] * 7 + [15.015])
    (value,) = fleet.values
    assert 0 < value.z("b7") < 0.1
    assert deviating(fleet) == []


def test_values_that_are_all_0_have_a_score_of_0(tmp_path: Path) -> None:
    fleet = of_one_metric(tmp_path, "hosting.disk_per_container", [0.0] * 6)
    assert [found.z for found in fleet.judged] == [0.0] * 6
    assert fleet.judged[0].ratio is None


def test_without_a_smallest_change_the_mean_deviation_is_the_spread(tmp_path: Path) -> None:
    fleet = of_one_metric(tmp_path, "hosting.disk_per_container", [0.0] * 7 + [140.0])
    (value,) = fleet.values
    assert value.z("b7") == pytest.approx(140 / (1.2533 * 140 / 8))
    assert value.z("b0") == 0


def test_a_metric_that_the_gate_only_reports_is_not_judged(tmp_path: Path) -> None:
    fleet = of_one_metric(tmp_path, "hosting.swapped_pages", [0.0] * 7 + [1e6])
    assert fleet.judged == ()


def test_invalid_measurements_are_left_out(tmp_path: Path) -> None:
    measured = [
        run_files.benchmark(
            "startup.ready_time",
            [15.0 if number else 90.0],
            board=f"b{number}",
            verdict="feasible" if number else "invalid",
        )
        for number in range(6)
    ]
    boards = {f"b{number}": run_files.fingerprint() for number in range(6)}
    run_files.store(tmp_path / "1.json", measured, boards)
    (fleet,) = judged(tmp_path)
    assert [board.name for board in fleet.boards] == ["b1", "b2", "b3", "b4", "b5"]


def test_the_confirmation_of_the_gate_is_left_out(tmp_path: Path) -> None:
    fleets.write(tmp_path, 6)
    again = [run_files.benchmark("startup.ready_time", [99.0], board="pi3b-1", stage="baseline")]
    names = [f"pi3b-{number}" for number in range(1, 7)]
    taken = "2026-04-01T12:00:00+00:00"
    boards = {name: run_files.fingerprint() for name in names}
    run_files.store(tmp_path / "20260401.json", again, boards, taken=taken)
    (fleet,) = judged(tmp_path)
    assert deviating(fleet) == []


KINDS: dict[str, dict[str, Any]] = {
    "another OS release": {"os_release": TRIXIE},
    "another model": {"model": "pi2b"},
    "an emulated board": {"emulated": True},
    "another driver": {"driver": "qemu"},
    "an altered board": {"made_of": {"altered": ["0.5 of the model's CPU"]}},
    "another round trip": {"made_of": {"round_trip_s": 0.2}},
    "another host": {"made_of": {"host": "h2"}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_boards_of_another_kind_are_not_compared(tmp_path: Path, kind: str) -> None:
    made_of: dict[str, Any] = {"made_of": {"altered": [], "round_trip_s": 0.02, "host": "h1"}}
    boards = {f"b{number}": run_files.fingerprint(**made_of) for number in range(6)}
    boards["other"] = run_files.fingerprint(**made_of | KINDS[kind])
    measured = [
        run_files.benchmark("startup.ready_time", [60.0 if name == "other" else 15.0], board=name)
        for name in boards
    ]
    run_files.store(tmp_path / "1.json", measured, boards)
    found = judged(tmp_path)
    assert sorted(len(fleet.boards) for fleet in found) == [1, 6]
    assert [fleet for fleet in found if fleet.deviating] == []


def test_a_board_counts_under_its_newest_os_release(tmp_path: Path) -> None:
    for number, release in enumerate((BOOKWORM, TRIXIE)):
        boards = {f"b{n}": run_files.fingerprint(os_release=release) for n in range(6 - number)}
        measured = [run_files.benchmark("startup.ready_time", [15.0 + number], board=name) for name in boards]
        taken = f"2026-0{number + 1}-01T12:00:00+00:00"
        run_files.store(tmp_path / f"{number}.json", measured, boards, taken=taken)
    found = {fleet.subject.os_release: fleet for fleet in judged(tmp_path)}
    assert {release: len(fleet.boards) for release, fleet in found.items()} == {TRIXIE: 5, BOOKWORM: 1}
    assert found[TRIXIE].values[0].middle == 16.0


def test_a_board_with_another_card_starts_again(tmp_path: Path) -> None:
    for number, cid in enumerate(("old", "new")):
        boards = {"b0": run_files.fingerprint(card={"cid": cid, "name": "SD16G"})}
        metric = "io.disk_write_time" if cid == "old" else "startup.ready_time"
        taken = f"2026-0{number + 1}-01T12:00:00+00:00"
        measured = [run_files.benchmark(metric, [1.0], board="b0")]
        run_files.store(tmp_path / f"{number}.json", measured, boards, taken=taken)
    (board,) = histories(tmp_path).boards
    assert [metric for metric, _ in board.newest] == ["startup.ready_time"]


def test_a_figure_is_from_the_newest_run_that_has_it(tmp_path: Path) -> None:
    days = (("1", "startup.ready_time", 15.0), ("2", "io.memory_time", 0.1), ("3", "io.memory_time", 0.2))
    for day, metric, value in days:
        measured = [run_files.benchmark(metric, [value], board="desk")]
        run_files.store(tmp_path / f"{day}.json", measured, taken=f"2026-01-0{day}T12:00:00+00:00")
    (board,) = histories(tmp_path).boards
    newest = {metric: reading for (metric, _), reading in board.newest.items()}
    assert (newest["io.memory_time"].value, newest["io.memory_time"].taken[:10]) == (0.2, "2026-01-03")
    assert newest["startup.ready_time"].taken[:10] == "2026-01-01"


def test_the_metrics_of_the_groups_are_known_and_in_one_group_each() -> None:
    rules = Rules()
    metrics = [metric for group in rules.groups for metric in group.metrics]
    assert len(set(metrics)) == len(metrics)
    known = {m.name for e in catalogs.shipped().experiments.values() for m in e.metrics}
    assert set(metrics) <= known
    groups = {group.id for group in rules.groups}
    assert {name for hint in rules.hints for name in (*hint.groups, *hint.without)} <= groups


@pytest.mark.parametrize("boards", [5, 8, 16])
def test_the_thresholds_are_those_of_the_simulation(boards: int) -> None:
    source = np.random.default_rng(7)
    largest = outlier_thresholds.largest(boards, 40_000, source)
    for tests in (5, 20):
        level = Rules().false_alarms / tests
        exceeded = float((largest >= Rules().threshold(boards, tests)).mean())
        assert exceeded == pytest.approx(level, rel=0.35)


def test_more_boards_lower_the_threshold_and_more_groups_raise_it() -> None:
    rules = Rules()
    assert rules.threshold(8, 8) > rules.threshold(16, 8) > rules.threshold(64, 8) > rules.outlier
    assert rules.threshold(8, 16) > rules.threshold(8, 8)
    assert rules.threshold(1000, 8) == rules.threshold(512, 8)
