"""Exact rank statistics of two small samples, with ties: the rank test, and its confidence interval.

A sample has one value per boot. SciPy's `mannwhitneyu` is exact only without ties. With ties its p is
asymptotic, which is unreliable at the levels that are needed here. This module therefore counts the
distribution of the rank sum over all ways to choose which values are the candidate's.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def p_value(baseline: Sequence[float], candidate: Sequence[float]) -> float:
    """Return the two-sided p of the exact rank test (Mann-Whitney, Wilcoxon) with midranks for ties.

    The p is twice the smaller tail, at most 1. Raises ValueError if a sample is empty.
    """
    if not baseline or not candidate:
        raise ValueError("a rank test needs values on both sides")
    doubled = _doubled_midranks([*baseline, *candidate])
    observed = sum(doubled[len(baseline) :])
    counts = _rank_sums(tuple(sorted(doubled)), len(candidate))
    below, above = float(counts[: observed + 1].sum()), float(counts[observed:].sum())
    return min(1.0, 2 * min(below, above) / float(counts.sum()))


def smallest_p(baseline: int, candidate: int) -> float:
    """Return the smallest two-sided p that is possible with these numbers of boots."""
    return min(1.0, 2 / math.comb(baseline + candidate, candidate))


def critical_wins(baseline: int, candidate: int, level: float) -> int | None:
    """Return the least number of pairs that the candidate must win for a two-sided p of at most `level`.

    A pair has one value of each side; there must be no ties. None if so few values cannot reach the level.
    """
    counts = _rank_sums(tuple(range(2, 2 * (baseline + candidate) + 1, 2)), candidate)
    least = candidate * (candidate + 1)  # the smallest doubled rank sum
    tail, total, wins = 0.0, float(counts.sum()), baseline * candidate
    while wins >= 0 and 2 * (tail + float(counts[least + 2 * wins])) <= level * total:
        tail += float(counts[least + 2 * wins])
        wins -= 1
    return wins + 1 if wins < baseline * candidate else None


def boots_needed(level: float) -> int:
    """Return the smallest number of boots per side with which p can be as small as `level`."""
    boots = 1
    while smallest_p(boots, boots) > level:
        boots += 1
    return boots


def shift(
    baseline: Sequence[float], candidate: Sequence[float], confidence: float
) -> tuple[float, float, float]:
    """Return by how much the candidate's values lie above the baseline's: (estimate, low, high).

    The estimate is the median of all differences (Hodges, Lehmann 1963). The interval has the shifts that the
    rank test does not reject (Moses). With too few values for that confidence, it spans all differences.
    """
    differences = sorted(after - before for after in candidate for before in baseline)
    counts = _rank_sums(tuple(range(2, 2 * (len(baseline) + len(candidate)) + 1, 2)), len(candidate))
    # The smallest doubled rank sum. U is half of the excess over this sum.
    least = len(candidate) * (len(candidate) + 1)
    tail, total, cut = 0.0, float(counts.sum()), 0
    while 2 * (tail + float(counts[least + 2 * cut])) / total <= 1 - confidence:
        tail += float(counts[least + 2 * cut])
        cut += 1
    cut = max(cut - 1, 0)
    return _middle(differences), differences[cut], differences[-1 - cut]


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return adjusted p-values: rejecting all p-values up to q keeps the false discovery rate below q.

    The procedure is Benjamini's and Hochberg's (1995). SciPy has it, but takes a second to import.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__, reverse=True)
    found, least = [1.0] * len(p_values), 1.0
    for place, index in enumerate(order):
        least = min(least, p_values[index] * len(p_values) / (len(p_values) - place))
        found[index] = least
    return found


def _doubled_midranks(values: Sequence[float]) -> list[int]:
    """Return twice the midrank of each value, which is whole: ties share the mean of their ranks."""
    first: dict[float, int] = {}
    last: dict[float, int] = {}
    for place, value in enumerate(sorted(values), 1):
        first.setdefault(value, place)
        last[value] = place
    return [first[value] + last[value] for value in values]


@functools.lru_cache(maxsize=4096)
def _rank_sums(doubled: tuple[int, ...], chosen: int) -> NDArray[np.float64]:
    """Return for each sum the number of ways in which `chosen` of these ranks add up to that sum."""
    import numpy as np

    most = sum(doubled[-chosen:])
    ways = np.zeros((chosen + 1, most + 1))
    ways[0, 0] = 1.0
    for rank in doubled:
        ways[1:, rank:] += ways[:-1, : most + 1 - rank]
    return np.array(ways[chosen])  # a copy, so that the cache does not keep the whole table


def _middle(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
