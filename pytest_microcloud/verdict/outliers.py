"""Boards that deviate from their fleet.

Each value is compared on the gate's scale for its metric (logarithm, ladder or count). The robust z-score of
a value is the distance from the median over the boards, divided by 1.4826 MAD (Iglewicz and Hoaglin 1993).
MAD has a lower bound, so a deviation below the gate's smallest change cannot reach a z-score of `outlier`.

Among many values some deviate by chance. So a board is judged by groups of metrics that have a cause in
common: the board's score in a group is the median over the group's values. The threshold for the z-score of
these scores depends on the number of boards and groups: in a fleet of equal boards, the probability that any
board exceeds the threshold is `false_alarms`.
"""

from __future__ import annotations

import functools
import math
import statistics
import tomllib
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Generic, TypeVar

from pytest_microcloud.verdict import gate
from pytest_microcloud.verdict.histories import Board, Key, Reading
from pytest_microcloud.verdict.results import Subject

PER_MAD = 1.4826
"""The ratio of standard deviation to median absolute deviation, for normally distributed values."""
PER_MEAN_AD = 1.2533
"""The ratio of standard deviation to mean absolute deviation, used where the smallest change is 0."""
LEVELS = (0.01, 0.001)
"""The levels (probabilities) of the two thresholds in each row of the rules."""

Member = TypeVar("Member", bound=Hashable)


@dataclass(frozen=True)
class Group:
    """Metrics that are likely to deviate together; `title` is a phrase such as "writing to disk"."""

    id: str
    title: str
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Hint:
    """A possible cause if a board deviates in one of `groups` and in none of `without`."""

    groups: tuple[str, ...]
    text: str
    without: tuple[str, ...] = ()


class Rules:
    """The shipped rules: groups, hints and thresholds."""

    def __init__(self) -> None:
        shipped = resources.files(__package__).joinpath("outliers.toml")
        read: dict[str, Any] = tomllib.loads(shipped.read_text(encoding="utf-8"))
        self.minimum: int = read["minimum"]
        self.outlier: float = read["outlier"]
        self.false_alarms: float = read["false_alarms"]
        self.groups = tuple(
            Group(name, g["title"], tuple(g["metrics"])) for name, g in read["groups"].items()
        )
        self.hints = tuple(
            Hint(tuple(hint["groups"]), hint["text"], tuple(hint.get("without", ())))
            for hint in read["hints"]
        )
        self.gate = gate.Rules()
        self._thresholds = {int(number): levels for number, levels in read["thresholds"].items()}
        self._of = {metric: group for group in self.groups for metric in group.metrics}

    def group_of(self, metric: str) -> Group:
        """Return the group that a metric belongs to; a metric that no group names is a group by itself."""
        return self._of.get(metric, Group(metric, metric, (metric,)))

    def threshold(self, members: int, tests: int) -> float:
        """Return the threshold for `members` boards that are compared in `tests` groups of metrics."""
        listed = max(number for number in self._thresholds if number <= members)
        common, rare = self._thresholds[listed]
        decades = math.log10(LEVELS[0] * max(tests, 1) / self.false_alarms)
        return float(common * (rare / common) ** (decades / math.log10(LEVELS[0] / LEVELS[1])))

    def hints_for(self, deviating: Iterable[str]) -> list[str]:
        """Return the possible causes if a board is worse than its fleet in these groups."""
        there = set(deviating)
        return [h.text for h in self.hints if there & set(h.groups) and not there & set(h.without)]


@functools.cache
def shipped() -> Rules:
    """Return the shipped rules."""
    return Rules()


@dataclass(frozen=True)
class Compared(Generic[Member]):
    """One metric at one set of labels, compared between members (boards of a fleet, or runs of a board).

    `middle` is the median in SI units. `shifts` are the distances from the median on the metric's scale, and
    `spread` is the distance with a z-score of 1, at least `floor`. `ratios` are the values divided by
    `middle`, or None. `spread_ratio` is the ratio for a distance of one `spread`.
    """

    key: Key
    readings: Mapping[Member, Reading]
    middle: float
    shifts: Mapping[Member, float]
    ratios: Mapping[Member, float | None]
    floor: float
    spread: float
    spread_ratio: float | None

    @property
    def metric(self) -> str:
        """The metric's name."""
        return self.key[0]

    @property
    def labels(self) -> dict[str, str]:
        """The labels at which the metric was measured."""
        return dict(self.key[1])

    @property
    def unit(self) -> str:
        """The unit of the values."""
        return next(iter(self.readings.values())).unit

    def z(self, member: Member) -> float:
        """Return the robust z-score of a member; positive is worse."""
        return self.worse(member) * self.floor / self.spread

    def worse(self, member: Member) -> float:
        """Return the distance of a member from the median in multiples of `floor`; positive is worse."""
        sign = 1 if self.readings[member].better == "lower" else -1
        return sign * self.shifts[member] / self.floor


@dataclass(frozen=True)
class Judged:
    """A board's z-score in a group of metrics (positive is worse), and the threshold for the z-score.

    `typical` is the metric that deviates most, at the labels where its deviation is the median. `values` is
    the number of the board's values in the group, and `beyond` is the number of these values whose z-score
    exceeds `Rules.outlier`.
    """

    board: str
    group: Group
    z: float
    threshold: float
    typical: Compared[str]
    beyond: int
    values: int

    @property
    def metric(self) -> str:
        """The metric that deviates most."""
        return self.typical.metric

    @property
    def ratio(self) -> float | None:
        """The value of `typical` divided by the fleet's median."""
        return self.typical.ratios[self.board]

    @property
    def deviates(self) -> bool:
        """Whether the board deviates from its fleet."""
        return abs(self.z) >= self.threshold

    @property
    def worse(self) -> bool:
        """Whether the board is worse than the median of its fleet."""
        return self.z > 0


@dataclass(frozen=True)
class Fleet:
    """Boards that can be compared with each other, with their values, and the results by board and group.

    `judged` is empty if there are too few boards.
    """

    boards: tuple[Board, ...]
    values: tuple[Compared[str], ...]
    judged: tuple[Judged, ...]

    @property
    def subject(self) -> Subject:
        """The model and OS release of the boards."""
        return self.boards[0].subject

    @property
    def groups(self) -> list[Group]:
        """The groups of metrics that were judged."""
        return list(dict.fromkeys(judged.group for judged in self.judged))

    @property
    def deviating(self) -> list[Judged]:
        """The results that deviate, grouped by board, from the largest to the smallest absolute z-score."""
        there = [judged for judged in self.judged if judged.deviates]
        most = {judged.board: 0.0 for judged in there}
        for judged in there:
            most[judged.board] = max(most[judged.board], abs(judged.z))
        return sorted(there, key=lambda judged: (-most[judged.board], judged.board, -abs(judged.z)))

    def also_unusual(self, board: str, rules: Rules) -> list[Group]:
        """Return the groups in which a board does not deviate, but has a z-score beyond `Rules.outlier`."""
        there = (judged for judged in self.judged if judged.board == board and not judged.deviates)
        return [judged.group for judged in there if abs(judged.z) >= rules.outlier]

    def causes(self, board: str, rules: Rules) -> list[str]:
        """Return possible causes for the groups of metrics in which a board is worse than its fleet."""
        return rules.hints_for(j.group.id for j in self.deviating if j.board == board and j.worse)


def judge(boards: Sequence[Board], rules: Rules | None = None) -> Fleet:
    """Compare these boards with each other, and return them as a fleet with the results."""
    rules = rules or shipped()
    readings = {board.name: board.newest for board in boards}
    values = tuple(compared(readings, rules))
    return Fleet(tuple(boards), values, tuple(_judged(values, rules)))


def compared(readings: Mapping[Member, Mapping[Key, Reading]], rules: Rules) -> Iterator[Compared[Member]]:
    """Yield a comparison for each metric and set of labels that was measured on enough members.

    Metrics that the gate only reports are left out.
    """
    for key in dict.fromkeys(key for there in readings.values() for key in there):
        there = {member: found[key] for member, found in readings.items() if key in found}
        rule = rules.gate.of(key[0])
        if len(there) >= rules.minimum and not rule.report_only:
            yield _compare(key, there, rule, rules.outlier)


def _compare(
    key: Key, readings: Mapping[Member, Reading], rule: gate.Rule, outlier: float
) -> Compared[Member]:
    values = {member: reading.value for member, reading in readings.items()}
    scale = gate.scale_of(rule, tuple(values.values()))
    scaled = {member: scale.to(value) for member, value in values.items()}
    middle = statistics.median(scaled.values())
    shifts = {member: value - middle for member, value in scaled.items()}
    mean = statistics.fmean(map(abs, shifts.values()))
    floor = scale.smallest / outlier or PER_MEAN_AD * mean or 1.0
    spread = max(PER_MAD * statistics.median(map(abs, shifts.values())), floor)
    ratios = {member: scale.ratio(shift) for member, shift in shifts.items()}
    return Compared(
        key,
        readings,
        statistics.median(values.values()),
        shifts,
        ratios,
        floor,
        spread,
        scale.ratio(spread),
    )


def by_group(values: Iterable[Compared[Member]], rules: Rules) -> dict[Group, list[Compared[Member]]]:
    """Return the values by group of metrics."""
    groups: dict[Group, list[Compared[Member]]] = {}
    for value in values:
        groups.setdefault(rules.group_of(value.metric), []).append(value)
    return groups


def scores_of(values: Sequence[Compared[Member]]) -> dict[Member, float]:
    """Return each member's score: the median distance of its values from the median; positive is worse.

    Members that lack more than half of the values are left out.
    """
    members = dict.fromkeys(member for value in values for member in value.readings)
    found = {member: [v.worse(member) for v in values if member in v.readings] for member in members}
    return {
        member: statistics.median(there) for member, there in found.items() if 2 * len(there) >= len(values)
    }


def _judged(values: Sequence[Compared[str]], rules: Rules) -> Iterator[Judged]:
    groups = by_group(values, rules)
    scores = {group: scores_of(there) for group, there in groups.items()}
    judged = {group: there for group, there in scores.items() if len(there) >= rules.minimum}
    for group, of_boards in judged.items():
        threshold = rules.threshold(len(of_boards), len(judged))
        middle = statistics.median(of_boards.values())
        distances = {board: score - middle for board, score in of_boards.items()}
        spread = max(PER_MAD * statistics.median(map(abs, distances.values())), 1.0)
        for board, distance in distances.items():
            there = [value for value in groups[group] if board in value.readings]
            z = distance / spread
            most = typical(board, there, 1 if z > 0 else -1)
            beyond = sum(abs(value.z(board)) >= rules.outlier for value in there)
            yield Judged(board, group, z, threshold, most, beyond, len(there))


def typical(member: Member, values: Sequence[Compared[Member]], side: int) -> Compared[Member]:
    """Return a member's worst (`side` 1) or best (-1) metric, at the labels of its median deviation."""
    metrics: dict[str, list[Compared[Member]]] = {}
    for value in values:
        metrics.setdefault(value.metric, []).append(value)
    most = max(metrics.values(), key=lambda there: side * statistics.median(v.worse(member) for v in there))
    return sorted(most, key=lambda value: value.worse(member))[len(most) // 2]
