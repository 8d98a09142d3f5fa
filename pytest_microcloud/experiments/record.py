"""An experiment as one record: its metrics, axes, symptoms, tools, time estimate and figures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_microcloud.catalog import (
    BoardModel,
    Catalog,
    Chart,
    Description,
    Effort,
    descriptions,
    threshold,
)
from pytest_microcloud.errors import UserMistake
from pytest_microcloud.suggest import did_you_mean, listed

NAME = re.compile(r"[a-z][a-z0-9_]*")
DIRECTIONS = ("lower", "higher")
REFERENCE_MIPS = 4000.0
"""7-Zip MIPS of the core to which the workloads' typical start times refer."""
KINDS = ("curves", "sums", "bars")
Points = Callable[[Effort, Catalog], Sequence[Any]]


@dataclass(frozen=True)
class Axis:
    """The points at which `@pytest.mark.sweep` runs a test.

    `points` is a sequence of points for all efforts. It can also be a mapping from the name of an effort
    ("quick", "standard", "paper") to a sequence, or a function that takes the effort and the catalog and
    returns a sequence. `shown` converts a point to its text in the test's id.
    """

    points: Sequence[Any] | Mapping[str, Sequence[Any]] | Points
    shown: Callable[[Any], str] = str

    def at(self, effort: Effort, catalog: Catalog) -> list[Any]:
        """Return the points of an effort. Raises UserMistake if the axis has none for the effort."""
        if callable(self.points):
            return list(self.points(effort, catalog))
        if isinstance(self.points, Mapping):
            if effort.id not in self.points:
                there = listed(sorted(self.points))
                raise UserMistake(f"the axis has no points for the effort {effort.id}, only for {there}")
            return list(self.points[effort.id])
        return list(self.points)


@dataclass(frozen=True)
class Step:
    """One test of the plan: its name, parameters (a point of each axis), board model, effort and catalog."""

    test: str
    parameters: Mapping[str, Any]
    model: BoardModel
    effort: Effort
    catalog: Catalog

    @property
    def slowness(self) -> float:
        """How many times slower the board is than the core to which the workloads' start times refer."""
        return REFERENCE_MIPS / self.model.sevenzip_mips_all_cores


@dataclass(frozen=True, kw_only=True)
class Experiment(Description):
    """Everything the plugin knows about an experiment; register it with `pytest_microcloud_register`.

    `axes` are the axes that the experiment's tests can sweep over. `tolerates` lists the symptoms
    (catalog/health.toml) that the experiment causes itself, so that they do not invalidate its measurements.
    `tools` maps each program that the experiment runs on the board to the program's Debian package.
    `estimate` is the duration of a test (s), or a function that returns the duration for a `Step`; only
    --microcloud-plan uses it. Raises UserMistake if the record contradicts itself.
    """

    axes: Mapping[str, Axis] = field(default_factory=dict)
    tolerates: tuple[str, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    estimate: float | Callable[[Step], float] = 1.0

    def __post_init__(self) -> None:
        for what in self._mistakes():
            raise UserMistake(f"experiment {self.name!r}: {what}")

    @property
    def words(self) -> Iterator[str]:
        """The strings that are points of an axis, from all axes whose points do not depend on the effort."""
        for axis in self.axes.values():
            if not callable(axis.points) and not isinstance(axis.points, Mapping):
                yield from (point for point in axis.points if isinstance(point, str))

    def step_s(self, step: Step) -> float:
        """Return the estimated duration of a test (s)."""
        return float(self.estimate(step) if callable(self.estimate) else self.estimate)

    def _mistakes(self) -> Iterator[str]:
        names = [metric.name for metric in self.metrics]
        if not NAME.fullmatch(self.name):
            yield "its name must consist of lower-case letters, digits and _, and start with a letter"
        if not names:
            yield "it has no metrics"
        for metric in self.metrics:
            if not metric.name.startswith(f"{self.name}.") or metric.name.endswith("."):
                yield f"the metric {metric.name!r} must be named {self.name}.…"
            if names.count(metric.name) > 1:
                yield f"there are two metrics {metric.name!r}"
            if metric.better not in DIRECTIONS:
                yield f'the metric {metric.name!r}: better must be "lower" or "higher", not {metric.better!r}'
            if not metric.unit:
                yield f'the metric {metric.name!r} has no unit ("1" for a count)'
        for name in (self.headline, *(name for chart in self.figures for name in _metrics_of(chart))):
            if name and name not in names:
                yield f"it has no metric {name!r}{did_you_mean([name], names)} (there are: {listed(names)})"
        for chart in self.figures:
            if chart.kind not in KINDS:
                yield f"figure {chart.title!r}: {chart.kind!r} is not one of {listed(KINDS)}"
            if not chart.metrics:
                yield f"figure {chart.title!r}: it shows no metrics"
            if chart.kind == "curves" and not chart.x:
                yield f"figure {chart.title!r}: curves need x, the label of their horizontal axis"
        for symptom in self.tolerates:
            threshold(symptom)


def shipped(name: str, **how: Any) -> Experiment:
    """Return the record of a shipped experiment: its description in the catalog, plus the fields in `how`."""
    return Experiment(**vars(descriptions()[name]), **how)


def axes(experiments: Mapping[str, Experiment], name: str) -> dict[str, Axis]:
    """Return all axes that a test of the experiment `name` can sweep over, as a dict by the axis's name.

    If several experiments have an axis of the same name, the axis of the experiment `name` is used.
    """
    found: dict[str, Axis] = {}
    for experiment in reversed(list(experiments.values())):  # the axis registered first wins
        found |= experiment.axes
    return found | (dict(experiments[name].axes) if name in experiments else {})


def _metrics_of(chart: Chart) -> tuple[str, ...]:
    return (*chart.metrics, *chart.tabled, chart.total)
