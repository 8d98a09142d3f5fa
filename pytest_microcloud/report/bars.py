"""Start-up times as stacked bars (the paper's Figure 6)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_microcloud.report.plot import (
    HEAD,
    HOVER,
    MARK,
    VM_COLOUR,
    Look,
    Plot,
    axis,
    bound_of,
    cells,
    closed,
    distinct,
    papers_marks,
    rounded,
    spread,
    text,
)
from pytest_microcloud.report.sources import Source
from pytest_microcloud.verdict.claims import PAPERS_BOARDS, VM
from pytest_microcloud.verdict.results import Figure

READY, CONTAINER = "#0072B2", "#E69F00"


def startup(sources: Sequence[Source], look: Look) -> Plot:
    """Return start-up times as stacked bars (Figure 6): until a login, and until a container answers."""
    plot = Plot(
        "startup",
        "Start-up time",
        "Until a user can log in, and on top of it until a pre-loaded httpd container answers "
        "(the paper's Figure 6)",
        ("board", "until", *HEAD),
    )
    there: list[Bar] = []
    for source in sources:
        found = {metric: next((f for _, f in source.figures(metric)), None) for metric in _UNTIL}
        for metric, until in _UNTIL.items():
            if figure := found[metric]:
                plot.rows.append((source.name, until, *cells(figure)))
        if ready := found["startup.ready_time"]:
            there.append((source, ready, found["startup.container_time"]))
    bars = [_two_lines(source) for source, _, _ in there]
    marks = papers_marks(plot)
    bars += [text(bar) + "<br>the paper" for bar in distinct(mark["bar"] for mark in marks)]
    plot.traces += [*_bars(there), *_bar_limits(there), *_bar_marks(marks, bars)]
    for source, *figures in there:
        for figure in filter(None, figures):
            if figure.last.limit:
                plot.sources.append(f"Limit of {source.model}: {figure.last.limit.get('source')}")
    plot.layout |= {
        "barmode": "stack",
        "xaxis": axis("time since the start", "s", rangemode="tozero"),
        "yaxis": {
            "tickmode": "array",
            "tickvals": list(range(len(bars))),
            "ticktext": bars,
            "range": [len(bars) - 0.4, -0.6],
            "automargin": True,
        },
    }
    plot.height = 120 + 46 * len(bars)
    return closed(plot, sources, "startup.ready_time", (*PAPERS_BOARDS, VM))


_UNTIL = {
    "startup.ready_time": "login",
    "startup.container_time": "container",
    "startup.power_on_ready_time": "login, from power-on",
    "startup.power_on_container_time": "container, from power-on",
}


def _two_lines(source: Source) -> str:
    first, comma, rest = source.name.rpartition(", ")
    return f"{text(first)}<br>{text(rest)}" if comma else text(rest)


Bar = tuple[Source, Figure, Figure | None]


def _bars(there: Sequence[Bar]) -> Iterator[dict[str, Any]]:
    """Yield the stacked bars of real boards and of emulated ones, which have an outline."""
    for emulated in (False, True):
        own = [(place, row) for place, row in enumerate(there) if row[0].emulated == emulated]
        full = [(place, source, ready, container) for place, (source, ready, container) in own if container]
        if own:
            bars = [(place, source, ready, ready.median) for place, (source, ready, _) in own]
            yield _bar("until a login", READY, bars, emulated=emulated)
        if full:
            tops = [(n, s, last, max(0.0, last.median - first.median)) for n, s, first, last in full]
            top = _bar("container on top", CONTAINER, tops, emulated=emulated)
            top["marker"]["pattern"] = {"shape": "/", "size": 6, "solidity": 0.25, "fillmode": "overlay"}
            yield top


def _bar(
    name: str, colour: str, bars: Sequence[tuple[int, Source, Figure, float]], *, emulated: bool
) -> dict[str, Any]:
    name += ", emulated" if emulated else ""
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "y": [place for place, *_ in bars],
        "x": [rounded(length) for *_, length in bars],
        "width": 0.62,
        "text": [text(source.name) for _, source, *_ in bars],
        "textposition": "none",
        "customdata": [rounded(figure.median) for _, _, figure, _ in bars],
        "hovertemplate": f"%{{text}}<br>{name}: %{{customdata:.3s}}s after the start<extra></extra>",
        "marker": {
            "color": colour,
            "opacity": 0.55 if emulated else 1,
            "line": {"color": colour, "width": 1.5},
        },
    } | spread([figure for _, _, figure, _ in bars], "error_x")


def _bar_limits(there: Sequence[Bar]) -> Iterator[dict[str, Any]]:
    logins = [(place, ready) for place, (_, ready, _) in enumerate(there)]
    containers = [(place, container) for place, (_, _, container) in enumerate(there) if container]
    for what, colour, figures in (("login", READY, logins), ("container", CONTAINER, containers)):
        bounds = [(place, bound) for place, f in figures if (bound := bound_of(f.last)) is not None]
        if bounds:
            yield {
                "type": "scatter",
                "mode": "markers",
                "name": f"limit ({what})",
                "meta": MARK,
                "x": [rounded(bound) for _, bound in bounds],
                "y": [place for place, _ in bounds],
                "marker": {
                    "symbol": "line-ns-open",
                    "size": 30,
                    "color": colour,
                    "line": {"width": 3, "color": colour},
                },
                "hovertemplate": HOVER.format(x="%{x:.3s}s", y="limit"),
            }


def _bar_marks(marks: Sequence[Mapping[str, Any]], bars: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": text(f"the paper: {mark['text']}"),
            "meta": MARK,
            "x": mark["x"],
            "y": [bars.index(text(mark["bar"]) + "<br>the paper")],
            "marker": {
                "symbol": symbol,
                "size": 12,
                "color": VM_COLOUR,
                "line": {"width": 2, "color": VM_COLOUR},
            },
        }
        for mark, symbol in zip(marks, itertools.cycle(("square-open", "diamond-open", "x-thin-open")))
    ]
