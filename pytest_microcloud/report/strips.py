"""Draws strip plots of a fleet's values (a dot is a board), and curves of boards over their runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

from pytest_microcloud.measurement import shown
from pytest_microcloud.report.deviations import change
from pytest_microcloud.report.plot import (
    COLOURS,
    DASHES,
    NONE,
    SYMBOLS,
    VM_COLOUR,
    Cell,
    Number,
    Plot,
    Trace,
    axis,
    rounded,
    text,
)
from pytest_microcloud.verdict.drift import Drift
from pytest_microcloud.verdict.outliers import Compared, Fleet, Group, Rules

HEAD = ("board", "metric", "labels", "value", "fleet’s median", "deviation", "z-score", "measured")
DRIFT_HEAD = ("board", "metrics", "metric", "runs", "first", "last", "change", "noise", "drift")
MOST_NAMED = len(COLOURS)
"""Maximum number of boards with a separate colour and marker in a fleet: those that deviate most."""
MOST_LINES = 6
"""Maximum number of curves in the plot over time; each curve is one metric of one board."""
WIDTH = 0.5
"""Width of a strip, in multiples of the distance between two strips."""
MANY = 10.0
"""Largest ratio that a linear axis shows well."""
REST = "boards that do not deviate"
OTHERS = "other boards that deviate"


def strip(id_: str, fleet: Fleet, group: Group, rules: Rules, rows: int, dots: int) -> Plot:
    """Return a plot of a fleet's values in a group of metrics, with at most `rows` rows and `dots` dots.

    The values that deviate least are left out.
    """
    values = [value for value in fleet.values if rules.group_of(value.metric) == group]
    plot = Plot(
        id_,
        group.title if group.title == group.id else group.title.capitalize(),
        "Each dot is a board: its median over boots, relative to the median of its fleet (= 100 %)",
        HEAD,
        height=270,
        empty="Nothing can be drawn relative to a median of 0.",
    )
    drawable = [value for value in values if all(_drawable(r) for r in value.ratios.values())]
    chosen = _most_deviating(drawable, max(1, dots // len(fleet.boards)))
    if len(chosen) < len(drawable):
        plot.notes.append(f"The plot has the {len(chosen)} of {len(drawable)} values that deviate most.")
    if len(drawable) < len(values):
        plot.notes.append(
            f"{_values(len(values) - len(drawable))} with a median of 0 or below, or with a board at 0, "
            "are only in the table."
        )
    if chosen:
        _draw(plot, fleet, chosen)
    found = [(abs(value.z(board)), value, board) for value in values for board in value.readings]
    found.sort(key=lambda one: -one[0])
    plot.rows = [_row(value, board) for _, value, board in found[:rows]]
    if len(found) > rows:
        plot.notes.append(f"The table has the {rows} of {len(found)} numbers that deviate most.")
    unusual = sum(z >= rules.outlier for z, _, _ in found)
    plot.notes.append(
        f"{unusual} of {_values(len(found))} {'has' if unusual == 1 else 'have'} a z-score beyond "
        f"{rules.outlier:g}."
    )
    return plot


def _values(count: int) -> str:
    return f"{count} value{'' if count == 1 else 's'}"


def _drawable(ratio: float | None) -> bool:
    return ratio is not None and ratio > 0 and math.isfinite(ratio)


def _most_deviating(values: Sequence[Compared[str]], most: int) -> list[Compared[str]]:
    """Return the `most` values that deviate most, in the order of `values`."""
    ranked = sorted(values, key=lambda v: -max(abs(v.z(board)) for board in v.readings))
    kept = {value.key for value in ranked[:most]}
    return [value for value in values if value.key in kept]


def named(fleet: Fleet) -> dict[str, str]:
    """Return the legend entries of the boards that deviate, as a dict by board.

    If more than MOST_NAMED boards deviate, those that deviate least share an entry.
    """
    boards = list(dict.fromkeys(judged.board for judged in fleet.deviating))
    return {board: board if place < MOST_NAMED else OTHERS for place, board in enumerate(boards)}


def _draw(plot: Plot, fleet: Fleet, values: Sequence[Compared[str]]) -> None:
    names = named(fleet)
    entries = [REST, *dict.fromkeys(names.values())]
    looks = {REST: (VM_COLOUR, "circle"), OTHERS: ("#000000", "x")} | {
        name: (COLOURS[place % len(COLOURS)], SYMBOLS[1:][place % (len(SYMBOLS) - 1)])
        for place, name in enumerate(dict.fromkeys(n for n in names.values() if n != OTHERS))
    }
    opened = "-open" if fleet.subject.emulated else ""
    places = {board.name: place for place, board in enumerate(fleet.boards)}
    for entry in entries:
        colour, symbol = looks[entry]
        trace: Trace = {
            "type": "scatter",
            "mode": "markers",
            "name": text(entry),
            "marker": {
                "color": colour,
                "symbol": symbol + opened,
                "size": 7 if entry == REST else 11,
                "opacity": 0.75 if entry == REST else 1,
                "line": {"color": colour, "width": 1.5 if opened else 0},
            },
            "x": [],
            "y": [],
            "text": [],
            "hovertemplate": "%{text}<br>%{y:.4g} % of the fleet’s median<extra></extra>",
        }
        for column, value in enumerate(values):
            for board, ratio in value.ratios.items():
                if names.get(board, REST) == entry and ratio is not None:
                    trace["x"].append(round(column + WIDTH * (places[board] / len(places) - 0.5), 3))
                    trace["y"].append(rounded(100 * ratio))
                    reading = value.readings[board]
                    trace["text"].append(text(f"{board}: {shown(reading.value, reading.unit)}"))
        if trace["x"]:
            plot.traces.append(trace)
    ratios = [ratio for value in values for ratio in value.ratios.values() if ratio is not None]
    wide = max(ratios) / min(ratios) > MANY
    plot.layout |= {
        "xaxis": {
            "tickmode": "array",
            "tickvals": list(range(len(values))),
            "ticktext": _ticks(values),
            "range": [-0.6, len(values) - 0.4],
            "automargin": True,
            "showgrid": False,
        },
        "yaxis": axis("of the fleet’s median", ticksuffix=" %", **({"type": "log"} if wide else {})),
        "shapes": [
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": 100,
                "y1": 100,
                "layer": "below",
                "line": {"color": VM_COLOUR, "width": 1, "dash": "dot"},
            }
        ],
    }


def _ticks(values: Sequence[Compared[str]]) -> list[str]:
    """Return each value's tick label: metric and labels, or only labels if all values are of one metric."""
    several = len({value.metric for value in values}) > 1
    ticks = []
    for value in values:
        what = value.metric.partition(".")[2].replace("_", " ") or value.metric
        at = " ".join(value.labels.values())
        ticks.append("<br>".join(text(part) for part in ((what if several or not at else ""), at) if part))
    return ticks


def _row(value: Compared[str], board: str) -> tuple[Cell, ...]:
    reading = value.readings[board]
    return (
        board,
        value.metric,
        ", ".join(f"{key}={label}" for key, label in value.labels.items()),
        Number(reading.value, reading.unit),
        Number(value.middle, reading.unit),
        change(value.ratios[board]),
        f"{value.z(board):+.1f}",
        reading.taken[:10],
    )


def over_time(drifts: Sequence[Drift], emulated: Mapping[str, bool], rules: Rules, most: int) -> Plot:
    """Return a plot of how boards changed over their runs, with a table of the `most` largest changes."""
    plot = Plot(
        "drift",
        "Each board over its latest runs",
        "Relative to the board’s median over these runs (= 100 %); the metrics that changed most",
        DRIFT_HEAD,
    )
    if not drifts:
        plot.notes.append(
            f"No board has {rules.minimum + 1} runs that can be compared with each other, as drift requires."
        )
        return plot
    ranked = sorted(drifts, key=lambda drift: -abs(drift.times) / drift.threshold)
    drawable = [drift for drift in ranked if drift.levels][:MOST_LINES]
    for drift, colour, dash, symbol in zip(
        drawable, cycle(COLOURS), cycle(DASHES), cycle(SYMBOLS), strict=False
    ):
        marker = symbol + ("-open" if emulated[drift.board] else "")
        plot.traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": text(f"{drift.board}: {drift.metric}{', drifts' if drift.drifts else ''}"),
                "x": [taken[:19] for taken in drift.taken],
                "y": [rounded(100 * level) for level in drift.levels or ()],
                "line": {"color": colour, "dash": dash, "width": 3 if drift.drifts else 1.5},
                "marker": {"color": colour, "symbol": marker, "size": 8, "line": {"color": colour}},
                "hovertemplate": "%{fullData.name}<br>%{x}: %{y:.4g} %<extra></extra>",
            }
        )
    plot.layout |= {
        "xaxis": {"type": "date", "automargin": True},
        "yaxis": axis("of the board’s median", ticksuffix=" %"),
    }
    plot.rows = [_drift_row(drift) for drift in ranked[:most]]
    drifting = sum(drift.drifts for drift in drifts)
    plot.notes.append(
        f"{drifting} of {len(drifts)} {'changes is' if drifting == 1 else 'changes are'} reported as drift: "
        "the change from the first to the last run is many times the noise of the steps between runs. "
        "Drift fails no test."
    )
    if len(ranked) > most:
        plot.notes.append(f"The table has the {most} largest changes.")
    return plot


def _drift_row(drift: Drift) -> tuple[Cell, ...]:
    return (
        drift.board,
        drift.group.title,
        drift.metric,
        Number(len(drift.taken), "1"),
        drift.taken[0][:10],
        drift.taken[-1][:10],
        change(drift.ratio),
        NONE if drift.noise is None else f"±{drift.noise:.1%}",
        ("worse" if drift.times > 0 else "better") if drift.drifts else "",
    )
