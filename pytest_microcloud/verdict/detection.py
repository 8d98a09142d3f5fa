"""How many boots the gate needs to find a change, by simulation of the gate's test on lognormal noise."""

from __future__ import annotations

import functools
import math
import statistics
from typing import TYPE_CHECKING

from pytest_microcloud.verdict import ranks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pytest_microcloud.verdict.gate import Rule

POWER = 0.8
"""The share of changes that the gate has to find (the power of its test)."""
MOST_BOOTS = 100
FAR = 1.5
"""Estimates above this multiple of MOST_BOOTS are not simulated."""
RUNS = 600
"""Simulated pairs of runs for each number of boots: the share found is accurate to 1.6 %."""
SEED = 2017
VALUES = 4_000_000
"""Maximum number of differences that are held in memory at a time."""


def boots_needed(cv: float, change: float, rule: Rule, metrics: int) -> int | None:
    """Return how many boots per side the gate needs to find a change of one metric with a power of 80 %.

    `cv` is the metric's coefficient of variation from boot to boot, `change` a share. The gate compares
    `metrics` metrics, and no other metric has changed. Returns None if more than MOST_BOOTS are needed. Also
    None if the rule ignores the change: a change up to its smallest effect is found half of the time at best.
    """
    if change <= rule.effect:
        return None
    return _boots_needed(_two_digits(cv), change, rule.q / metrics, rule.effect)


def found(
    baseline: NDArray[np.float64], candidate: NDArray[np.float64], level: float, effect: float
) -> NDArray[np.bool_]:
    """Return for each simulated pair of runs whether the gate calls the candidate regressed.

    The arrays hold logarithms of values without ties, with a row per run and a column per boot. The result is
    that of `gate.compare` with one metric and a false discovery rate of `level`, for many runs at once.
    """
    import numpy as np

    wins = ranks.critical_wins(baseline.shape[1], candidate.shape[1], level)
    if wins is None:
        return np.zeros(len(baseline), dtype=bool)
    differences = candidate[:, :, None] - baseline[:, None, :]
    differences = differences.reshape(len(baseline), -1)
    significant = (differences > 0).sum(axis=1) >= wins
    large = np.median(differences, axis=1) >= math.log1p(effect)
    return np.asarray(significant & large, dtype=bool)


@functools.cache
def _boots_needed(cv: float, change: float, level: float, effect: float) -> int | None:
    def suffice(boots: int) -> bool:
        return _power(boots, cv, change, level, effect) >= POWER

    few = ranks.boots_needed(level)
    estimate = _estimate(cv, change, level)
    if estimate > FAR * MOST_BOOTS:
        return None
    many = min(MOST_BOOTS, max(few, round(estimate)))
    while not suffice(many):
        if many == MOST_BOOTS:
            return None
        few, many = many + 1, min(MOST_BOOTS, round(many * 1.2) + 1)
    while few < many:
        middle = (few + many) // 2
        few, many = (few, middle) if suffice(middle) else (middle + 1, many)
    return many


def _estimate(cv: float, change: float, level: float) -> float:
    """Return a first estimate of the boots needed, from the formula for a rank test of normal noise."""
    normal = statistics.NormalDist()
    quantiles = normal.inv_cdf(1 - level / 2) + normal.inv_cdf(POWER)
    return 2 * math.pi / 3 * (quantiles * _sigma(cv) / math.log1p(change)) ** 2


def _power(boots: int, cv: float, change: float, level: float, effect: float) -> float:
    """Return the share of simulated runs in which the change is found."""
    import numpy as np

    random = np.random.default_rng((SEED, boots))
    sigma, count, runs = _sigma(cv), 0, RUNS
    while runs:
        some = min(runs, max(1, VALUES // boots**2))
        before, after = (random.normal(0.0, sigma, (some, boots)) for _ in range(2))
        count += int(found(before, after + math.log1p(change), level, effect).sum())
        runs -= some
    return count / RUNS


def _sigma(cv: float) -> float:
    """Return the standard deviation of the logarithm of lognormal noise."""
    return math.sqrt(math.log1p(cv**2))


def _two_digits(cv: float) -> float:
    """Return a spread rounded to two significant digits, so that similar boards share a simulation."""
    return float(f"{cv:.1e}")
