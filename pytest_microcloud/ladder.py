"""The ladder that capacity is found on: whole clients, each rung 1.1 times the one below it."""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import cache

MOST_CLIENTS = 250
"""Capacity is measured up to here, as in the paper; boards that serve so many are not told apart."""
STEP = 1.1
HIGHEST = 7300
"""Rungs above the ladder: more of them no float can hold."""


@cache
def rungs(most: int = MOST_CLIENTS) -> tuple[int, ...]:
    """Return the rungs from 1 to `most` clients, the lowest first."""
    found = [most]
    while found[-1] > 1:
        found.append(min(found[-1] - 1, round(found[-1] / STEP)))
    return tuple(found[::-1])


def rank(clients: float) -> float:
    """Return on which rung of the ladder that many clients stand: 0 is below all of them, 1 the lowest.

    Between two rungs it is a fraction, and above the ladder each further ×1.1 is one more.
    """
    steps = (0, *rungs())
    if clients >= steps[-1]:
        return len(steps) - 1 + math.log(clients / steps[-1]) / math.log(STEP)
    below = max(bisect_right(steps, clients) - 1, 0)
    return below + (clients - steps[below]) / (steps[below + 1] - steps[below])


def clients_on(rung: float) -> float:
    """Return how many clients stand on a rung: the inverse of `rank`."""
    steps = (0, *rungs())
    top = len(steps) - 1
    if rung >= top:
        return steps[-1] * math.pow(STEP, min(rung - top, HIGHEST))
    below = max(math.floor(rung), 0)
    low, high = steps[below : below + 2]
    return low + (high - low) * max(rung - below, 0.0)
