"""`reports/fleet.html`: boards that deviate from the other boards of their model, and boards that drift.

The page is generated from run files alone. It is one self-contained file that works offline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from pytest_microcloud import runs
from pytest_microcloud.redaction import Redactor
from pytest_microcloud.report import deviations, parts, strips, whole_page
from pytest_microcloud.report.plot import Plot
from pytest_microcloud.report.run_directory import Stored
from pytest_microcloud.report.sources import name_of
from pytest_microcloud.report.whole_page import Section
from pytest_microcloud.verdict import drift, outliers
from pytest_microcloud.verdict.outliers import Fleet, Group, Rules

MOST = ((200, 4000, 36), (50, 1000, 18), (10, 200, 6))
"""Maximum numbers of table rows, dots per plot, and strip plots. The first triple that makes the page small
enough is used."""
MOST_NAMES = 12
"""Maximum number of boards that a sentence lists by name."""


def fleets(stored: Stored) -> list[Fleet]:
    """Group the boards of stored runs into fleets, and judge each fleet's boards."""
    return [outliers.judge(boards) for boards in stored.histories.fleets()]


def write(stored: Stored, judged: Sequence[Fleet], file: Path) -> None:
    """Write the page. Raises OSError if it cannot be written."""
    runs.write_text(file, page(stored, judged))


def page(stored: Stored, judged: Sequence[Fleet]) -> str:
    """Return the page. To stay below `parts.LARGEST_BYTES`, it leaves out values that deviate least."""
    redactor = Redactor(identifiers=stored.private)
    html = ""
    for rows, dots, plots in MOST:
        html = _page(stored, judged, redactor, rows, dots, plots)
        if len(html.encode()) <= parts.LARGEST_BYTES:
            break
    return html


def _page(
    stored: Stored, judged: Sequence[Fleet], redactor: Redactor, rows: int, dots: int, most_plots: int
) -> str:
    rules = outliers.shipped()
    compared = [fleet for fleet in judged if fleet.judged]
    plots: list[Plot] = []
    sections: list[Section] = [
        ("deviating", "Boards that deviate", _deviating(compared, rules, redactor, rows)),
    ]
    for number, fleet in enumerate(sorted(compared, key=lambda fleet: not fleet.deviating)):
        drawn = [
            strips.strip(f"fleet-{number}-{place}", fleet, group, rules, rows, dots)
            for place, group in enumerate(_ordered(fleet, rules)[: max(most_plots - len(plots), 0)])
        ]
        plots += drawn
        left_out = len(fleet.groups) - len(drawn)
        note = (
            f"{parts.counted(left_out, 'plot')} left out to limit the size of the page." if left_out else ""
        )
        html = _paragraph(_about(fleet), redactor) + "".join(parts.figure(plot, redactor) for plot in drawn)
        html += _paragraph(note, redactor)
        sections.append((f"fleet-{number}", redactor.for_page(name_of(fleet.subject)), html))
    changes = [found for fleet in judged for board in fleet.boards for found in drift.drifts(board, rules)]
    emulated = {board.name: fleet.subject.emulated for fleet in judged for board in fleet.boards}
    development = strips.over_time(changes, emulated, rules, rows)
    sections.append(("drift", "Drift over time", parts.figure(development, redactor)))
    sections += _too_few([fleet for fleet in judged if not fleet.judged], rules, redactor, rows)
    sections += whole_page.skipped_files(stored.skipped, redactor)
    return whole_page.html(
        title="Micro-cloud fleet",
        heading="Which boards deviate from their fleet?",
        lead=_lead(stored, judged),
        sections=sections,
        plots=(*plots, development),
        redactor=redactor,
    )


def _ordered(fleet: Fleet, rules: Rules) -> list[Group]:
    """Return the groups of metrics that a fleet was judged by; those in which a board deviates come first."""
    deviating = {judged.group for judged in fleet.deviating}
    known = {group: place for place, group in enumerate(rules.groups)}
    return sorted(
        fleet.groups, key=lambda group: (group not in deviating, known.get(group, len(known)), group.id)
    )


def _lead(stored: Stored, judged: Sequence[Fleet]) -> str:
    if not stored.count:
        return whole_page.NO_RUN
    boards = sum(len(fleet.boards) for fleet in judged)
    return (
        f"{parts.counted(boards, 'board')} in {parts.counted(stored.count, 'stored run')}, {stored.days}. "
        "The boards of a fleet have the same model, OS release and kind (real, or emulated in the same way). "
        "Each figure comes from the newest run with a valid measurement on its board."
    )


def _about(fleet: Fleet) -> str:
    names = ", ".join(parts.first_few([board.name for board in fleet.boards], MOST_NAMES))
    return f"{parts.counted(len(fleet.boards), 'board')}: {names}."


def _deviating(compared: Sequence[Fleet], rules: Rules, redactor: Redactor, most: int) -> str:
    rows = list(deviations.rows(compared))
    if not compared:
        html = "<p>No fleet has enough boards to compare them.</p>"
    elif rows:
        table = parts.numbers(deviations.HEAD, rows[:most], "Boards that deviate from their fleet", redactor)
        html = deviations.html(compared, rules, most, redactor) + table
        html += f"<p>and {len(rows) - most} more</p>" if len(rows) > most else ""
    else:
        html = "<p>No board deviates from its fleet.</p>"
    values = sum(len(value.readings) for fleet in compared for value in fleet.values)
    scores = sum(len(fleet.judged) for fleet in compared)
    return html + _paragraph(
        f"{values} values were compared, and {scores} scores were tested. Each board has one score per "
        "group of metrics: the median over the group’s values. A z-score is the distance from the fleet’s "
        f"median, divided by {outliers.PER_MAD} MAD; positive is worse. The threshold depends on the number "
        "of boards and groups: in a fleet of equal boards, the probability that any board is listed on this "
        f"page is about {rules.false_alarms:.0%}. Causes are possibilities, not findings.",
        redactor,
    )


def _too_few(few: Sequence[Fleet], rules: Rules, redactor: Redactor, most: int) -> Iterator[Section]:
    if not few:
        return
    items = parts.first_few([f"{name_of(fleet.subject)}: {_about(fleet)}" for fleet in few], most)
    listed = "".join(f"<li>{parts.safe(item, redactor)}</li>" for item in items)
    note = f"A comparison needs a metric that was measured on {rules.minimum} boards of a fleet."
    yield "few", "Too few boards", f'{_paragraph(note, redactor)}<ul class="mc-skipped">{listed}</ul>'


def _paragraph(text: str, redactor: Redactor) -> str:
    if not text:
        return ""
    cut = redactor.for_page(text)
    return f'<p class="mc-note">{escape(cut)}</p>'
