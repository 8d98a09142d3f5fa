"""The ladder of client counts on which capacity is measured: each rung is about 1.1 times the one below."""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import cache

MOST_CLIENTS = 250
"""Capacity is measured up to this many clients, as in the paper, even if a board could serve more."""
STEP = 1.1
HIGHEST = 7300
"""`clients_on` counts at most this many rungs above the ladder, so that its result is a finite float."""


@cache
def rungs(most: int = MOST_CLIENTS) -> tuple[int, ...]:
    """Return the client counts of all rungs, from 1 to `most`."""
    found = [most]
    while found[-1] > 1:
        found.append(min(found[-1] - 1, round(found[-1] / STEP)))
    return tuple(found[::-1])


def rank(clients: float) -> float:
    """Return the number of the rung that has this many clients: 1 is the lowest rung, 0 is no clients.

    Between two rungs, the result is not an integer. Above the ladder, each further factor of 1.1 adds 1.
    """
    steps = (0, *rungs())
    if clients >= steps[-1]:
        return len(steps) - 1 + math.log(clients / steps[-1]) / math.log(STEP)
    below = max(bisect_right(steps, clients) - 1, 0)
    return below + (clients - steps[below]) / (steps[below + 1] - steps[below])


def clients_on(rung: float) -> float:
    """Return the number of clients on the rung with this number: the inverse of `rank`."""
    steps = (0, *rungs())
    top = len(steps) - 1
    if rung >= top:
        return steps[-1] * math.pow(STEP, min(rung - top, HIGHEST))
    below = max(math.floor(rung), 0)
    low, high = steps[below : below + 2]
    return low + (high - low) * max(rung - below, 0.0)
