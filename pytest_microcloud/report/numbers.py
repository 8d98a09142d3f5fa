"""The table of all numbers of a run. A row has one metric of a board at one set of labels, over all boots."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_microcloud.measurement import Measurement, quantile
from pytest_microcloud.report import parts
from pytest_microcloud.report.plot import NONE, Cell, Number, limit_in_words
from pytest_microcloud.runs import worst
from pytest_microcloud.verdict.results import Figure, point

if TYPE_CHECKING:
    from pytest_microcloud.redaction import Redactor
    from pytest_microcloud.runs import Run

HEAD = ("board", "metric", "labels", "median", "p95", "p99", "samples")
OVER_BOOTS = ("1st quartile", "3rd quartile", "boots")
JUDGED = ("limit", "verdict")
MOST_REMARKS = 3
"""Maximum number of remarks on a metric. Each boot may have a different one; the run file has them all."""

Boots = dict[int, list[Measurement]]


def table(run: Run, redactor: Redactor) -> str:
    """Return a folded HTML table; "" if nothing was measured. The quartiles are of the boots' medians."""
    rows = list(_over_boots(run))
    if not rows:
        return ""
    several = any(len(boots) > 1 for _, _, boots in rows)
    columns = (*HEAD, *(OVER_BOOTS if several else ()), *JUDGED)
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    body = "".join(_row(board, stage, boots, redactor, several=several) for board, stage, boots in rows)
    scrolling = parts.scrolling(
        f'<table class="mc-numbers"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>',
        "Every number, with its limit",
    )
    return f'<details class="mc-all"><summary>Every number, with its limit</summary>{scrolling}</details>'


def _over_boots(run: Run) -> Iterator[tuple[str, str, Boots]]:
    """Yield (board, stage of the gate, measurements by boot) for each metric at each set of labels."""
    found: dict[tuple[object, ...], tuple[str, str, Boots]] = {}
    for entry in run.entries:
        for m in entry.measurements:
            if m.samples:
                key = (entry.board, entry.stage, m.metric, point(m.labels))
                boots = found.setdefault(key, (entry.board, entry.stage, {}))[2]
                boots.setdefault(entry.boot, []).append(m)
    yield from found.values()


def _row(board: str, stage: str, boots: Boots, redactor: Redactor, *, several: bool) -> str:
    everything = [m for ms in boots.values() for m in ms]
    trusted = {boot: there for boot, ms in boots.items() if (there := _trusted(ms))}
    shown = trusted or boots
    last = shown[max(shown)][-1]
    labels = ", ".join((*(f"{key}={value}" for key, value in last.labels.items()), *filter(None, [stage])))
    verdicts = {m.verdict for m in everything}
    verdict = worst(verdicts) if len(verdicts) > 1 else last.verdict
    return (
        f'<tr><th scope="row">{parts.safe(board, redactor)}</th><td>{parts.safe(last.metric, redactor)}</td>'
        f"<td>{parts.safe(labels, redactor)}</td>"
        + "".join(
            f'<td class="mc-number">{parts.safe(number, redactor)}</td>'
            for number in _statistics(shown, last.unit, several=several)
        )
        + f'<td class="mc-free">{parts.safe(_bound(last), redactor)}</td>'
        f'<td class="{parts.verdict_class(verdict, judged=any(m.judged for m in everything))}">'
        f"{parts.safe(verdict, redactor)}{_remarks(boots, verdict, redactor)}</td></tr>"
    )


def _trusted(measurements: list[Measurement]) -> list[Measurement]:
    return [m for m in measurements if m.verdict != "invalid"]


def _statistics(boots: Boots, unit: str, *, several: bool) -> list[Cell]:
    """Return the cells from "median" to "samples" (see `HEAD`) and, if `several`, those of `OVER_BOOTS`."""
    everything = [m for ms in boots.values() for m in ms]
    values = [statistics.median(m.median for m in ms) for ms in boots.values()]
    figure = Figure("", "", everything[-1], values, everything)
    samples = figure.samples
    cells: list[Cell] = [
        Number(figure.median, unit),
        Number(quantile(samples, 0.95), unit),
        Number(quantile(samples, 0.99), unit),
        Number(len(samples), "1"),
    ]
    if several:
        cells += [Number(quartile, unit) for quartile in figure.quartiles or ()] or [NONE, NONE]
        cells.append(Number(len(figure.boots), "1"))
    return cells


def _remarks(boots: Boots, verdict: str, redactor: Redactor) -> str:
    """Return HTML with the number of boots that have the verdict, unless all have it, and their remarks."""
    same = {boot: there for boot, ms in boots.items() if (there := [m for m in ms if m.verdict == verdict])}
    lines = [f"in {len(same)} of {len(boots)} boots"] if len(same) < len(boots) else []
    remarks = list(dict.fromkeys(m.remark for ms in same.values() for m in ms if m.remark))
    lines += parts.first_few(remarks, MOST_REMARKS)
    return "".join(f"<small>{parts.safe(text, redactor)}</small>" for text in lines)


def _bound(m: Measurement) -> str:
    return f"{limit_in_words(m)} — {m.limit.get('source', '')}" if m.limit else ""
