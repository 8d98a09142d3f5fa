"""The gate: what it calls regressed, improved, no evidence and too few samples."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import pytest

from pytest_microcloud.errors import CatalogError
from pytest_microcloud.verdict import gate
from pytest_microcloud.verdict.gate import Series


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


def test_a_certain_but_small_change_does_not_matter() -> None:
    found = one(boots(2.0, 20, 1, cv=0.001), boots(2.06, 20, 2, cv=0.001))
    assert found.verdict == "no evidence"
    assert "+3.0%, too little to matter" in found.reason


def test_too_few_boots_are_told_with_how_many_would_do() -> None:
    found = one((1.0, 1.1, 1.2), (2.0, 2.1, 2.2))
    assert found.verdict == "too few samples"
    assert found.reason.startswith("5 boots a side")


def test_more_metrics_need_more_boots() -> None:
    keys: list[gate.Key] = [("pi3b", f"own.metric{number}", ()) for number in range(200)]
    run = {key: Series("s", "lower", boots(1.0, 5, seed)) for seed, key in enumerate(keys)}
    again = {key: Series("s", "lower", boots(1.0, 5, 1000 + seed)) for seed, key in enumerate(keys)}
    found = gate.compare(run, again)
    assert {f.verdict for f in found} == {"too few samples"}
    assert found[0].reason.startswith("9 boots a side")


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
    assert lower.ratio == pytest.approx(1.1**-2)
    assert capacity((250.0,) * 10, (250.0,) * 10).verdict == "no evidence"
    assert capacity((250.0,) * 10, (0.0,) * 10).verdict == "regressed"


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
    ("text", "told"),
    [
        ('["serving.page_time"]\nefect = 0.1\n', 'key "serving.page_time.efect"'),
        ('["serving.page_time"]\neffect = "much"\n', 'key "serving.page_time.effect"'),
        ('["serving.page_time"]\nscale = "log"\n', 'key "serving.page_time.scale"'),
        ("q = 0.1\n", 'key "q": a table is needed'),
        ("[", "is not TOML"),
    ],
)
def test_a_wrong_file_of_rules_is_told_with_file_and_key(tmp_path: Path, text: str, told: str) -> None:
    own = tmp_path / "gate.toml"
    own.write_text(text)
    with pytest.raises(CatalogError) as caught:
        gate.Rules([own])
    assert str(own) in str(caught.value)
    assert told in str(caught.value)


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
