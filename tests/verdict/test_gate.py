"""The gate: what it calls regressed, improved, no evidence and too few samples."""

from __future__ import annotations

import itertools
import random
from functools import partial
from pathlib import Path

import pytest

from pytest_microcloud import ladder
from pytest_microcloud.errors import CatalogError
from pytest_microcloud.verdict import gate
from pytest_microcloud.verdict.gate import Series
from tests.support import run_files


def boots(middle: float, count: int, seed: int, cv: float = 0.02) -> tuple[float, ...]:
    source = random.Random(seed)
    return tuple(middle * source.lognormvariate(0, cv) for _ in range(count))


def one(
    baseline: tuple[float, ...],
    candidate: tuple[float, ...],
    *,
    metric: str = "serving.page_time",
    unit: str = "s",
    better: str = "lower",
    rules: gate.Rules | None = None,
) -> gate.Finding:
    key = ("pi3b", metric, (("setting", "docker"),))
    before, after = Series(unit, better, baseline), Series(unit, better, candidate)
    (found,) = gate.compare({key: before}, {key: after}, rules)
    return found


def test_a_page_that_takes_longer_is_a_regression() -> None:
    found = one(boots(2.0, 10, 1), boots(2.4, 10, 2))
    assert found.verdict == "regressed"
    assert found.fails
    assert found.ratio == pytest.approx(1.2, rel=0.03)
    assert found.interval is not None
    assert found.interval[0] < 1.2 < found.interval[1]
    assert found.boots == (10, 10)


def test_a_page_that_takes_less_is_an_improvement() -> None:
    found = one(boots(2.4, 10, 1), boots(2.0, 10, 2))
    assert found.verdict == "improved"
    assert not found.fails


def test_of_a_metric_that_should_be_high_less_is_worse() -> None:
    found = one(boots(60, 10, 1), boots(50, 10, 2), metric="serving.throughput", unit="1/s", better="higher")
    assert found.verdict == "regressed"


def test_the_same_again_is_no_evidence_and_rules_out_a_large_change() -> None:
    found = one(boots(2.0, 10, 1), boots(2.0, 10, 2))
    assert found.verdict == "no evidence"
    assert found.reason == "≥10% ruled out"


def test_a_wide_scatter_rules_nothing_out() -> None:
    found = one(boots(2.0, 10, 1, cv=0.3), boots(2.0, 10, 2, cv=0.3))
    assert (found.verdict, found.reason) == ("no evidence", "")


def test_values_as_far_apart_as_numbers_can_be_are_compared() -> None:
    found = one((1e-300,) * 10, (1e300,) * 10)
    assert found.verdict == "regressed"
    assert found.ratio is not None
    assert found.ratio > 1e300


def test_a_certain_but_small_change_does_not_matter() -> None:
    found = one(boots(2.0, 20, 1, cv=0.001), boots(2.06, 20, 2, cv=0.001))
    assert found.verdict == "no evidence"
    assert "+3.0%, too little to matter" in found.reason


def test_too_few_boots_are_reported_with_how_many_would_do() -> None:
    found = one((1.0, 1.1, 1.2), (2.0, 2.1, 2.2))
    assert found.verdict == "too few samples"
    assert found.reason.startswith("needs 5 boots per side")


def test_more_metrics_need_more_boots() -> None:
    keys: list[gate.Key] = [("pi3b", f"own.metric{number}", ()) for number in range(200)]
    run = {key: Series("s", "lower", boots(1.0, 5, seed)) for seed, key in enumerate(keys)}
    again = {key: Series("s", "lower", boots(1.0, 5, 1000 + seed)) for seed, key in enumerate(keys)}
    found = gate.compare(run, again)
    assert {f.verdict for f in found} == {"too few samples"}
    assert found[0].reason.startswith("needs 9 boots per side")


def test_counts_change_by_whole_containers() -> None:
    counts = partial(one, metric="hosting.containers", unit="containers", better="higher")
    one_less = counts((8.0,) * 10, (7.0,) * 10)
    assert (one_less.verdict, one_less.reason) == ("regressed", "-1")
    of_many = counts((82.0,) * 10, (80.0,) * 10)
    assert of_many.verdict == "no evidence"
    assert "too little to matter" in of_many.reason


def test_failures_that_come_out_of_nothing_are_a_regression_without_a_ratio() -> None:
    found = one((0.0,) * 10, (12.0,) * 10, metric="serving.failures", unit="1")
    assert found.verdict == "regressed"
    assert (found.ratio, found.interval) == (None, None)


def test_capacity_is_judged_by_the_rung_of_its_ladder() -> None:
    capacity = partial(one, metric="serving.capacity", unit="clients", better="higher")
    lower = capacity((250.0,) * 10, (207.0,) * 10)
    assert lower.verdict == "regressed"
    assert lower.ratio == pytest.approx(207 / 250)
    assert capacity((250.0,) * 10, (250.0,) * 10).verdict == "no evidence"
    assert capacity((250.0,) * 10, (0.0,) * 10).verdict == "regressed"


def test_every_single_step_down_the_ladder_is_a_regression() -> None:
    for below, above in itertools.pairwise((0, *ladder.rungs())):
        found = one(
            (float(above),) * 10,
            (float(below),) * 10,
            metric="serving.capacity",
            unit="clients",
            better="higher",
        )
        assert (found.verdict, found.reason) == ("regressed", "-1 rungs"), f"{above} to {below}"
        assert found.ratio == pytest.approx(below / above)


def test_what_only_one_run_measured_is_not_compared() -> None:
    key, other = ("pi3b", "io.memory_time", ()), ("pi3b", "startup.ready_time", ())
    run = Series("s", "lower", boots(1.0, 10, 1))
    assert [f.metric for f in gate.compare({key: run}, {key: run, other: run})] == ["io.memory_time"]


def test_rules_of_ones_own_replace_the_shipped_ones_by_metric(tmp_path: Path) -> None:
    own = tmp_path / "gate.toml"
    own.write_text('["serving.page_time"]\nreport_only = true\n["startup.ready_time"]\neffect = 0.5\n')
    rules = gate.Rules([own])
    seen = one(boots(2.0, 10, 1), boots(2.4, 10, 2), rules=rules)
    assert (seen.verdict, seen.fails) == ("regressed", False)
    slow = one(boots(2.0, 10, 1), boots(2.4, 10, 2), metric="startup.ready_time", rules=rules)
    assert slow.verdict == "no evidence"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["serving.page_time"]\nefect = 0.1\n', 'key "serving.page_time.efect"'),
        ('["serving.page_time"]\neffect = "much"\n', 'key "serving.page_time.effect"'),
        ('["serving.page_time"]\nscale = "log"\n', 'key "serving.page_time.scale"'),
        ("q = 0.1\n", 'key "q": a table is needed'),
        ("[", "is not TOML"),
    ],
)
def test_a_wrong_file_of_rules_is_reported_with_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    own = tmp_path / "gate.toml"
    own.write_text(text)
    with pytest.raises(CatalogError) as caught:
        gate.Rules([own])
    assert str(own) in str(caught.value)
    assert message in str(caught.value)


def test_a_report_only_metric_costs_the_others_nothing() -> None:
    """Its p is adjusted among its own kind, so that more of them make no gate blunter."""
    key: gate.Key = ("pi3b", "serving.page_time", ())
    before = {key: Series("s", "lower", boots(2.0, 6, 1))}
    after = {key: Series("s", "lower", boots(2.6, 6, 2))}
    swapped: dict[gate.Key, Series] = {
        ("pi3b", "hosting.swapped_pages", (("n", str(n)),)): Series("1", "lower", (0.0,) * 6)
        for n in range(200)
    }
    found = gate.compare(before | swapped, after | swapped)
    assert found[0].verdict == "regressed"


def test_a_series_has_one_value_a_boot_the_median_of_its_repetitions(tmp_path: Path) -> None:
    run = run_files.run(
        tmp_path / "r.json",
        [
            run_files.benchmark("startup.ready_time", [15.0, 16.0, 90.0], boot=1),
            run_files.benchmark("startup.ready_time", [14.0], boot=2),
            run_files.benchmark("startup.ready_time", [99.0], boot=3, verdict="invalid"),
            run_files.benchmark("startup.ready_time", [20.0], boot=1, stage="candidate"),
        ],
    )
    key = ("desk", "startup.ready_time", ())
    assert gate.series(run) == {key: Series("s", "lower", (16.0, 14.0))}
    assert gate.series(run, "candidate") == {key: Series("s", "lower", (20.0,))}
    assert gate.series(run, "baseline") == {}


def test_repetitions_in_one_boot_are_no_boots(tmp_path: Path) -> None:
    """They are not independent: twenty in one boot say no more than one boot does."""
    runs = [
        run_files.run(tmp_path / f"{name}.json", [run_files.benchmark("startup.ready_time", [seconds] * 20)])
        for name, seconds in {"old": 15.0, "new": 30.0}.items()
    ]
    (found,) = gate.compare(gate.series(runs[0]), gate.series(runs[1]))
    assert (found.verdict, found.boots) == ("too few samples", (1, 1))


def test_how_a_count_came_to_be_does_not_keep_it_from_being_compared(tmp_path: Path) -> None:
    runs = [
        run_files.run(
            tmp_path / f"{basis}.json",
            run_files.boots("hosting.containers", [80.0] * 10, workload="httpd", basis=basis),
        )
        for basis in ("filled", "projected")
    ]
    (found,) = gate.compare(gate.series(runs[0]), gate.series(runs[1]))
    assert (found.verdict, found.labels) == ("no evidence", {"workload": "httpd"})


@pytest.mark.parametrize(
    ("after", "is_suspect"),
    [(boots(2.2, 6, 2), True), (boots(1.8, 6, 2), False), (boots(2.0, 6, 2), False)],
    ids=["worse", "better", "the same"],
)
def test_what_looks_worse_is_suspect_before_there_is_evidence(
    after: tuple[float, ...], is_suspect: bool
) -> None:
    found = one(boots(2.0, 6, 1), after)
    assert (gate.suspects([found]) == [found]) == is_suspect


def test_screening_asks_less_than_judging() -> None:
    """Four boots per side are inconclusive at q, and enough for a suspicion."""
    found = one((2.0, 2.1, 2.2, 2.3), (3.0, 3.1, 3.2, 3.3))
    assert (found.verdict, gate.suspects([found])) == ("too few samples", [found])


def test_what_is_only_reported_is_never_suspect() -> None:
    found = one((0.0,) * 10, (50.0,) * 10, metric="hosting.swapped_pages", unit="1")
    assert (found.verdict, found.report_only, found.fails) == ("regressed", True, False)
    assert gate.suspects([found]) == []


def finding(verdict: str, *, report_only: bool = False) -> gate.Finding:
    return gate.Finding("desk", "m", {}, verdict, 1.0, (0.9, 1.1), 0.5, (10, 10), "", report_only=report_only)


@pytest.mark.parametrize(
    ("verdicts", "overall"),
    [
        (["improved", "regressed", "no evidence", "too few samples"], "regressed"),
        (["improved", "no evidence", "too few samples"], "improved"),
        (["no evidence", "too few samples"], "no evidence"),
        (["too few samples"], "too few samples"),
        ([], "too few samples"),
    ],
)
def test_one_verdict_stands_for_all(verdicts: list[str], overall: str) -> None:
    assert gate.overall([finding(verdict) for verdict in verdicts]) == overall


def test_what_is_only_reported_has_no_say_in_it() -> None:
    assert gate.overall([finding("regressed", report_only=True), finding("no evidence")]) == "no evidence"


def test_a_default_of_ones_own_is_for_all_metrics_and_a_later_file_replaces_it(tmp_path: Path) -> None:
    first, second = tmp_path / "1.toml", tmp_path / "2.toml"
    first.write_text("[default]\nq = 0.05\neffect = 0.2\n")
    second.write_text('[default]\neffect = 0.1\n["io.memory_time"]\nq = 0.02\n')
    rules = gate.Rules([first, second])
    assert (rules.of("startup.ready_time").q, rules.of("startup.ready_time").effect) == (0.05, 0.1)
    assert (rules.of("io.memory_time").q, rules.of("io.memory_time").effect) == (0.02, 0.1)
    assert rules.of("hosting.containers").scale == "count"


def test_a_stricter_q_needs_more_evidence(tmp_path: Path) -> None:
    own = tmp_path / "gate.toml"
    own.write_text("[default]\nq = 0.000001\n")
    before, after = boots(2.0, 10, 1), boots(2.4, 10, 2)
    assert one(before, after).verdict == "regressed"
    assert one(before, after, rules=gate.Rules([own])).verdict == "too few samples"


@pytest.mark.parametrize("text", ["q = 0\n", "q = 1\n", "q = true\n", "effect = -0.1\n", "report_only = 1\n"])
def test_a_rule_that_makes_no_sense_is_reported_with_file_and_key(tmp_path: Path, text: str) -> None:
    own = tmp_path / "gate.toml"
    own.write_text(f"[default]\n{text}")
    with pytest.raises(CatalogError, match=rf'gate\.toml: key "default\.{text.split()[0]}": .* is needed'):
        gate.Rules([own])


def test_rules_that_are_not_there_or_no_text_are_reported(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"none\.toml: cannot be read: No such file"):
        gate.Rules([tmp_path / "none.toml"])
    (tmp_path / "own.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CatalogError, match=r"own\.toml: is not TOML"):
        gate.Rules([tmp_path / "own.toml"])


@pytest.mark.parametrize("scatter", [0.03, 0.08, 0.20])
def test_runs_of_the_same_raise_no_alarm(scatter: float) -> None:
    """A few of the many runs that `make bench-gate` simulates."""
    keys: list[gate.Key] = [("pi3b", f"own.metric{number}", ()) for number in range(200)]
    for seed in range(3):
        before, after = (
            {
                key: Series("s", "lower", boots(1.0, 10, seed * 1000 + side * 500 + place, cv=scatter))
                for place, key in enumerate(keys)
            }
            for side in (0, 1)
        )
        assert not [found for found in gate.compare(before, after) if found.fails]


def test_a_page_time_under_load_is_gated_by_abs_mean_time_per_request(tmp_path: Path) -> None:
    """The median of the requests moves with the order in which clients are served; the mean does not."""
    at = {"setting": "native", "clients": 250}
    pages = run_files.boots("serving.page_time", [2.38, 1.90], **at)
    rates = run_files.boots("serving.throughput", [111.4, 108.8], **at)
    key = ("desk", "serving.page_time", (("clients", "250"), ("setting", "native")))
    measured = gate.series(run_files.run(tmp_path / "both.json", [*pages, *rates]))
    assert measured[key].values == pytest.approx((2.244, 2.298), abs=1e-3)
    incomplete = gate.series(run_files.run(tmp_path / "one.json", [*pages, rates[0]]))
    assert incomplete[key].values == (2.38, 1.90), "one measure for all boots"
