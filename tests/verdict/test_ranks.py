"""Exact rank statistics: against enumeration, and against SciPy where it is exact."""

from __future__ import annotations

import itertools
import random

import pytest
from scipy import stats

from pytest_microcloud.verdict import ranks


def enumerated(baseline: list[float], candidate: list[float]) -> float:
    """Return the p by trying every choice of values for the candidate, with mean ranks for ties."""
    joined = [*baseline, *candidate]
    rank = list(stats.rankdata(joined))
    observed = sum(rank[len(baseline) :])
    sums = [sum(chosen) for chosen in itertools.combinations(rank, len(candidate))]
    below = sum(each <= observed for each in sums) / len(sums)
    above = sum(each >= observed for each in sums) / len(sums)
    return float(min(1.0, 2 * min(below, above)))


@pytest.mark.parametrize(("n", "m"), [(3, 3), (5, 4), (8, 10), (10, 10), (20, 20)])
def test_without_ties_p_is_scipys_exact_one(n: int, m: int) -> None:
    source = random.Random(n * 100 + m)
    for shift in (0.0, 0.8, 2.0):
        baseline = [source.gauss(0, 1) for _ in range(n)]
        candidate = [source.gauss(shift, 1) for _ in range(m)]
        expected = stats.mannwhitneyu(baseline, candidate, method="exact").pvalue
        assert ranks.p_value(baseline, candidate) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("baseline", "candidate"),
    [
        ([1, 1, 2, 3], [2, 3, 3, 4, 4]),
        ([5, 5, 5, 5], [5, 5, 5, 5]),
        ([0, 0, 0, 0, 0], [0, 0, 0, 0, 7]),
        ([82, 82, 83, 82], [81, 82, 81, 81]),
    ],
)
def test_with_ties_p_is_that_of_all_permutations(baseline: list[float], candidate: list[float]) -> None:
    assert ranks.p_value(baseline, candidate) == pytest.approx(enumerated(baseline, candidate), rel=1e-9)


def test_p_does_not_depend_on_which_side_is_which() -> None:
    a, b = [1.0, 2.0, 2.0, 5.0], [2.0, 3.0, 9.0]
    assert ranks.p_value(a, b) == pytest.approx(ranks.p_value(b, a))


def test_a_sample_without_values_is_refused() -> None:
    with pytest.raises(ValueError, match="both sides"):
        ranks.p_value([], [1.0])


@pytest.mark.parametrize(("n", "m"), [(3, 3), (4, 9), (10, 10)])
def test_the_smallest_p_is_that_of_samples_that_do_not_overlap(n: int, m: int) -> None:
    apart = ranks.p_value([float(i) for i in range(n)], [float(100 + i) for i in range(m)])
    assert ranks.smallest_p(n, m) == pytest.approx(apart, rel=1e-9)


@pytest.mark.parametrize("level", [0.05, 0.01, 0.01 / 200])
def test_so_many_boots_can_reach_a_level_and_one_less_cannot(level: float) -> None:
    boots = ranks.boots_needed(level)
    assert ranks.smallest_p(boots, boots) <= level < ranks.smallest_p(boots - 1, boots - 1)


def test_adjusted_p_values_are_scipys() -> None:
    source = random.Random(7)
    p_values = [source.random() ** 3 for _ in range(50)]
    expected = stats.false_discovery_control(p_values)
    assert ranks.adjusted(p_values) == pytest.approx(list(expected))


def test_the_interval_covers_the_true_shift_as_often_as_it_says() -> None:
    source = random.Random(11)
    covered = 0
    for _ in range(1000):
        baseline = [source.gauss(0, 1) for _ in range(10)]
        candidate = [source.gauss(0.5, 1) for _ in range(10)]
        estimate, low, high = ranks.shift(baseline, candidate, 0.95)
        assert low <= estimate <= high
        covered += low <= 0.5 <= high
    assert 0.94 <= covered / 1000 <= 0.985


def test_the_interval_leaves_zero_out_exactly_when_the_test_rejects() -> None:
    source = random.Random(13)
    for _ in range(300):
        baseline = [source.gauss(0, 1) for _ in range(8)]
        candidate = [source.gauss(source.choice([0, 1.2]), 1) for _ in range(9)]
        _, low, high = ranks.shift(baseline, candidate, 0.95)
        assert (ranks.p_value(baseline, candidate) <= 0.05) == (low > 0 or high < 0)
