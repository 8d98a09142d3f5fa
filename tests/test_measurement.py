"""Samples of a metric: their statistics, how rounds are pooled, how figures are shown."""

from __future__ import annotations

import json
import random
import statistics

import pytest

from pytest_microcloud.errors import CatalogError
from pytest_microcloud.measurement import Measurement, pooled, quantile, shown


def test_a_measurement_takes_unit_and_direction_from_its_metric() -> None:
    page_time = Measurement("serving.page_time", [0.1])
    assert (page_time.unit, page_time.better) == ("s", "lower")
    capacity = Measurement("serving.capacity", [250.0])
    assert (capacity.unit, capacity.better) == ("clients", "higher")


def test_a_metric_that_is_not_there_is_answered_with_the_nearest() -> None:
    with pytest.raises(CatalogError, match=r"no metric is named 'serving\.page_tim'; did you mean"):
        Measurement("serving.page_tim", [0.1])


def test_a_metric_of_ones_own_brings_its_unit() -> None:
    own = Measurement("my.power", [3.5], unit="W", better="lower")
    assert (own.unit, own.better) == ("W", "lower")


def test_the_statistics_are_those_of_the_samples() -> None:
    m = Measurement("io.memory_time", [0.4, 0.1, 0.3, 0.2])
    assert m.median == m.statistic("median") == pytest.approx(0.25)
    assert m.statistic("mean") == pytest.approx(0.25)
    assert (m.statistic("min"), m.statistic("max")) == (0.1, 0.4)
    assert m.statistic("sum") == 1.0


def test_statistics_leave_the_samples_in_the_order_in_which_they_were_taken() -> None:
    m = Measurement("io.memory_time", [0.4, 0.1, 0.3])
    for name in ("median", "mean", "min", "max", "sum", "p50", "p95", "p99"):
        m.statistic(name)
    assert m.samples == [0.4, 0.1, 0.3]


@pytest.mark.parametrize("count", [2, 3, 10, 101, 1000])
def test_quantiles_are_those_of_the_statistics_module(count: int) -> None:
    random.seed(count)
    samples = [random.lognormvariate(0, 1) for _ in range(count)]
    expected = statistics.quantiles(samples, n=100, method="inclusive")
    assert [quantile(samples, q / 100) for q in range(1, 100)] == pytest.approx(expected)


def test_the_outermost_quantiles_are_the_extremes() -> None:
    samples = [3.0, 1.0, 2.0]
    assert (quantile(samples, 0), quantile(samples, 1)) == (1.0, 3.0)


def test_every_quantile_of_a_single_sample_is_that_sample() -> None:
    assert [quantile([0.7], q) for q in (0, 0.5, 0.95, 1)] == [0.7] * 4


def test_percentiles_are_asked_for_by_name() -> None:
    m = Measurement("serving.page_time", [float(n) for n in range(101)])
    assert [m.statistic(name) for name in ("p50", "p95", "p99")] == pytest.approx([50, 95, 99])


def test_rounds_are_pooled_by_metric_and_labels() -> None:
    def one_round(ruby: float, httpd: float) -> list[Measurement]:
        return [
            Measurement("hosting.containers", [ruby], {"workload": "ruby", "basis": "filled"}),
            Measurement("hosting.containers", [httpd], {"basis": "filled", "workload": "httpd"}),
            Measurement("hosting.start_time", [0.5, 0.6], {"workload": "ruby"}),
        ]

    ruby, httpd, start = pooled([one_round(50, 60), one_round(51, 61)])
    assert (ruby.labels["workload"], ruby.samples) == ("ruby", [50, 51])
    assert (httpd.labels["workload"], httpd.samples) == ("httpd", [60, 61])
    assert start.samples == [0.5, 0.6, 0.5, 0.6]


def test_the_order_of_labels_does_not_keep_rounds_apart() -> None:
    there = Measurement("serving.page_time", [0.1], {"setting": "docker", "clients": 50})
    back = Measurement("serving.page_time", [0.2], {"clients": 50, "setting": "docker"})
    assert [m.samples for m in pooled([[there], [back]])] == [[0.1, 0.2]]


def test_a_metric_that_only_a_later_round_has_is_kept() -> None:
    failures, page_time = Measurement("serving.failures", [9]), Measurement("serving.page_time", [0.1])
    assert pooled([[failures], [page_time]]) == [failures, page_time]
    assert pooled([]) == []


def test_the_run_file_holds_all_of_a_measurement_in_plain_json() -> None:
    m = Measurement("io.disk_read_time", [0.001, 0.002], {"size": "4KiB"}, reason="an old card")
    m.limit = {"max": 0.0033, "statistic": "median", "source": "its data sheet"}
    held = json.loads(json.dumps(m.as_dict()))
    assert held == {
        "metric": "io.disk_read_time",
        "unit": "s",
        "better": "lower",
        "labels": {"size": "4KiB"},
        "samples": [0.001, 0.002],
        "limit": {"max": 0.0033, "statistic": "median", "source": "its data sheet"},
        "verdict": "feasible",
        "reason": "an old card",
    }


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "s", "0 s"),
        (12.34, "s", "12.3 s"),
        (0.0123, "s", "12.3 ms"),
        (0.9999, "s", "1000 ms"),
        (45.6e-6, "s", "45.6 µs"),
        (7e-9, "s", "7 ns"),
        (4321.5, "s", "4322 s"),
        (52e6, "B", "52 MB"),
        (3.5e9, "B", "3.5 GB"),
        (4096, "B", "4.1 kB"),
        (999_900, "B", "1000 kB"),
        (512, "B", "512 B"),
        (-2e6, "B", "-2 MB"),
        (118.4, "1/s", "118 1/s"),
        (1234.4, "1/s", "1234 1/s"),
        (250, "clients", "250 clients"),
        (1024, "containers", "1024 containers"),
        (0, "1", "0"),
        (7, "1", "7"),
    ],
)
def test_figures_are_shown_as_people_read_them(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text
