"""Adds verdicts, plots, boards and all numbers to pytest-html's page (`reports/feasibility.html`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from itertools import islice
from typing import TYPE_CHECKING

from pytest_microcloud.report import figures, numbers, parts, sources
from pytest_microcloud.report.described import Described
from pytest_microcloud.report.plot import MISSING
from pytest_microcloud.runs.controls import Control
from pytest_microcloud.verdict.matrix import matrix

if TYPE_CHECKING:
    from pytest_microcloud.catalog import Catalog
    from pytest_microcloud.redaction import Redactor
    from pytest_microcloud.runs import Run
    from pytest_microcloud.runs.fingerprint import Fingerprint

VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'
LONGEST_LOG = 200_000
"""Maximum length of a log on the page, in characters. The page has the end of the log; the complete log is
beside the run file."""
OWN_BYTES, ROW_BYTES = 100_000, 500
"""Bytes of pytest-html's script, style and environment table; bytes of a test's row without its texts."""


@dataclass(frozen=True)
class _Kept:
    """A variant of the page: which parts it has.

    `log` is the maximum length of a log in characters, and `boards` the maximum number of boards (None: all).
    """

    log: int
    plots: bool
    numbers: bool
    boards: int | None = None


KEPT = (
    _Kept(LONGEST_LOG, plots=True, numbers=True),
    _Kept(LONGEST_LOG // 10, plots=True, numbers=True),
    _Kept(0, plots=True, numbers=True),
    _Kept(0, plots=False, numbers=True),
    _Kept(0, plots=False, numbers=False),
    *(_Kept(0, plots=False, numbers=False, boards=most) for most in (512, 256, 128, 64, 32)),
)
"""Variants of the page, from complete to essential: the first variant that is small enough is used."""


def summary(
    run: Run, catalog: Catalog, redactor: Redactor, logs: Mapping[str, str] | None = None, gate: str = ""
) -> list[str]:
    """Return the parts that the plugin adds to the page, as HTML, redacted and escaped.

    `logs` is a dict from board to log, for boards with incidents; `gate` is the gate's verdict on this run
    as HTML. The page, with pytest-html's parts, stays within `parts.LARGEST_BYTES`: the least valuable parts
    are left out first.
    """
    described = Described()
    described.add(run)
    catalog = described.extend(catalog)
    drawn = [plot for plot in figures.all_of(sources.of_run(run), catalog) if plot.traces and plot.rows]
    for plot in drawn:  # only generations.html, which compares boards, lists models without a figure
        plot.notes = [note for note in plot.notes if not note.startswith(MISSING)]
    plots = "".join(parts.figure(plot, redactor) for plot in drawn)
    script = parts.script(drawn, redactor) if drawn else ""
    table = numbers.table(run, redactor)
    room = parts.LARGEST_BYTES - _bytes_of_tests(run)
    page: list[str] = []
    for kept in KEPT:
        boards = _boards(run, catalog, redactor, logs or {}, kept)
        page = [
            VIEWPORT,
            parts.style(),
            f"<style>{parts.resource('feasibility.css')}</style>",
            _verdicts(run, catalog, redactor, kept.boards),
            gate,
            _left_out(run, kept, logs=bool(logs), plots=bool(plots), table=bool(table)),
            f'<div class="mc-plots">{plots}</div>' if plots and kept.plots else "",
            boards,
            table if kept.numbers else "",
            script if kept.plots or not drawn else parts.script([], redactor),
        ]
        if sum(len(part.encode()) for part in page) <= room:
            break
    return page


def refused(reason: str, redactor: Redactor) -> str:
    """Return HTML with the reason why the gate could not compare this run."""
    return (
        f'<section class="mc-gate"><h3>Gate: not compared</h3><p>{parts.safe(reason, redactor)}</p></section>'
    )


def _left_out(run: Run, kept: _Kept, *, logs: bool, plots: bool, table: bool) -> str:
    """Return an HTML note on what the page leaves out, and where that is stored; empty if it is complete."""
    boards = {*run.boards, *(entry.board for entry in run.entries)}
    fewer = kept.boards is not None and len(boards) > kept.boards
    what = [
        *(["the boards’ logs (stored beside the run file)"] if logs and not kept.log else []),
        *(["the plots (generations.html has them by board model)"] if plots and not kept.plots else []),
        *(["the table of all numbers (the run file has them)"] if table and not kept.numbers else []),
        *([f"the boards after the first {kept.boards} (the run file has them)"] if fewer else []),
    ]
    size = f"{parts.LARGEST_BYTES / 1e6:.0f} MB"
    return (
        f'<p class="mc-note">To keep this page within {size}, it leaves out {"; ".join(what)}.</p>'
        if what
        else ""
    )


def _bytes_of_tests(run: Run) -> int:
    """Estimate the bytes of pytest-html's part. A test's row has its name 3 times and its reason twice."""
    rows = sum(
        ROW_BYTES + 3 * len(escape(entry.test)) + 2 * len(escape(entry.reason)) for entry in run.entries
    )
    return rows + OWN_BYTES


def _verdicts(run: Run, catalog: Catalog, redactor: Redactor, most: int | None) -> str:
    table = matrix(run.entries, catalog.experiments)
    names = list(next(iter(table.values()), {}))
    rows = []
    for name, cells in islice(table.items(), most):
        facts = run.boards.get(name)
        about = "never came up"
        if facts is not None:
            control = run.controls.get(name, Control())
            drifted = (f"drifted: {sentence}" for sentence in control.drift)
            about = " · ".join((_model(facts, catalog), *facts.altered, *drifted))
        emulated = bool(facts and facts.emulated)
        rows.append((parts.heading(name, about, redactor, emulated=emulated), cells))
    caption = f"Can each board host a micro-cloud? Effort: {run.effort}."
    return parts.verdicts(caption, rows, names, catalog.experiments, redactor)


def _boards(run: Run, catalog: Catalog, redactor: Redactor, logs: Mapping[str, str], kept: _Kept) -> str:
    boards = "".join(
        parts.board(
            name,
            facts,
            _model(facts, catalog),
            redactor,
            _log(name, logs.get(name, ""), kept.log, redactor),
            run.controls.get(name, Control()),
        )
        for name, facts in islice(run.boards.items(), kept.boards)
    )
    return f'<div class="mc-boards">{boards}</div>' if boards else ""


def _model(facts: Fingerprint, catalog: Catalog) -> str:
    model = facts.model
    return catalog.models[model].name if model in catalog.models else model


def _log(name: str, log: str, longest: int, redactor: Redactor) -> str:
    if not log:
        return ""
    cut = log
    if len(log) > longest:
        cut = f"… (the complete log is stored beside the run file)\n{log[len(log) - longest :]}"
    title = escape(f"log of {name}")
    return (
        f'<details class="mc-log" id="log-{escape(name)}"><summary>{title}</summary>'
        f'<pre tabindex="0">{escape(redactor.for_page(cut))}</pre></details>'
    )
