"""Trends: how the metrics of a model changed over OS releases. Report-only: a change fails nothing.

Each release has one value: the median of all its boots. A change point is a step between consecutive releases
that is at least 5 % (the gate's smallest effect) and more than three times the noise. The noise is the
standard error of the difference of the two medians, or the typical step of the series if that is larger. The
noise is unknown unless each of the two releases has three boots, or the series has three other steps.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_microcloud.catalog import Catalog
from pytest_microcloud.report.plot import DASHES, NONE, Cell, Look, Number, Plot, axis, rounded, text
from pytest_microcloud.report.sources import Source, short
from pytest_microcloud.verdict.results import Results, Subject, point

SMALLEST = 0.05
TIMES_THE_NOISE = 3.0
ENOUGH = 3
"""The noise estimate needs this many boots of each release, or this many other steps of the series."""
MOST_ROWS = 60
"""Maximum number of change points that the table lists of metrics that are on no plot."""
PER_IQR = 1 / 1.349
PER_MAD = 1.4826
OF_A_MEDIAN = 1.2533
"""Standard error of a median, as a multiple of the standard error of a mean."""


@dataclass(frozen=True)
class Step:
    """The change of a metric from one OS release to the next. `noise` is a share of 1, or None if unknown."""

    before: str
    after: str
    old: float
    new: float
    noise: float | None

    @property
    def ratio(self) -> float:
        """The new value divided by the old one."""
        return self.new / self.old

    @property
    def changes(self) -> bool:
        """Whether the step is a change point."""
        if self.noise is None:
            return False
        return self.size > max(math.log1p(SMALLEST), TIMES_THE_NOISE * self.noise)

    @property
    def size(self) -> float:
        """The absolute logarithm of the ratio."""
        return abs(math.log(self.new) - math.log(self.old))


@dataclass(frozen=True)
class Trend:
    """The values of one metric of a model (real or emulated) by OS release, the oldest release first.

    `place` says where the load came from; empty for the controller.
    """

    model: str
    emulated: bool
    metric: str
    labels: dict[str, str]
    unit: str
    better: str
    values: list[tuple[str, float]]
    steps: list[Step]
    place: str = ""

    @property
    def name(self) -> str:
        """The model and the metric, as a text without line breaks."""
        at = " ".join(self.labels.values())
        what = self.metric.partition(".")[2].replace("_", " ") or self.metric
        board = ", ".join(filter(None, (self.model, "emulated" if self.emulated else "", self.place)))
        return f"{board} · {what}{f' ({at})' if at else ''}"


def steps(values: Sequence[tuple[str, float]], boots: Sequence[Sequence[float]]) -> list[Step]:
    """Return the steps between OS releases; `boots` has the boots' values in each release's newest run."""
    logs = [math.log(value) for _, value in values]
    sizes = [abs(b - a) for a, b in itertools.pairwise(logs)]
    found = []
    for n in range(len(sizes)):
        others = sizes[:n] + sizes[n + 1 :]
        noises = []
        if min(len(boots[n]), len(boots[n + 1])) >= ENOUGH:
            noises.append(math.hypot(_error(boots[n]), _error(boots[n + 1])))
        if len(others) >= ENOUGH:
            noises.append(PER_MAD * statistics.median(others))
        (before, old), (after, new) = values[n], values[n + 1]
        found.append(Step(before, after, old, new, max(noises, default=None)))
    return found


def _error(boots: Sequence[float]) -> float:
    """Return the standard error of the median of the boots' values, as a share of that median."""
    first, middle, third = statistics.quantiles(boots, n=4, method="inclusive")
    if middle <= 0:
        return math.inf
    return OF_A_MEDIAN * PER_IQR * (third - first) / middle / math.sqrt(len(boots))


def every(results: Results) -> Iterator[Trend]:
    """Yield the trend of each metric with each set of labels, for each model with two or more OS releases."""
    by_model: dict[tuple[str, bool, str], list[Subject]] = {}
    for subject in results.of_models:
        by_model.setdefault((subject.model, subject.emulated, subject.load_from), []).append(subject)
    for (model, emulated, load_from), subjects in by_model.items():
        if len(subjects) < 2:
            continue
        for metric in results.metrics():
            for labels in results.points(metric, subjects):
                values = results.releases(
                    model, emulated=emulated, metric=metric, labels=labels, load_from=load_from
                )
                if len(values) < 2 or min(value for _, value in values) <= 0:
                    continue
                figures = [f for s in subjects if (f := results.figure(s, metric, labels)) is not None]
                boots = [figure.boots for figure in figures]
                last = figures[-1].last
                yield Trend(
                    *(model, emulated, metric, labels, last.unit, last.better, values),
                    steps(values, boots),
                    subjects[0].place,
                )


def plot(results: Results, catalog: Catalog, sources: Sequence[Source]) -> Plot:
    """Return a plot of each experiment's headline metric, with a table that includes all change points."""
    drawn = Plot(
        "trend",
        "From OS release to OS release",
        "The headline metric of each experiment, relative to the model's first release (= 100 %)",
        ("board", "metric", "OS release", "value", "previous", "change", "noise", "change point"),
    )
    vms = [name for name, model in catalog.models.items() if model.kind == "vm"]
    look = Look((source.model for source in sources), vms)
    by_model = {
        (source.model, source.emulated, source.subject.place): source
        for source in sources
        if not source.subject.altered
    }
    headlines = {
        (e.headline_metric, point(e.headline_at)): number
        for number, e in enumerate(catalog.experiments.values())
    }
    found, plotted = list(every(results)), list[Trend]()
    compared = {release for trend in found for release, _ in trend.values}
    order = {release: n for n, release in enumerate(r for r in results.os_releases if r in compared)}
    for trend in found:
        number = headlines.get((trend.metric, point(trend.labels)))
        source = by_model.get((trend.model, trend.emulated, trend.place))
        if number is None or source is None:
            continue
        first = trend.values[0][1]
        jumps = {step.after for step in trend.steps if step.changes}
        line = look.line(source, DASHES[number % len(DASHES)]) | {"visible": True, "opacity": 1, "meta": {}}
        plotted.append(trend)
        drawn.rows += _rows(trend)
        drawn.traces.append(
            line
            | {
                "name": text(trend.name),
                "x": [order[release] for release, _ in trend.values],
                "y": [rounded(100 * value / first) for _, value in trend.values],
                "marker": line["marker"] | {"size": [15 if r in jumps else 8 for r, _ in trend.values]},
                "hovertemplate": "%{fullData.name}<br>%{y:.4g} % of the first release<extra></extra>",
            }
        )
    changed = [(trend, step) for trend in found for step in trend.steps if step.changes]
    also = sorted((pair for pair in changed if pair[0] not in plotted), key=lambda pair: -pair[1].size)
    drawn.rows += [_row(trend, step) for trend, step in also[:MOST_ROWS]]
    if also:
        drawn.notes.append(
            f"The table includes {'all' if len(also) <= MOST_ROWS else f'the largest {MOST_ROWS} of'} "
            f"{len(also)} change points of other metrics."
        )
    unknown = sum(step.noise is None for trend in found for step in trend.steps)
    judged = sum(len(trend.steps) for trend in found)
    drawn.notes += _in_words(len(found), judged, unknown, len(changed))
    releases = list(order)
    drawn.layout |= {
        "xaxis": {
            "tickmode": "array",
            "tickvals": list(range(len(releases))),
            "ticktext": [text(short(release)).replace(" (", "<br>(") for release in releases],
            "automargin": True,
        },
        "yaxis": axis("relative to the first release", ticksuffix=" %"),
    }
    return drawn


def _rows(trend: Trend) -> Iterator[tuple[Cell, ...]]:
    """Yield a table row for each OS release of a trend."""
    board, _, metric = trend.name.partition(" · ")
    (release, value), *_ = trend.values
    yield board, metric, short(release), Number(value, trend.unit), NONE, "", "", ""
    yield from (_row(trend, step) for step in trend.steps)


def _row(trend: Trend, step: Step) -> tuple[Cell, ...]:
    board, _, metric = trend.name.partition(" · ")
    worse = (step.new > step.old) == (trend.better == "lower")
    return (
        board,
        metric,
        short(step.after),
        Number(step.new, trend.unit),
        Number(step.old, trend.unit),
        f"{step.ratio - 1:+.1%}",
        f"±{step.noise:.1%}" if step.noise is not None else "unknown",
        ("worse" if worse else "better") if step.changes else "",
    )


def _in_words(series: int, judged: int, unknown: int, changes: int) -> list[str]:
    if not series:
        return ["No model has been measured under two OS releases, so there is no trend."]
    notes = [
        f"{changes} of {judged} steps are change points: at least {SMALLEST:.0%}, and more than three times "
        "the noise. The noise is the standard error of the difference of medians, or the typical step of the "
        "series if that is larger. Change points have large markers; they fail no test."
    ]
    if unknown:
        notes.append(
            f"{unknown} steps are not judged, because their noise is unknown: an estimate "
            f"needs {ENOUGH} boots of both releases, or {ENOUGH} other steps."
        )
    return notes
