"""Two runs side by side: which boards can be compared, and what is refused or warned of by name."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_microcloud.errors import RunError
from pytest_microcloud.runs import Run
from pytest_microcloud.verdict.comparison import Comparison, compare
from pytest_microcloud.verdict.gate import Rules
from tests.support import run_files
from tests.support.controls import control
from tests.support.run_files import emulated, fingerprint

Boards = Mapping[str, Mapping[str, Any]]


def scattered(middle: float, seed: int, count: int = 10) -> list[float]:
    source = random.Random(seed)
    return [middle * source.lognormvariate(0, 0.02) for _ in range(count)]


def a_run(directory: Path, name: str, boards: Boards, ready_s: float = 15.0, *, effort: str = "quick") -> Run:
    """Return a run in which every board needs that long to start, in ten boots."""
    benchmarks = [
        benchmark
        for board in boards
        for benchmark in run_files.boots("startup.ready_time", scattered(ready_s, len(name)), board=board)
    ]
    return run_files.run(directory / f"{name}.json", benchmarks, boards, effort=effort)


def between(directory: Path, old: Boards, new: Boards, ready_s: float = 15.0) -> Comparison:
    return compare(a_run(directory, "old", old), a_run(directory, "newer", new, ready_s))


def test_a_board_that_starts_later_fails_the_comparison(tmp_path: Path) -> None:
    found = between(tmp_path, {"desk": fingerprint()}, {"desk": fingerprint()}, ready_s=18.0)
    (finding,) = found.findings
    assert (finding.board, finding.metric, finding.boots) == ("desk", "startup.ready_time", (10, 10))
    assert (found.verdict, found.fails, found.confirmed) == ("regressed", True, False)
    assert (found.baseline, found.candidate) == ("old", "newer")
    assert (found.refused, found.warnings) == ([], [])


def test_the_same_again_does_not(tmp_path: Path) -> None:
    found = between(tmp_path, {"desk": fingerprint()}, {"desk": fingerprint()})
    assert (found.verdict, found.fails) == ("no evidence", False)


def test_for_machines_it_is_plain_json(tmp_path: Path) -> None:
    found = between(tmp_path, {"desk": fingerprint()}, {"desk": fingerprint()}, ready_s=18.0)
    text = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert text["verdict"] == "regressed"
    (metric,) = text["metrics"]
    assert {"board", "metric", "labels", "verdict", "ratio", "interval", "p", "boots", "reason"} <= set(
        metric
    )
    assert metric["boots"] == [10, 10]
    low, high = metric["interval"]
    assert low < metric["ratio"] < high
    assert 0 < metric["p"] < 0.01


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (fingerprint(), fingerprint("pi4b"), "the model is pi4b, but was pi3b"),
        (fingerprint(), emulated(), "the driver is container, but was ssh"),
        (
            fingerprint(),
            fingerprint(card={"cid": "02", "name": "USD00"}),
            "the SD card is USD00, but was SD16G (their CIDs differ)",
        ),
        (
            emulated(),
            emulated(made_of={"calibrated_cpus": 0.81, "host": "h1"}),
            "the host's calibration differs: 0.81 of its CPUs emulate the model's CPU, but 0.74 did before",
        ),
        (
            emulated(),
            emulated(made_of={"calibrated_cpus": 0.74, "host": "h2"}),
            "the board is emulated on host h2, but was emulated on h1",
        ),
        (
            emulated(made_of={"link_bits_per_s": 94_000_000, "round_trip_s": 0.02}),
            emulated(made_of={"link_bits_per_s": 94_000_000, "round_trip_s": 0.0}),
            "the emulated round trip (s) is 0.0, but was 0.02",
        ),
        (
            emulated(emulated_by={"round_trip": "netem", "rate": "tbf, u32"}),
            emulated(emulated_by={"round_trip": "delay line", "rate": "tbf, u32"}),
            "the round trip is emulated by delay line, but was emulated by netem",
        ),
        (
            fingerprint(),
            fingerprint(load_from="rack1"),
            "the load came from rack1, but came from controller before",
        ),
    ],
    ids=["model", "driver", "card", "calibration", "host", "link", "means", "place"],
)
def test_what_cannot_be_compared_is_refused_by_name(
    tmp_path: Path, old: Mapping[str, Any], new: Mapping[str, Any], text: str
) -> None:
    with pytest.raises(RunError) as caught:
        between(tmp_path, {"desk": old}, {"desk": new})
    assert str(caught.value).startswith(f"newer cannot be compared with old: desk: {text}")


def test_one_board_that_is_refused_leaves_the_others_to_be_compared(tmp_path: Path) -> None:
    other_card = fingerprint(card={"cid": "02", "name": "USD00"})
    old = {"desk": fingerprint(), "shelf": fingerprint()}
    found = between(tmp_path, old, {"desk": fingerprint(), "shelf": other_card}, ready_s=18.0)
    assert [finding.board for finding in found.findings] == ["desk"]
    (refused,) = found.refused
    assert refused.startswith("shelf: the SD card is")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            emulated(),
            emulated(not_emulated=["instruction set", "round trip"]),
            "not emulated in the candidate, unlike in the baseline: round trip",
        ),
        (
            emulated(),
            emulated(not_emulated=[]),
            "not emulated in the baseline, unlike in the candidate: instruction set",
        ),
        (emulated(), emulated(), "both sides ran the host's kernel"),
        (
            fingerprint(),
            fingerprint(others_containers=["db"]),
            "other users' containers ran only on the candidate",
        ),
        (
            fingerprint(others_containers=["db"]),
            fingerprint(),
            "other users' containers ran only on the baseline",
        ),
        (fingerprint(), fingerprint(card={}), "it is not known whether the SD cards are the same"),
    ],
    ids=["new gap", "closed gap", "kernel", "others now", "others then", "unknown card"],
)
def test_what_to_bear_in_mind_is_warned_of_by_name(
    tmp_path: Path, old: Mapping[str, Any], new: Mapping[str, Any], text: str
) -> None:
    found = between(tmp_path, {"desk": old}, {"desk": new})
    assert any(warning.startswith(f"desk: {text}") for warning in found.warnings), found.warnings
    assert len(found.findings) == 1


def test_calibrations_that_differ_by_less_than_a_percent_are_the_same(tmp_path: Path) -> None:
    almost = emulated(made_of={"calibrated_cpus": 0.743, "host": "h1"})
    assert between(tmp_path, {"desk": emulated()}, {"desk": almost}).refused == []


def test_another_effort_is_warned_of(tmp_path: Path) -> None:
    boards = {"desk": fingerprint()}
    found = compare(a_run(tmp_path, "old", boards), a_run(tmp_path, "new", boards, effort="paper"))
    assert found.warnings == ["the baseline's effort was quick, the candidate's paper"]


def test_a_board_that_only_one_run_has_is_named(tmp_path: Path) -> None:
    boards = {"desk": fingerprint(), "shelf": fingerprint("pi2b"), "attic": fingerprint("pi1b")}
    missing = {name: boards[name] for name in ("desk", "attic")} | {"new": fingerprint("pi4b")}
    text = [w for w in between(tmp_path, boards, missing).warnings if "has this board" in w]
    assert text == [
        f"{board} has this board, and no board of the same model in the other run can be paired with it"
        for board in ("shelf: only old", "new: only newer")
    ]


def test_a_board_is_compared_by_its_model_though_another_of_it_is_by_its_name(tmp_path: Path) -> None:
    two, other_two = ({name: fingerprint() for name in names} for names in (("a", "b"), ("a", "c")))
    found = between(tmp_path, two, other_two)
    assert {finding.board for finding in found.findings} == {"a", "c"}
    assert found.warnings == []


def test_runs_without_a_metric_in_common_cannot_be_compared(tmp_path: Path) -> None:
    old = a_run(tmp_path, "old", {"desk": fingerprint()})
    new = run_files.run(tmp_path / "new.json", run_files.boots("io.memory_time", [1.0]))
    with pytest.raises(RunError, match=r"no metric has valid measurements"):
        compare(old, new)


def test_a_rule_for_a_metric_that_neither_run_has_is_warned_of(tmp_path: Path) -> None:
    own = tmp_path / "gate.toml"
    own.write_text('[default]\nq = 0.02\n["startup.ready_time"]\nq = 0.05\n["startup.redy_time"]\nq = 0.1\n')
    old, new = (a_run(tmp_path, name, {"desk": fingerprint()}) for name in ("old", "newer"))
    assert compare(old, new, Rules([own])).warnings == [
        f"{own}: the rule for startup.redy_time has no effect, because neither run has this metric"
    ]


def test_a_board_with_another_name_is_compared_by_its_model(tmp_path: Path) -> None:
    old = {"one": fingerprint("pi2b"), "desk": fingerprint()}
    found = between(tmp_path, old, {"two": fingerprint("pi2b"), "desk": fingerprint()})
    assert {finding.board for finding in found.findings} == {"two", "desk"}


def test_two_boards_of_a_model_under_other_names_are_not_guessed(tmp_path: Path) -> None:
    old = {"a": fingerprint(), "b": fingerprint()}
    with pytest.raises(RunError, match="old has a, b, and newer has c, d"):
        between(tmp_path, old, {"c": fingerprint(), "d": fingerprint()})


def test_what_the_candidate_could_no_longer_measure_is_listed(tmp_path: Path) -> None:
    both = run_files.boots("startup.ready_time", scattered(15.0, 1))
    pages = run_files.boots("serving.page_time", scattered(0.2, 2), setting="docker", clients=50)
    invalid = [
        run_files.benchmark("serving.page_time", [9.0], verdict="invalid", setting="docker", clients=50)
    ]
    old = run_files.run(tmp_path / "old.json", [*both, *pages])
    found = compare(old, run_files.run(tmp_path / "new.json", [*both, *invalid]))
    assert [finding.metric for finding in found.findings] == ["startup.ready_time"]
    assert found.warnings == [
        "desk: the baseline has metrics for which the candidate has no valid measurement: "
        "serving.page_time (1)"
    ]


def test_the_boots_of_a_confirmation_are_no_part_of_a_stored_runs_figures(tmp_path: Path) -> None:
    boots = run_files.boots("startup.ready_time", scattered(15.0, 1))
    again = run_files.boots("startup.ready_time", scattered(30.0, 2), stage="candidate")
    old = run_files.run(tmp_path / "old.json", boots)
    found = compare(old, run_files.run(tmp_path / "new.json", [*boots, *again]))
    assert [(f.verdict, f.boots) for f in found.findings] == [("no evidence", (10, 10))]


@pytest.mark.parametrize("drifted", ["old", "newer"])
def test_a_change_beside_drift_of_either_run_is_said_to_be_so(tmp_path: Path, drifted: str) -> None:
    runs_ = {}
    for name, ready_s in (("old", 15.0), ("newer", 18.0)):
        drift = ["cpu control 50 % slower than usual"] if name == drifted else []
        benchmarks = [
            *run_files.boots("startup.ready_time", scattered(ready_s, len(name))),
            *run_files.boots("startup.container_time", scattered(20.0, 7)),
        ]
        controls = {"desk": control(drift=drift)}
        runs_[name] = run_files.run(tmp_path / f"{name}.json", benchmarks, controls=controls)
    found = compare(runs_["old"], runs_["newer"])
    which = "baseline" if drifted == "old" else "candidate"
    assert found.warnings == [
        f"desk: drifted while the {which} was measured: cpu control 50 % slower than usual"
    ]
    reasons = {finding.metric: finding.reason for finding in found.findings}
    assert reasons["startup.ready_time"].endswith("; the control of the board drifted, too")
    assert "drift" not in reasons["startup.container_time"]
    assert all(finding.drifted for finding in found.findings)
    assert (found.verdict, found.fails) == ("regressed", True)
