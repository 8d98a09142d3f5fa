"""Draws bar charts: a bar for each board, stacked from several metrics (the paper's Figure 6)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_microcloud.catalog import Chart, Mark
from pytest_microcloud.report.plot import (
    COLOURS,
    HEAD,
    HOVER,
    MARK,
    VM_COLOUR,
    Look,
    Plot,
    axis,
    bound_of,
    cells,
    distinct,
    hovered,
    name_marks,
    rounded,
    series_of,
    spread,
    text,
)
from pytest_microcloud.report.sources import Source
from pytest_microcloud.verdict.results import Figure

STACKED = (COLOURS[0], COLOURS[5], *COLOURS[1:5])
SYMBOLS = ("square-open", "diamond-open", "x-thin-open")


@dataclass(frozen=True)
class _Bar:
    """One bar of a chart; `figures` has a `Figure` per metric, up to the first metric not measured."""

    source: Source
    key: tuple[str, ...]
    figures: tuple[Figure, ...]

    @property
    def label(self) -> str:
        """The text beside the bar: the source's name, in two lines if it has several parts, and `key`."""
        first, comma, rest = self.source.name.rpartition(", ")
        name = f"{text(first)}<br>{text(rest)}" if comma else text(rest)
        return f"{name} · {text(' '.join(self.key))}" if any(self.key) else name


def bars(plot: Plot, chart: Chart, sources: Sequence[Source], look: Look) -> Plot:
    """Draw a stacked bar for each board: the first metric's median, then what each further metric adds."""
    series = series_of(chart, sources, *chart.metrics, *chart.tabled)
    plot.head = ("board", *series.labels, "until" if len(chart.metrics) > 1 else "metric", *HEAD)
    drawn: list[_Bar] = []
    for source in sources:
        for key in series.keys:
            found = {
                metric: figure
                for metric in (*chart.metrics, *chart.tabled)
                for labels, figure in source.figures(metric)
                if series.key(labels) == key
            }
            for metric, name in {**chart.metrics, **chart.tabled}.items():
                if figure := found.get(metric):
                    plot.rows.append((source.name, *key, name, *cells(figure)))
            stacked = tuple(itertools.takewhile(bool, (found.get(metric) for metric in chart.metrics)))
            if stacked:
                drawn.append(_Bar(source, key, tuple(filter(None, stacked))))
    names = list(chart.metrics.values())
    labels = [bar.label for bar in drawn]
    name_marks(plot, chart.marks)
    labels += distinct(_mark_label(mark) for mark in chart.marks)
    plot.traces += [
        *_bars(drawn, names, plot.unit),
        *_limits(drawn, names, plot.unit),
        *_marks(chart.marks, labels),
    ]
    for bar in drawn:
        for figure in bar.figures:
            if figure.last.limit:
                plot.sources.append(f"Limit of {bar.source.model}: {figure.last.limit.get('source')}")
    plot.layout |= {
        "barmode": "stack",
        "xaxis": axis(chart.x_title or names[0], plot.unit, rangemode="tozero"),
        "yaxis": {
            "tickmode": "array",
            "tickvals": list(range(len(labels))),
            "ticktext": labels,
            "range": [len(labels) - 0.4, -0.6],
            "automargin": True,
        },
    }
    plot.height = 120 + 46 * len(labels)
    return plot


def _bars(drawn: Sequence[_Bar], names: Sequence[str], unit: str) -> Iterator[dict[str, Any]]:
    """Yield plotly's traces of the bars, first for real boards, then for emulated boards."""
    for emulated in (False, True):
        for level, name in enumerate(names):
            level_bars = [
                (place, bar)
                for place, bar in enumerate(drawn)
                if bar.source.emulated == emulated and len(bar.figures) > level
            ]
            if level_bars:
                yield _level(f"{name} on top" if level else name, level, level_bars, unit, emulated=emulated)


def _level(
    name: str, level: int, bars: Sequence[tuple[int, _Bar]], unit: str, *, emulated: bool
) -> dict[str, Any]:
    name = text(f"{name}, emulated" if emulated else name)
    colour = STACKED[level % len(STACKED)]
    figures = [bar.figures[level] for _, bar in bars]
    below = [bar.figures[level - 1].median if level else 0.0 for _, bar in bars]
    lengths = [figure.median - under for figure, under in zip(figures, below, strict=True)]
    pattern = {"shape": "/", "size": 6, "solidity": 0.25, "fillmode": "overlay"}
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "y": [place for place, _ in bars],
        "x": [rounded(max(0.0, length) if level else length) for length in lengths],
        "width": 0.62,
        "text": [text(bar.source.name) for _, bar in bars],
        "textposition": "none",
        "customdata": [rounded(figure.median) for figure in figures],
        "hovertemplate": f"%{{text}}<br>{name}: {hovered('customdata', unit)}<extra></extra>",
        "marker": {
            "color": colour,
            "opacity": 0.55 if emulated else 1,
            "line": {"color": colour, "width": 1.5},
        }
        | ({"pattern": pattern} if level else {}),
    } | spread(figures, "error_x")


def _limits(drawn: Sequence[_Bar], names: Sequence[str], unit: str) -> Iterator[dict[str, Any]]:
    for level, name in enumerate(names):
        bounds = [
            (place, bound)
            for place, bar in enumerate(drawn)
            if len(bar.figures) > level and (bound := bound_of(bar.figures[level].last)) is not None
        ]
        colour = STACKED[level % len(STACKED)]
        if bounds:
            yield {
                "type": "scatter",
                "mode": "markers",
                "name": text(f"limit ({name})"),
                "meta": MARK,
                "x": [rounded(bound) for _, bound in bounds],
                "y": [place for place, _ in bounds],
                "marker": {
                    "symbol": "line-ns-open",
                    "size": 30,
                    "color": colour,
                    "line": {"width": 3, "color": colour},
                },
                "hovertemplate": HOVER.format(x=hovered("x", unit), y="limit"),
            }


def _mark_label(mark: Mark) -> str:
    return f"{text(mark.bar)}<br>{text(mark.by)}"


def _marks(marks: Sequence[Mark], labels: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": text(f"{mark.by}: {mark.text}"),
            "meta": MARK,
            "x": [rounded(x) for x in mark.x],
            "y": [labels.index(_mark_label(mark))] * len(mark.x),
            "marker": {
                "symbol": symbol,
                "size": 12,
                "color": VM_COLOUR,
                "line": {"width": 2, "color": VM_COLOUR},
            },
        }
        for mark, symbol in zip(marks, itertools.cycle(SYMBOLS))
    ]
