"""`reports/generations.html`: board models and OS releases compared over all stored runs.

The page is generated from run files alone, so it can be regenerated at any time. It is one self-contained
file that works offline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from pytest_microcloud import runs
from pytest_microcloud.catalog import Catalog
from pytest_microcloud.redaction import Redactor
from pytest_microcloud.report import figures, parts, sources, trend, whole_page
from pytest_microcloud.report.plot import Plot
from pytest_microcloud.report.run_directory import Stored
from pytest_microcloud.verdict import claims
from pytest_microcloud.verdict.claims import FAILS, HOLDS, PAPERS_BOARDS, REGIONS, VM, Claim
from pytest_microcloud.verdict.matrix import Cell, matrix
from pytest_microcloud.verdict.results import Results, Subject

MOST_CURVES = (32, 16, 8, 4)
"""Maximum number of curves (a model under an OS release) on a plot. The first number that makes the page
small enough is used."""
BOARDS_A_CURVE = 8
"""Maximum number of boards that the page lists per curve, on average; it lists at least one per curve."""
CLAIM_CLASS = {HOLDS: "mc-feasible", FAILS: "mc-infeasible"}


def write(stored: Stored, file: Path, catalog: Catalog) -> None:
    """Write the page. Raises OSError if it cannot be written."""
    runs.write_text(file, page(stored, catalog))


def page(stored: Stored, catalog: Catalog) -> str:
    """Return the page. If it exceeds `parts.LARGEST_BYTES`, older OS releases are left out first."""
    redactor = Redactor(identifiers=stored.private)
    catalog = stored.described.extend(catalog)
    html = ""
    for most in MOST_CURVES:
        html = _page(stored, catalog, redactor, most)
        if len(html.encode()) <= parts.LARGEST_BYTES:
            break
    return html


def _page(stored: Stored, catalog: Catalog, redactor: Redactor, most: int) -> str:
    results = stored.results
    curves = sources.of_results(results, catalog, most)
    plots = figures.all_of(curves, catalog)
    development = trend.plot(results, catalog, curves)
    shown = [curve.subject for curve in curves]
    boards = _listed(results, shown, most * BOARDS_A_CURVE)
    left_out = len(results.subjects) - len(shown)
    about_left_out = (
        f'<p class="mc-note">{parts.counted(left_out, "older OS release")} of these models '
        f"appear{'s' if left_out == 1 else ''} in the trend only.</p>"
        if left_out
        else ""
    ) + _boards_left_out(stored, boards, most * BOARDS_A_CURVE)
    sections = (
        ("verdicts", "Verdicts", _verdicts(stored, boards, catalog, redactor, most) + about_left_out),
        *_experiments(plots, catalog, redactor),
        ("releases", "OS releases", parts.figure(development, redactor)),
        ("claims", "The paper’s claims", _claims(claims.check_all(results), redactor)),
        ("boards", "Boards", _boards(results, boards, catalog, redactor)),
        *whole_page.skipped_files(stored.skipped, redactor),
    )
    return whole_page.html(
        title="Micro-cloud generations",
        heading="What can each board generation host?",
        lead=_lead(stored),
        sections=sections,
        plots=(*plots, development),
        redactor=redactor,
    )


def _listed(results: Results, shown: Sequence[Subject], most: int) -> dict[Subject, list[str]]:
    """Return the boards that the page lists, by subject: about `most` in all, spread evenly over subjects."""
    ranked = sorted(
        (rank, place, name)
        for place, subject in enumerate(shown)
        for rank, name in enumerate(results.newest(subject).boards)
    )
    listed: dict[Subject, list[str]] = {subject: [] for subject in shown}
    for _, place, name in ranked[: max(most, len(shown))]:
        listed[shown[place]].append(name)
    return listed


def _boards_left_out(stored: Stored, listed: Mapping[Subject, Sequence[str]], most: int) -> str:
    results = stored.results
    more = sum(len(results.newest(subject).boards) - len(names) for subject, names in listed.items())
    more += max(len(stored.absent) - most, 0)
    if not more:
        return ""
    return (
        f'<p class="mc-note">{parts.counted(more, "more board")} of these models and OS releases '
        "are left out to limit the size of the page; the run files have all of them.</p>"
    )


def _experiments(
    plots: Sequence[Plot], catalog: Catalog, redactor: Redactor
) -> Iterator[tuple[str, str, str]]:
    """Yield id, title and HTML of a section for each experiment that has plots."""
    drawn = {plot.experiment for plot in plots}
    for number, (name, experiment) in enumerate(catalog.experiments.items()):
        if name in drawn:
            html = "".join(parts.figure(plot, redactor) for plot in plots if plot.experiment == name)
            title = redactor.for_page(experiment.title or name.replace("_", " ").capitalize())
            yield f"experiment-{number}", title, html


def _lead(stored: Stored) -> str:
    if not stored.count:
        return whole_page.NO_RUN
    subjects = stored.results.subjects
    models = len({subject.model for subject in subjects})
    real = sum(not subject.emulated for subject in subjects)
    kinds = {0: "all on emulated boards", len(subjects): "all on real boards"}.get(
        real, "on real and on emulated boards"
    )
    return (
        f"{parts.counted(stored.count, 'stored run')} of {parts.counted(models, 'board model')}, "
        f"{stored.days}, {kinds}. Each figure comes from the newest run with a valid measurement of it."
    )


def _verdicts(
    stored: Stored, listed: Mapping[Subject, Sequence[str]], catalog: Catalog, redactor: Redactor, most: int
) -> str:
    results = stored.results
    rows: list[tuple[str, Mapping[str, Cell]]] = []
    names = dict.fromkeys(catalog.experiments)
    for subject, boards in listed.items():
        newest = results.newest(subject)
        table = matrix(newest.entries, catalog.experiments)
        model, release = _model(subject.model, catalog), sources.short(subject.os_release)
        parts_of_it = (model, *subject.altered, subject.place, release, newest.taken[:10])
        about = " · ".join(filter(None, parts_of_it))
        for board in boards:
            cells = {
                name: replace(cell, since=newest.earlier.get((board, name), "")[:10])
                for name, cell in table.get(board, {}).items()
            }
            names.update(dict.fromkeys(cells))
            rows.append((parts.heading(board, about, redactor, emulated=subject.emulated), cells))
    for board, newest in sorted(stored.absent.items())[: most * BOARDS_A_CURVE]:
        about = f"did not come up · {newest.taken[:10]}"
        cells = matrix(newest.entries, catalog.experiments)[board]
        rows.append((parts.heading(board, about, redactor, emulated=False), cells))
    measured = {subject.model for subject in results.of_models}
    for model in (*PAPERS_BOARDS, VM, *REGIONS):
        if model not in measured:
            about = f"{_model(model, catalog)} · in the paper, but in no stored run"
            rows.append((parts.heading(model, about, redactor, emulated=False), {}))
    caption = (
        "Can each board host a micro-cloud? Verdicts are from the newest run of each board model and OS "
        "release. A verdict with a date is from an earlier run: the newest run did not test the experiment."
    )
    return parts.verdicts(caption, rows, list(names), catalog.experiments, redactor)


def _model(model: str, catalog: Catalog) -> str:
    return catalog.models[model].name if model in catalog.models else model


def _claims(checked: Sequence[Claim], redactor: Redactor) -> str:
    return f'<ul class="mc-claims">{"".join(_claim(claim, redactor) for claim in checked)}</ul>'


def _claim(claim: Claim, redactor: Redactor) -> str:
    numbers = "".join(f"<li>{parts.safe(number, redactor)}</li>" for number in claim.numbers)
    if len(claim.numbers) > 4:
        numbers = f"<details><summary>{len(claim.numbers)} comparisons</summary><ul>{numbers}</ul></details>"
    elif numbers:
        numbers = f"<ul>{numbers}</ul>"
    verdict = f"{claim.verdict} so far" if claim.so_far else claim.verdict
    missing = claim.missing[:6]
    more = f", and {len(claim.missing) - 6} more" if len(claim.missing) > 6 else ""
    not_measured = f"Not measured: {'; '.join(missing)}{more}." if missing else ""
    small = "".join(
        f'<p class="mc-small">{parts.safe(text, redactor)}</p>'
        for text in (f"The paper, section {claim.section}: {claim.paper}", not_measured)
        if text
    )
    if claim.emulated:
        models = parts.safe(", ".join(claim.emulated), redactor)
        small += f'<p class="mc-small">{parts.EMULATED} {models}</p>'
    return (
        f'<li><b class="{CLAIM_CLASS.get(claim.verdict, "mc-not-measured")}">{escape(verdict)}</b>'
        f"<div><p>{parts.safe(claim.says, redactor)}</p>{numbers}{small}</div></li>"
    )


def _boards(
    results: Results, listed: Mapping[Subject, Sequence[str]], catalog: Catalog, redactor: Redactor
) -> str:
    boards = "".join(
        parts.board(name, results.newest(subject).boards[name], _model(subject.model, catalog), redactor)
        for subject, names in listed.items()
        for name in names
    )
    return f'<div class="mc-boards">{boards}</div>' if boards else "<p>No board has been measured yet.</p>"
