"""Draws the plots of experiments from stored runs: curves, running sums and bars.

What a plot shows is described by data (`catalog.description.Chart`). The shipped experiments describe the
paper's Figures 3 to 6. An experiment that describes no plots gets default ones, based on its metrics' labels.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_microcloud.catalog import Catalog, Chart, Description, Metric
from pytest_microcloud.report.bars import bars
from pytest_microcloud.report.plot import (
    DASHES,
    HOVER,
    LIMITS,
    Look,
    Number,
    Plot,
    axis,
    bound_of,
    cells,
    completed,
    head,
    hovered,
    limit_in_words,
    limits,
    mark_lines,
    rounded,
    series_of,
    spread,
    text,
)
from pytest_microcloud.report.sources import Source
from pytest_microcloud.verdict.results import Figure

SIZE = re.compile(r"(\d+(?:\.\d+)?)(B|KiB|MiB|GiB)?", re.ASCII)
FACTORS = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
MOST_POINTS = 60
"""Maximum number of points on a curve of running sums; a curve with more points is thinned out."""
TICKS = [digit * 10**power for power in range(4) for digit in (1, 2, 5)]
MOST_FIGURES = 12
"""Maximum number of plots per experiment, since a run file may describe any number."""
MOST_DEFAULTS = 4
"""Maximum number of default plots, for an experiment that describes none."""
MANY_DECADES = 1000.0

Points = list[tuple[float, Figure]]


def all_of(sources: Sequence[Source], catalog: Catalog) -> list[Plot]:
    """Return all plots, experiment by experiment, including plots for which nothing was measured."""
    vms = [name for name, model in catalog.models.items() if model.kind == "vm"]
    look = Look((source.model for source in sources), vms)
    plots: dict[str, Plot] = {}
    for experiment in catalog.experiments.values():
        described = tuple(chart for chart in experiment.figures if chart.metrics)
        for chart in (described or tuple(_default_charts(experiment, sources)))[:MOST_FIGURES]:
            plot = _DRAW[chart.kind](_blank(experiment, chart, plots), chart, sources, look)
            plot.notes += chart.notes
            plots[plot.id] = completed(plot, sources, _first(chart), chart.expected)
    return list(plots.values())


def _blank(experiment: Description, chart: Chart, others: Mapping[str, Plot]) -> Plot:
    """Return an empty plot with an id that is unique on its page."""
    slug = chart.id if re.fullmatch(r"[a-z0-9-]+", chart.id) else "figure"
    free = (f"{slug}{f'-{n}' if n else ''}" for n in itertools.count())
    unit = next((m.unit for m in experiment.metrics if m.name == _first(chart)), "")
    id_ = next(one for one in free if one not in others)
    return Plot(id_, chart.title, chart.about, experiment=experiment.name, unit=unit)


def _curves(plot: Plot, chart: Chart, sources: Sequence[Source], look: Look) -> Plot:
    """Draw curves: a metric's median (y) against a label whose values are numbers or sizes (x)."""
    metric = _first(chart)
    series = series_of(chart, sources, metric)
    dashes = dict(zip(series.keys, itertools.cycle(DASHES)))
    plot.head = ("board", *series.labels, chart.x, *head(chart.quantiles))
    positions: dict[float, str] = {}
    for source in sources:
        curves: dict[tuple[str, ...], Points] = {}
        for labels, figure in source.figures(metric):
            if (x := _position(labels.get(chart.x, ""))) is not None:
                positions[x] = labels[chart.x]
                curves.setdefault(series.key(labels), []).append((x, figure))
        for key in (key for key in series.keys if key in curves):
            points = sorted(curves[key], key=lambda point: point[0])
            curve = _curve(source, look, " ".join(key), points, dashes[key], plot.unit)
            plot.traces.append(curve)
            plot.rows += [
                (source.name, *key, _number(positions[x]), *cells(figure, chart.quantiles))
                for x, figure in points
            ]
            limits(plot, look, source, points, source.model)
    mark_lines(plot, chart.marks)
    plot.layout |= {
        "xaxis": axis(chart.x_title or chart.x, **_horizontal(chart, positions)),
        "yaxis": axis(chart.y_title or chart.metrics[metric], plot.unit, **_vertical(chart, plot)),
    }
    return plot


def _sums(plot: Plot, chart: Chart, sources: Sequence[Source], look: Look) -> Plot:
    """Draw curves of the running sum of a metric's samples, continued to the projected count, if any."""
    metric = _first(chart)
    series = series_of(chart, sources, metric)
    dashes = dict(zip(series.keys, itertools.cycle(DASHES)))
    what = chart.x_title or "samples"
    plot.head = ("board", *series.labels, what, "basis", "sum", "median of one", "boots", "limit", "run")
    for source in sources:
        totals = {series.key(labels): figure for labels, figure in source.figures(chart.total)}
        for labels, each in source.figures(metric):
            key = series.key(labels)
            total = totals.get(key)
            sums = _Sums(each, total, list(itertools.accumulate(_first_repetition(each, total))))
            curve = _sum_curve(source, look, " ".join(key), sums.taken, dashes[key], plot.unit, what)
            plot.traces.append(curve)
            if sums.projected:
                plot.traces.append(_projected(curve, sums, source.emulated))
            basis = "projected" if sums.projected else "filled"
            plot.rows.append(
                (
                    source.name,
                    *key,
                    Number(sums.number, "1"),
                    basis,
                    Number(sums.sum, plot.unit),
                    Number(each.median, plot.unit),
                    Number(len(each.boots), "1"),
                    limit_in_words(sums.total.last) if sums.total else "no limit",
                    each.run,
                )
            )
            if source.newest and sums.total and bound_of(sums.total.last) is not None:
                name = " · ".join((source.model, *key))
                plot.traces.append(_lower_limit(source, look, name, sums.total, each.median))
                source_of = (sums.total.last.limit or {}).get("source")
                plot.sources.append(f"Limit of {source.model} ({' '.join(key)}): {source_of}")
    mark_lines(plot, chart.marks)
    ticks: dict[str, Any] = {"tickmode": "array", "tickvals": TICKS} if "x" in chart.log else {}
    plot.layout |= {
        "xaxis": axis(what, type="log" if "x" in chart.log else "linear", **ticks),
        "yaxis": axis(chart.y_title or chart.metrics[metric], plot.unit, **_vertical(chart, plot)),
    }
    return plot


_DRAW = {"curves": _curves, "sums": _sums, "bars": bars}


@dataclass(frozen=True)
class _Sums:
    """The data of a curve: the running sums of its samples, and a final count and sum, perhaps projected."""

    each: Figure
    total: Figure | None
    taken: list[float]

    @property
    def number(self) -> float:
        return self.total.median if self.total else float(len(self.taken))

    @property
    def projected(self) -> bool:
        basis = self.total.last.labels.get("basis") if self.total else ""
        return basis == "projected" and self.number > len(self.taken)

    @property
    def sum(self) -> float:
        more = (self.number - len(self.taken)) * self.each.median if self.projected else 0.0
        return self.taken[-1] + more


def _first_repetition(each: Figure, total: Figure | None) -> list[float]:
    """Return the samples of the first repetition in the last boot, in the order in which they were taken."""
    samples = each.last.samples
    repetitions = len(total.last.samples) if total else 1
    return samples[: max(1, len(samples) // repetitions)] if repetitions > 1 else samples


def _sum_curve(
    source: Source, look: Look, what: str, taken: Sequence[float], dash: str, unit: str, counted: str
) -> dict[str, Any]:
    numbers = range(1, len(taken) + 1)
    step = -(-len(taken) // MOST_POINTS)
    thinned = sorted({*numbers[::step], len(taken)})
    line = look.line(source, dash)
    return line | {
        "name": (name := text(" · ".join(filter(None, (source.name, what))))),
        "meta": (line.get("meta") or {}) | {"curve": name},
        "x": thinned,
        "y": [rounded(taken[number - 1]) for number in thinned],
        "marker": line["marker"] | {"size": 4},
        "hovertemplate": HOVER.format(x=f"%{{x}} {text(counted)}", y=hovered("y", unit)),
    }


def _projected(curve: dict[str, Any], sums: _Sums, emulated: bool) -> dict[str, Any]:
    """Return plotly's trace that continues a curve to the projected sum."""
    return curve | {
        "name": f"{curve['name']} (projected)",
        "x": [len(sums.taken), sums.number],
        "y": [rounded(sums.taken[-1]), rounded(sums.sum)],
        "line": curve["line"] | {"width": 1, "dash": "2px,2px"},
        "marker": curve["marker"] | {"symbol": f"arrow-right{'-open' if emulated else ''}", "size": 9},
        "meta": (curve.get("meta") or {}) | {"curve": curve["name"]},
    }


def _lower_limit(source: Source, look: Look, name: str, total: Figure, each: float) -> dict[str, Any]:
    """Return plotly's trace of a lower limit on the number of samples: a short vertical line on the curve."""
    least = bound_of(total.last) or 0.0
    colour = look.colour(source.model)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": text(f"limit of {name}: at least {least:g}"),
        "meta": LIMITS,
        "x": [least, least],
        "y": [rounded(least * each / 2), rounded(least * each * 2)],
        "line": {"color": colour, "dash": "2px,4px", "width": 1.5},
        "marker": {"symbol": "line-ew-open", "size": 8, "color": colour},
        "opacity": 0.75,
    }


def _curve(source: Source, look: Look, what: str, points: Points, dash: str, unit: str) -> dict[str, Any]:
    figures = [figure for _, figure in points]
    return (
        look.line(source, dash)
        | {
            "name": text(" · ".join(filter(None, (source.name, what)))),
            "x": [rounded(x) for x, _ in points],
            "y": [rounded(figure.median) for figure in figures],
            "hovertemplate": HOVER.format(x="%{x}", y=hovered("y", unit)),
        }
        | spread(figures)
    )


def _horizontal(chart: Chart, positions: Mapping[float, str]) -> dict[str, Any]:
    """Return plotly's scale of the x axis. Sizes, and all values on a logarithmic scale, become its ticks."""
    log = "x" in chart.log
    scale: dict[str, Any] = {"type": "log"} if log else {"rangemode": "tozero"}
    if not log and all(label.replace(".", "").isdigit() for label in positions.values()):
        return scale
    ticks = sorted(positions)
    return scale | {
        "tickmode": "array",
        "tickvals": ticks,
        "ticktext": [text(positions[tick]) for tick in ticks],
    }


def _vertical(chart: Chart, plot: Plot) -> dict[str, Any]:
    """Return plotly's scale of the y axis. A logarithmic scale that spans few decades gets more ticks."""
    if "y" not in chart.log:
        return {"rangemode": "tozero"}
    drawn = [y for trace in plot.traces if "yaxis" not in trace for y in trace["y"] if y and y > 0]
    many = drawn and max(drawn) / min(drawn) > MANY_DECADES
    return {"type": "log"} | ({} if many else {"dtick": "D2"})


def _default_charts(experiment: Description, sources: Sequence[Source]) -> Iterator[Chart]:
    """Yield default charts, one per metric: curves if a label has several numeric values, otherwise bars."""
    first = experiment.headline_metric
    for metric in sorted(experiment.metrics, key=lambda metric: metric.name != first)[:MOST_DEFAULTS]:
        title, values = _title(metric), dict[str, set[str]]()
        for source in sources:
            for labels, _ in source.figures(metric.name):
                for key, value in labels.items():
                    values.setdefault(key, set()).add(value)
        numbers = [key for key, all_ in values.items() if len(all_) > 1 and None not in map(_position, all_)]
        chart = Chart(
            title=title,
            about=f"{metric.name}: {metric.better} is better",
            metrics={metric.name: metric.name.partition(".")[2].replace("_", " ") or metric.name},
            kind="bars",
        )
        yield replace(chart, kind="curves", x=numbers[0]) if numbers else chart


def _title(metric: Metric) -> str:
    title = metric.meaning or metric.name.replace(".", ": ", 1).replace("_", " ")
    return title[:1].upper() + title[1:]


def _first(chart: Chart) -> str:
    return next(iter(chart.metrics), "")


def _number(label: str) -> Number | str:
    return Number(float(label), "1") if label.isdigit() else label


def _position(label: str) -> float | None:
    """Return a label's position on an axis; None if it is neither a number nor a size."""
    found = SIZE.fullmatch(label)
    return float(found[1]) * FACTORS[found[2]] if found else None
