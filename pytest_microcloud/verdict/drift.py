"""How a board changed over its latest runs.

The board's values in these runs are compared like the values of the boards of a fleet. The change from the
first to the last run is divided by the noise: 1.4826 MAD of the steps from run to run, so that a steady drift
does not count as noise. For n steps, the threshold is that of a fleet of n boards. By
simulation, a board without drift is reported with a probability of at most 2 % (eight groups of metrics, six
to ten runs).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pytest_microcloud.verdict.histories import Board
from pytest_microcloud.verdict.outliers import (
    PER_MAD,
    Compared,
    Group,
    Rules,
    by_group,
    compared,
    scores_of,
    shipped,
    typical,
)


@dataclass(frozen=True)
class Drift:
    """How a board changed in a group of metrics from the first to the last of its latest runs.

    `times` is the change in multiples of the noise (positive is worse), and `threshold` is the threshold for
    `times`. `metric` is the metric that changed most. `levels` are its values relative to the board's median
    over the runs, and `noise` is the noise of its steps as a share. Both are None if there is no ratio.
    """

    board: str
    group: Group
    taken: tuple[str, ...]
    times: float
    threshold: float
    metric: str
    levels: tuple[float, ...] | None
    noise: float | None

    @property
    def ratio(self) -> float | None:
        """The last value divided by the first value."""
        return self.levels[-1] / self.levels[0] if self.levels else None

    @property
    def drifts(self) -> bool:
        """Whether the board changed by more than noise."""
        return abs(self.times) >= self.threshold


def drifts(board: Board, rules: Rules | None = None) -> Iterator[Drift]:
    """Yield how a board changed over its latest runs, for each group of metrics with enough runs."""
    rules = rules or shipped()
    runs = {number: run.readings for number, run in enumerate(board.runs)}
    groups = by_group(compared(runs, rules), rules)
    scores = {group: scores_of(values) for group, values in groups.items()}
    scores = {group: there for group, there in scores.items() if len(there) > rules.minimum}
    for group, of_runs in scores.items():
        numbers = sorted(of_runs)
        steps = [of_runs[b] - of_runs[a] for a, b in pairwise(numbers)]
        times = sum(steps) / max(_noise(steps), 1.0)
        threshold = rules.threshold(len(steps), len(scores))
        last = [value for value in groups[group] if numbers[-1] in value.readings]
        most = typical(numbers[-1], last, 1 if times > 0 else -1)
        levels = _levels([v for v in last if v.metric == most.metric], numbers)
        yield Drift(
            board.name,
            group,
            tuple(board.runs[number].taken for number in numbers),
            times,
            threshold,
            most.metric,
            levels,
            math.expm1(_noise([math.log(b / a) for a, b in pairwise(levels)])) if levels else None,
        )


def _levels(values: Sequence[Compared[int]], numbers: Sequence[int]) -> tuple[float, ...] | None:
    """Return a metric's level in each run: its median ratio over all labels. None if a run has no ratio."""
    levels = []
    for number in numbers:
        ratios = [r for v in values if number in v.readings and (r := v.ratios[number]) is not None and r > 0]
        if not ratios:
            return None
        levels.append(statistics.median(ratios))
    return tuple(levels)


def _noise(steps: Sequence[float]) -> float:
    """Return the standard deviation of steps around their median, robustly estimated."""
    middle = statistics.median(steps)
    return PER_MAD * statistics.median(abs(step - middle) for step in steps)
