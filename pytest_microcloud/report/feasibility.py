"""What is ours on pytest-html's page (`reports/feasibility.html`): verdicts, plots, boards, numbers."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from pytest_microcloud.report import figures, parts, sources
from pytest_microcloud.report.plot import MISSING, Number, limit_in_words
from pytest_microcloud.verdict.matrix import matrix
from pytest_microcloud.verdict.results import altered

if TYPE_CHECKING:
    from pytest_microcloud.catalog import Catalog
    from pytest_microcloud.measurement import Measurement
    from pytest_microcloud.report.privacy import Privacy
    from pytest_microcloud.runs import Run

VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'
LONGEST_LOG = 200_000
"""Characters of a board's log on the page, from its end; the whole of it stands beside the run file."""


def summary(
    run: Run, catalog: Catalog, privacy: Privacy, logs: Mapping[str, str] | None = None, gate: str = ""
) -> list[str]:
    """Return the page's own parts as HTML; texts that are not ours are escaped, and free ones masked.

    `logs` are those of boards that had trouble; `gate` is what the gate says of this run, as HTML.
    """
    logs = logs or {}
    table = matrix(run.entries, catalog.experiments)
    names = list(next(iter(table.values()), {}))
    rows = []
    for name, cells in table.items():
        facts = run.boards.get(name)
        about = "never came up"
        if facts is not None:
            about = " · ".join((_model(facts, catalog), *altered(facts)))
        rows.append(
            (parts.heading(name, about, privacy, emulated=bool(facts and facts.get("emulated"))), cells)
        )
    caption = f"Can it host a micro-cloud? Effort: {run.effort}."
    drawn = [plot for plot in figures.all_of(sources.of_run(run), catalog) if plot.traces and plot.rows]
    for plot in drawn:  # what is missing of the paper's boards is for the page that compares boards
        plot.notes = [note for note in plot.notes if not note.startswith(MISSING)]
    boards = "".join(
        parts.board(name, facts, _model(facts, catalog), privacy, _log(name, logs.get(name, ""), privacy))
        for name, facts in run.boards.items()
    )
    plots = "".join(parts.figure(plot, privacy) for plot in drawn)
    return [
        VIEWPORT,
        parts.style(),
        f"<style>{parts.resource('feasibility.css')}</style>",
        parts.verdicts(caption, rows, names, catalog.experiments, privacy),
        gate,
        f'<div class="mc-plots">{plots}</div>' if plots else "",
        f'<div class="mc-boards">{boards}</div>' if boards else "",
        _numbers(run, privacy),
        parts.script(drawn, privacy) if drawn else "",
    ]


def refused(reason: str, privacy: Privacy) -> str:
    """Return that the gate could not compare this run, and why, as HTML."""
    return (
        f'<section class="mc-gate"><h3>Gate: not compared</h3><p>{parts.told(reason, privacy)}</p></section>'
    )


def _model(facts: Mapping[str, Any], catalog: Catalog) -> str:
    model = str(facts.get("model", "?"))
    return catalog.models[model].name if model in catalog.models else model


def _log(name: str, log: str, privacy: Privacy) -> str:
    if not log:
        return ""
    cut = (
        f"… (the whole log stands beside the run file)\n{log[-LONGEST_LOG:]}"
        if len(log) > LONGEST_LOG
        else log
    )
    title = escape(f"log of {name}")
    return (
        f'<details class="mc-log" id="log-{escape(name)}"><summary>{title}</summary>'
        f'<pre tabindex="0">{escape(privacy.on_page(cut))}</pre></details>'
    )


HEAD = ("board", "metric", "labels", "median", "p95", "p99", "samples", "limit", "verdict")


def _numbers(run: Run, privacy: Privacy) -> str:
    boots = {entry.boot for entry in run.entries}
    rows = [
        _row(entry.board, m, f"boot {entry.boot}" if len(boots) > 1 else "", privacy)
        for entry in run.entries
        for m in entry.measurements
        if m.samples
    ]
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{name}</th>' for name in HEAD)
    table = parts.scrolling(
        f'<table class="mc-numbers"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>',
        "Every number, with its limit",
    )
    return f'<details class="mc-all"><summary>Every number, with its limit</summary>{table}</details>'


def _row(board: str, m: Measurement, boot: str, privacy: Privacy) -> str:
    labels = ", ".join((*(f"{key}={value}" for key, value in m.labels.items()), *filter(None, [boot])))
    numbers = [
        Number(m.median, m.unit),
        Number(m.statistic("p95"), m.unit),
        Number(m.statistic("p99"), m.unit),
        Number(len(m.samples), "1"),
    ]
    note = f"<small>{parts.told(m.remark, privacy)}</small>" if m.remark else ""
    return (
        f'<tr><th scope="row">{parts.told(board, privacy)}</th><td>{parts.told(m.metric, privacy)}</td>'
        f"<td>{parts.told(labels, privacy)}</td>"
        + "".join(f'<td class="mc-number">{parts.told(figure, privacy)}</td>' for figure in numbers)
        + f'<td class="mc-free">{parts.told(_bound(m), privacy)}</td>'
        f'<td class="{parts.verdict_class(m.verdict, judged=m.judged)}">'
        f"{parts.told(m.verdict, privacy)}{note}</td></tr>"
    )


def _bound(m: Measurement) -> str:
    return f"{limit_in_words(m)} — {m.limit.get('source', '')}" if m.limit else ""
