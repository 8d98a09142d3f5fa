"""Measurements against the limits of their board model."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from pytest_microcloud.catalog import Catalog, Limit, load
from pytest_microcloud.measurement import Measurement
from pytest_microcloud.verdict.limits import apply, judge

LIMITS = """\
    [limits.pi3b.serving]
    page_time = [
      { max = 2.0, statistic = "p95", source = "my users wait" },
      { max = 1.0, labels = { clients = 50 }, source = "fifty of my users" },
    ]
    capacity = { min = 100, source = "my classroom" }
    """


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    file = tmp_path / "mine.toml"
    file.write_text(dedent(LIMITS), encoding="utf-8")
    return load([file])


def capacity(clients: float) -> Measurement:
    return Measurement("serving.capacity", [clients], {"setting": "docker"})


def test_what_keeps_its_limit_is_feasible_and_carries_the_limit(catalog: Catalog) -> None:
    kept = Measurement("serving.page_time", [0.5, 0.7, 9.9], {"clients": 50})
    assert judge([kept], "pi3b", catalog) == []
    assert (kept.verdict, kept.reason) == ("feasible", "")
    assert kept.limit == {"max": 1.0, "statistic": "median", "source": "fifty of my users"}


def test_a_missed_limit_tells_metric_labels_value_limit_model_and_source(catalog: Catalog) -> None:
    missed = Measurement("serving.page_time", [1.25], {"setting": "docker", "clients": 50})
    (sentence,) = judge([missed], "pi3b", catalog)
    assert sentence == (
        "serving.page_time (setting=docker, clients=50): median 1.25 s exceeds the limit of 1 s for pi3b "
        "— fifty of my users"
    )
    assert (missed.verdict, missed.reason) == ("infeasible", sentence)


def test_too_few_is_below_a_limit_and_says_so(catalog: Catalog) -> None:
    (sentence,) = judge([capacity(82)], "pi3b", catalog)
    assert "median 82 clients is below the limit of 100 clients for pi3b — my classroom" in sentence


@pytest.mark.parametrize(("clients", "verdict"), [(99, "infeasible"), (100, "feasible"), (250, "feasible")])
def test_exactly_the_limit_keeps_it(catalog: Catalog, clients: float, verdict: str) -> None:
    m = capacity(clients)
    judge([m], "pi3b", catalog)
    assert m.verdict == verdict


def test_a_limit_is_about_the_statistic_that_it_names(catalog: Catalog) -> None:
    slow_tail = Measurement("serving.page_time", [0.1] * 90 + [5.0] * 10, {"clients": 75})
    (sentence,) = judge([slow_tail], "pi3b", catalog)
    assert "p95 5 s exceeds the limit of 2 s" in sentence
    quick_tail = Measurement("serving.page_time", [0.1] * 97 + [5.0] * 3, {"clients": 75})
    assert judge([quick_tail], "pi3b", catalog) == []


def test_what_has_no_limit_is_left_as_it_was(catalog: Catalog) -> None:
    own = Measurement("my.power", [1e9], unit="W", better="lower")
    own.verdict = "invalid"
    assert judge([own], "pi3b", catalog) == []
    assert (own.verdict, own.limit) == ("invalid", None)


def test_limits_of_another_model_do_not_count(catalog: Catalog) -> None:
    m = capacity(82)
    judge([m], "pi2b", catalog)
    assert m.limit is not None
    assert m.limit["source"] != "my classroom"


def test_every_missed_limit_is_reported(catalog: Catalog) -> None:
    slow = Measurement("serving.page_time", [1.5], {"clients": 50})
    sentences = judge([slow, capacity(1), capacity(200)], "pi3b", catalog)
    assert [sentence.split(" ")[0] for sentence in sentences] == ["serving.page_time", "serving.capacity"]


def test_a_reason_that_was_there_stays_before_the_missed_limit() -> None:
    m = Measurement("hosting.containers", [3], reason="the board failed after 3 containers")
    sentence = apply(Limit(model="pi3b", metric="hosting.containers", min=60, source="me"), m)
    assert sentence is not None
    assert m.reason == f"the board failed after 3 containers; {sentence}"


def test_what_has_no_limit_is_feasible_with_that_remark_only(catalog: Catalog) -> None:
    own = Measurement("my.power", [1e9], unit="W", better="lower")
    judge([own], "pi3b", catalog)
    assert (own.as_dict()["verdict"], own.as_dict()["reason"]) == ("feasible", "no limit is set")
    own.reason = "on a battery"
    assert own.as_dict()["reason"] == "on a battery; no limit is set"
    own.verdict = "invalid"
    assert own.as_dict()["reason"] == "on a battery"


def test_what_was_judged_has_no_remark_on_limits(catalog: Catalog) -> None:
    m = capacity(200)
    judge([m], "pi3b", catalog)
    assert (m.verdict, m.as_dict()["reason"]) == ("feasible", "")


def test_what_is_invalid_is_not_judged(catalog: Catalog) -> None:
    doubted = capacity(3)
    doubted.verdict = "invalid"
    assert judge([doubted], "pi3b", catalog) == []
    assert (doubted.verdict, doubted.limit) == ("invalid", None)


def test_what_the_experiment_found_infeasible_is_missed_without_a_limit(catalog: Catalog) -> None:
    nobody = Measurement("serving.failures", [20.0], verdict="infeasible", reason="20 of 20 requests failed")
    assert judge([nobody], "pi3b", catalog) == ["serving.failures: 20 of 20 requests failed"]
    assert nobody.verdict == "infeasible"
