"""Builds plots as plotly's JSON (plain dicts), each with a table of the same numbers.

plotly is not imported, because its import is slow. Colour and marker distinguish board models, the dash
distinguishes settings, and an open marker means an emulated board: nothing depends on colour alone. Texts are
escaped, because plotly interprets some HTML in them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from pytest_microcloud.catalog import Chart, Mark
from pytest_microcloud.measurement import Measurement, quantile, shown
from pytest_microcloud.report.sources import Source
from pytest_microcloud.verdict.results import Figure

Trace = dict[str, Any]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's palette for colour-blind readers, without its yellow and black."""
VM_COLOUR = "#7F7F7F"
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "star", "hexagon")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
LIMITS, MARK, OLDER = {"group": "limits"}, {"mark": True}, {"older": True}
"""Tags (plotly's `meta`) that group the legend: all limits, published marks, curves of older releases."""
LONGEST = 80
"""Maximum length of a name in a plot, in characters."""


@dataclass(frozen=True)
class Number:
    """A number in a table: its value in SI units, as in the CSV, and its unit. `str` formats it to read."""

    value: float
    unit: str

    def __str__(self) -> str:
        return shown(self.value, self.unit)


Cell = str | Number


@dataclass
class Plot:
    """A plot with its table, `notes` on what it does not show, and the `sources` of its marks and limits.

    `height` (px) does not include the legend. `head` and `rows` are the table's. `unit` is the unit of the
    values. `empty` is the text that replaces a plot without traces.
    """

    id: str
    title: str
    about: str
    head: tuple[str, ...] = ()
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    layout: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    height: int = 380
    experiment: str = ""
    unit: str = ""
    empty: str = "Nothing has been measured for this plot."

    def as_dict(self) -> dict[str, Any]:
        """Return the data that the page's script draws."""
        return {"id": self.id, "data": self.traces, "layout": self.layout, "height": self.height}


class Look:
    """Assigns a colour and a marker to each board model, the same on all plots of a page."""

    def __init__(self, models: Iterable[str], vms: Iterable[str]) -> None:
        vms = set(vms)
        models = list(dict.fromkeys(models))
        boards = [model for model in models if model not in vms]
        self._colours = {model: COLOURS[n % len(COLOURS)] for n, model in enumerate(boards)}
        self._symbols = {model: SYMBOLS[n % len(SYMBOLS)] for n, model in enumerate(models)}

    def line(self, source: Source, dash: str = "solid") -> Trace:
        """Return the style of a curve. Older OS releases and altered boards are hidden at first."""
        colour = self.colour(source.model)
        symbol = self._symbols.get(source.model, "circle") + ("-open" if source.emulated else "")
        look: Trace = {
            "type": "scatter",
            "mode": "lines+markers",
            "line": {"color": colour, "dash": dash, "width": 2},
            "marker": {"color": colour, "symbol": symbol, "size": 8, "line": {"color": colour, "width": 1.5}},
        }
        return look if source.newest else look | {"visible": "legendonly", "opacity": 0.6, "meta": OLDER}

    def colour(self, model: str) -> str:
        """Return a model's colour; cloud VMs are grey."""
        return self._colours.get(model, VM_COLOUR)


def text(value: str) -> str:
    """Return a text for plotly: cut to `LONGEST` characters, with its markup escaped."""
    return escape(value if len(value) <= LONGEST else value[: LONGEST - 1] + "…", quote=False)


def rounded(value: float) -> float | None:
    """Return a number rounded to four significant digits; None if JSON cannot express it (infinity, NaN)."""
    return float(f"{value:.4g}") if math.isfinite(value) else None


def spread(figures: Sequence[Figure], axis: str = "error_y") -> Trace:
    """Return plotly's error bars: first to third quartile of the boots; none if there is only one boot."""
    quartiles = [figure.quartiles for figure in figures]
    if not any(quartiles):
        return {}
    over = [q[1] - f.median if q else 0.0 for f, q in zip(figures, quartiles, strict=True)]
    under = [f.median - q[0] if q else 0.0 for f, q in zip(figures, quartiles, strict=True)]
    return {
        axis: {
            "type": "data",
            "symmetric": False,
            "array": [rounded(o) for o in over],
            "arrayminus": [rounded(u) for u in under],
            "thickness": 1.2,
            "width": 4,
        }
    }


NONE = "–"
"""The text that a table shows in place of a missing number."""
HOVER = "%{{fullData.name}}<br>{x}: {y}<extra></extra>"
MISSING = "Not measured on"
P95 = "p95"
HEAD = ("median", "1st quartile", "3rd quartile", "boots", P95, "limit", "verdict", "run")


def head(quantiles: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the table columns: `HEAD`, with `quantiles` such as "p99" added to p95 in ascending order."""
    before, after = HEAD[: HEAD.index(P95)], HEAD[HEAD.index(P95) + 1 :]
    return (*before, *sorted({P95, *quantiles}), *after)


def cells(figure: Figure, quantiles: Iterable[str] = ()) -> tuple[Cell, ...]:
    """Return the table cells of a `Figure` (columns: `head`). Quartiles are those of the boots' values."""
    last, unit = figure.last, figure.last.unit
    first, third = figure.quartiles or (None, None)
    return (
        Number(figure.median, unit),
        NONE if first is None else Number(first, unit),
        NONE if third is None else Number(third, unit),
        Number(len(figure.boots), "1"),
        *(Number(quantile(figure.samples, float(q[1:]) / 100), unit) for q in sorted({P95, *quantiles})),
        limit_in_words(last),
        figure.verdict,
        figure.run,
    )


def limit_in_words(m: Measurement) -> str:
    """Return the limit that a measurement was judged by, in words."""
    if (bound := bound_of(m)) is None or m.limit is None:
        return "no limit"
    kind = "max" if "max" in m.limit else "min"
    return f"{kind} {shown(bound, m.unit)} ({m.limit.get('statistic', 'median')})"


def bound_of(m: Measurement) -> float | None:
    """Return the limit's value if it is a finite number; a run file may contain any value."""
    limit = m.limit or {}
    try:
        bound = float(limit.get("max", limit.get("min", math.nan)))
    except (TypeError, ValueError, OverflowError):
        return None
    return bound if math.isfinite(bound) else None


def limits(plot: Plot, look: Look, source: Source, points: Sequence[tuple[float, Figure]], name: str) -> None:
    """Draw the limits at a curve's points (x, `Figure`) as a line, unless the plot already has that line."""
    there = [(x, figure) for x, figure in points if bound_of(figure.last) is not None]
    if not there:
        return
    x, y = [rounded(x) for x, _ in there], [rounded(bound_of(figure.last) or 0.0) for _, figure in there]
    drawn = [t for t in plot.traces if t.get("meta") == LIMITS]
    if any((t["x"], t["y"], t["line"]["color"]) == (x, y, look.colour(source.model)) for t in drawn):
        return
    statistics = sorted({str((figure.last.limit or {}).get("statistic")) for _, figure in there})
    plot.traces.append(
        {
            "type": "scatter",
            "mode": "lines+markers" if len(x) > 1 else "markers",
            "name": text(f"limit of {name} ({', '.join(statistics)})"),
            "meta": LIMITS,
            "x": x,
            "y": y,
            "line": {"color": look.colour(source.model), "dash": "2px,4px", "width": 1.5},
            "marker": {"symbol": "line-ew-open", "size": 10, "color": look.colour(source.model)},
            "opacity": 0.75,
        }
    )
    cited = {str((figure.last.limit or {}).get("source", "")) for _, figure in there}
    plot.sources += sorted(f"Limit of {source.model}: {one}" for one in cited - {""})


def name_marks(plot: Plot, marks: Iterable[Mark]) -> None:
    """Add the sources of published marks to the sources that are listed below the plot."""
    plot.sources += [f"{mark.by[:1].upper()}{mark.by[1:]}: {mark.text} — {mark.source}" for mark in marks]


def mark_lines(plot: Plot, marks: Iterable[Mark]) -> None:
    """Draw published marks as lines; a mark without `y` is a vertical line over the whole height."""
    marks = tuple(marks)
    name_marks(plot, marks)
    for mark in marks:
        upright = not mark.y
        plot.traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": text(f"{mark.by}: {mark.text}"),
                "meta": MARK,
                "visible": "legendonly" if mark.hidden else True,
                "x": [rounded(x) for x in mark.x],
                "y": [0, 1] if upright else [rounded(y) for y in mark.y],
                "line": {"color": VM_COLOUR, "dash": "8px,3px,2px,3px", "width": 1},
                "marker": {"symbol": "x-thin-open", "size": 7, "color": VM_COLOUR},
            }
            | ({"yaxis": "y2"} if upright else {})
        )
    if any(trace.get("yaxis") == "y2" for trace in plot.traces):
        hidden = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
        plot.layout["yaxis2"] = hidden


@dataclass(frozen=True)
class Series:
    """The labels that distinguish the curves of a chart, and their combinations in the chart's order."""

    labels: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]

    def key(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Return the one of `keys` (a combination of label values) that these labels belong to."""
        return tuple(labels.get(label, "") for label in self.labels)


def series_of(chart: Chart, sources: Sequence[Source], *metrics: str) -> Series:
    """Return what distinguishes a chart's curves: labels that it names, or all but that of the x axis."""
    there = [labels for source in sources for metric in metrics for labels, _ in source.figures(metric)]
    names = chart.series
    if names is None:
        names = tuple(sorted({name for labels in there for name in labels if name != chart.x}))
    found = {tuple(labels.get(name, "") for name in names) for labels in there}
    order = {value: place for place, value in enumerate(chart.order)}

    def rank(key: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
        return tuple((order.get(value, len(order)), value) for value in key)

    return Series(names, tuple(sorted(found, key=rank)))


def hovered(value: str, unit: str) -> str:
    """Return plotly's hover format for a value of this unit; `value` is plotly's name for it, such as "y"."""
    return f"%{{{value}:.3s}}{unit}" if unit in ("s", "B") else f"%{{{value}:.4~g}} {text(unit)}"


def axis(title: str, unit: str = "", **more: Any) -> dict[str, Any]:
    """Return plotly's settings of an axis; times and byte counts get SI prefixes."""
    prefixed = {"tickformat": "~s", "ticksuffix": unit} if unit in ("s", "B") else {}
    return {"title": {"text": text(title), "standoff": 8}, "automargin": True, **prefixed, **more}


def distinct(texts: Iterable[str]) -> list[str]:
    """Return the texts in order, without duplicates."""
    return list(dict.fromkeys(texts))


def completed(plot: Plot, sources: Sequence[Source], metric: str, expected: Iterable[str]) -> Plot:
    """Add a note on the expected board models without a measurement, and remove duplicate sources."""
    unaltered = [source for source in sources if not source.subject.altered]
    there = {source.model for source in unaltered if any(True for _ in source.figures(metric))}
    missing = [model for model in expected if model not in there]
    if missing:
        plot.notes.append(f"{MISSING}: {', '.join(missing)}.")
    plot.sources = distinct(plot.sources)
    return plot
