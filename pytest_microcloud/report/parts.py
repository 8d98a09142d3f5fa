"""HTML parts that several pages share: the matrix of verdicts, plots with their tables, boards.

Texts from run files and boards are redacted and escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_microcloud.measurement import shown
from pytest_microcloud.redaction import Redactor, in_all
from pytest_microcloud.report.plot import NONE, Cell, Number, Plot
from pytest_microcloud.runs.controls import Control
from pytest_microcloud.runs.fingerprint import CONTROLLER, Card, Fingerprint, Frequency, MadeOf

if TYPE_CHECKING:
    from pytest_microcloud.catalog import Description
    from pytest_microcloud.verdict import matrix

LARGEST_BYTES = 6_000_000
"""Largest size of a page, so that it can be mailed. Most of a page is plotly."""
LONGEST = 400
"""Maximum length of a text on a page, in characters; the run file has the complete text."""
MOST_REASONS = 8
"""Maximum number of reasons in a matrix cell. Each boot may have a different one; the run file has all."""
MOST_GAPS = 24
"""Maximum number of items that a page shows of a list in a board's fingerprint."""
OPEN_ROWS = 14
"""A table under a plot is unfolded initially if it has at most this many rows."""
NUMERIC = ' class="mc-number"'
EMULATED = '<b class="mc-emulated">emulated</b>'


def safe(value: object, redactor: Redactor) -> str:
    """Return untrusted text as HTML: cut to `LONGEST` characters, redacted and escaped."""
    text = str(value)
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return escape(redactor.for_page(text))


def first_few(texts: Sequence[str], most: int) -> list[str]:
    """Return the first `most` texts, followed by "and N more" if there are more."""
    rest = len(texts) - most
    return [*texts[:most], *([f"and {rest} more"] if rest > 0 else [])]


def counted(number: int, what: str) -> str:
    """Return a number and a noun, such as "2 runs"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def style() -> str:
    """Return the `<style>` element that all pages share."""
    return f"<style>{resource('page.css')}</style>"


def script(plots: Sequence[Plot], redactor: Redactor) -> str:
    """Return the scripts that draw the plots, with plotly and the data. The page loads no other files."""
    drawn = [plot.as_dict() for plot in plots if plot.traces]
    data = json.dumps(in_all(drawn, redactor.for_page), separators=(",", ":"), allow_nan=False)
    for character in "<>&":  # so that the data cannot end the script element or begin a comment
        data = data.replace(character, f"\\u{ord(character):04x}")
    return (
        f'<script type="application/json" id="mc-plots">{data}</script>'
        f"<script>{_plotly() if drawn else ''}</script>"
        f"<script>{resource('page.js')}</script>"
    )


def scrolling(inner: str, label: str) -> str:
    """Return HTML inside a box that scrolls, also by keyboard, if the HTML is wider than the page."""
    return f'<div class="mc-scroll" role="region" tabindex="0" aria-label="{escape(label)}">{inner}</div>'


def verdicts(
    caption: str,
    rows: Iterable[tuple[str, Mapping[str, matrix.Cell]]],
    names: Sequence[str],
    experiments: Mapping[str, Description],
    redactor: Redactor,
) -> str:
    """Return an HTML table of verdicts. Each of `rows` has a board's HTML heading and cells by experiment.

    A row without cells stands for a board without any run.
    """
    head = "".join(
        f'<th scope="col"{_title(experiments[name].about, redactor) if name in experiments else ""}>'
        f"{safe(name, redactor)}</th>"
        for name in names
    )
    body = "".join(
        f'<tr><th scope="row">{heading}</th>'
        + "".join(_verdict(cells.get(n), redactor) for n in names)
        + "</tr>"
        for heading, cells in rows
    )
    return scrolling(
        f'<table class="mc-matrix"><caption>{escape(caption)}</caption>'
        f'<thead><tr><th scope="col">board</th>{head}</tr></thead><tbody>{body}</tbody></table>',
        "Verdicts by board and experiment",
    )


def heading(name: str, about: str, redactor: Redactor, *, emulated: bool) -> str:
    """Return the heading (HTML) of a board's row in the matrix of verdicts."""
    badge = f"{EMULATED} " if emulated else ""
    return f"{safe(name, redactor)}<small>{badge}{safe(about, redactor)}</small>"


def verdict_class(verdict: str, *, judged: bool = True) -> str:
    """Return the CSS class of a verdict. A verdict for which no limit was set gets no colour."""
    return f"mc-{escape(verdict.replace(' ', '-'))}" if judged else "mc-unjudged"


def figure(plot: Plot, redactor: Redactor) -> str:
    """Return the HTML element of a plot, with its table, its CSV, and the sources of its marks and limits."""
    label = f"{plot.title}. {plot.about}. The table below has the same numbers."
    place = (
        f'<div class="mc-plot" id="plot-{plot.id}" role="img" aria-label="{safe(label, redactor)}"></div>'
        '<p class="mc-tools">'
        f'<button type="button" class="mc-axes" data-plot="{plot.id}" hidden></button></p>'
        if plot.traces
        else f'<p class="mc-empty">{safe(plot.empty, redactor)}</p>'
    )
    notes = "".join(f'<p class="mc-note">{safe(note, redactor)}</p>' for note in plot.notes)
    points = "".join(f"<li>{safe(source, redactor)}</li>" for source in plot.sources)
    sources = f"<details><summary>Where marks and limits come from</summary><ul>{points}</ul></details>"
    return (
        f'<figure class="mc-figure" id="{plot.id}"><figcaption><h3>{safe(plot.title, redactor)}</h3>'
        f"<p>{safe(plot.about, redactor)}</p></figcaption>{place}{notes}"
        f"{_table(plot, redactor)}{sources if points else ''}</figure>"
    )


def numbers(head: Sequence[str], rows: Iterable[Sequence[Cell]], label: str, redactor: Redactor) -> str:
    """Return an HTML table. Numbers are right-aligned and carry their value in SI units, for the CSV."""
    rows = list(rows)
    aligned = [isinstance(cell, Number) or cell == NONE for cell in (rows[0] if rows else head)]
    heads = "".join(
        f'<th scope="col"{NUMERIC if number else ""}>{safe(name, redactor)}</th>'
        for name, number in zip(head, aligned, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(_cell(cell, place, redactor) for place, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return scrolling(
        f'<table class="mc-numbers"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>', label
    )


def board(
    name: str,
    facts: Fingerprint,
    model: str,
    redactor: Redactor,
    log: str = "",
    control: Control | None = None,
) -> str:
    """Return the HTML section of a board: fingerprint, control, log. `model` is its model's display name."""
    control = control or Control()
    emulated = facts.emulated
    card = facts.card or Card()
    rows: dict[str, object] = {
        "Model": model,
        "Hardware": None if emulated else _hardware(facts, model),
        "Operating system": facts.os_release,
        "Kernel": facts.kernel and f"{facts.kernel} ({facts.isa})",
        facts.engine or "Docker": ", ".join(_engine(facts)),
        "CPUs, memory": ", ".join(_memory(facts)),
        "Clock": _clock(facts.frequency or Frequency()),
        "SD card": card.name,
        "Driver": facts.driver,
        "Load from": facts.load_from if facts.load_from != CONTROLLER else None,
        "Made of": _made_of(facts.emulation),
        "Waited": _waited(facts),
    }
    if redactor.identify:
        rows |= {
            "Address": facts.address,
            "Serial number": facts.serial,
            "SD card's CID": card.cid,
        }
    listed = "".join(
        f"<dt>{safe(key, redactor)}</dt><dd>{safe(value, redactor)}</dd>"
        for key, value in rows.items()
        if value
    )
    means = [f"{aspect.replace('_', ' ')}: {by}" for aspect, by in sorted(facts.emulated_by.items())]
    for title, texts in (
        ("Emulated by", means),
        ("Not emulated", facts.not_emulated),
        ("Not watched", facts.not_watched),
        ("Others' containers", facts.others_containers),
        ("Control", list(_readings(control))),
        ("Drifted", control.drift),
    ):
        if texts:
            few = first_few(texts, MOST_GAPS)
            points = "".join(f"<li>{safe(text, redactor)}</li>" for text in few)
            listed += f"<dt>{escape(title)}</dt><dd><ul>{points}</ul></dd>"
    badge = f" {EMULATED}" if emulated else ""
    return f'<section class="mc-board"><h3>{safe(name, redactor)}{badge}</h3><dl>{listed}</dl>{log}</section>'


def _waited(facts: Fingerprint) -> str:
    """Return a text on how long measurements waited for the controller's resources; empty if below 1 s."""
    shared = "the controller's CPUs and network, which boards share"
    return f"{facts.waited_s:.0f} s for {shared}" if facts.waited_s >= 1 else ""


def _verdict(cell: matrix.Cell | None, redactor: Redactor) -> str:
    if cell is None:
        return '<td class="mc-missing">missing</td>'
    reasons = first_few(cell.reasons, MOST_REASONS)
    remarks = [cell.remark, *reasons] if cell.remark else reasons
    small = "".join(f"<small>{safe(remark, redactor)}</small>" for remark in remarks)
    shade = verdict_class(cell.verdict, judged=cell.judged)
    return (
        f'<td class="{shade}"><b>{safe(cell.verdict, redactor)}</b><br>'
        f"{safe(cell.headline, redactor)}{small}</td>"
    )


def _table(plot: Plot, redactor: Redactor) -> str:
    if not plot.rows:
        return ""
    rows = f"{len(plot.rows)} row{'s' if len(plot.rows) > 1 else ''}"
    table = numbers(plot.head, plot.rows, f"{plot.title}: the numbers", redactor)
    return (
        f'<details class="mc-data"{" open" if len(plot.rows) <= OPEN_ROWS else ""}>'
        f"<summary>The numbers ({rows})</summary>{table}</details>"
        '<details class="mc-csv"><summary>CSV to copy</summary>'
        '<p><button type="button" class="mc-copy">Copy</button> <span role="status"></span></p>'
        f'<textarea readonly rows="6" spellcheck="false" aria-label="CSV of {escape(plot.title)}"></textarea>'
        "</details>"
    )


def _cell(cell: Cell, place: int, redactor: Redactor) -> str:
    if isinstance(cell, Number):
        return f'<td{NUMERIC}><data value="{cell.value:.6g}">{safe(cell, redactor)}</data></td>'
    if cell == NONE:
        return f"<td{NUMERIC}>{NONE}</td>"
    return (
        f'<th scope="row">{safe(cell, redactor)}</th>' if place == 0 else f"<td>{safe(cell, redactor)}</td>"
    )


def _title(text: str, redactor: Redactor) -> str:
    return f' title="{safe(text, redactor)}"' if text else ""


def _readings(control: Control) -> Iterator[str]:
    """Yield a text for each reading of a board's control: when it was read, and the time of each load."""
    for reading in control.readings:
        times = [f"{load} {shown(time_s, 's')}" for load, time_s in reading.times_s.items()]
        left_out = [f"no {load} ({why})" for load, why in reading.left_out.items()]
        yield f"{reading.at}: {', '.join((*times, *left_out))}"


def _hardware(facts: Fingerprint, model: str) -> str:
    known = facts.identity
    if not known:
        code = facts.revision_code
        reported = facts.tree_model or (f"revision code {code}" if code else None)
        return f"not recognised{f' ({reported})' if reported else ''}: {model} according to the inventory"
    parts = (
        known.name,
        f"PCB {known.pcb}" if known.pcb else None,
        known.soc,
        f"{known.ram_bytes / 2**20:.0f} MB" if known.ram_bytes else None,
        known.manufacturer,
        known.evidence,
    )
    return ", ".join(part for part in parts if part)


def _engine(facts: Fingerprint) -> Iterator[str]:
    for version, form in (
        (facts.docker_version, "{}"),
        (facts.containerd_version, "containerd {}"),
        (facts.storage_driver, "{}"),
        (facts.cgroup_version, "cgroup v{}"),
    ):
        if version:
            yield form.format(version)


def _memory(facts: Fingerprint) -> Iterator[str]:
    if facts.cpus:
        yield str(facts.cpus)
    if facts.memory_bytes:
        yield f"{facts.memory_bytes / 2**20:.0f} MiB"
    if facts.gpu_bytes:
        yield f"GPU {facts.gpu_bytes / 2**20:.0f} MiB"
    if facts.swap_bytes is not None:
        yield f"swap {facts.swap_bytes / 2**20:.0f} MiB" if facts.swap_bytes else "no swap"


def _clock(frequency: Frequency) -> str:
    low, high, now = (
        f"{hz / 1e6:.0f}" if hz else "" for hz in (frequency.min_hz, frequency.max_hz, frequency.now_hz)
    )
    bounds = "–".join(bound for bound in (low, high) if bound)
    parts = (
        frequency.governor,
        f"{bounds} MHz" if bounds else None,
        f"{now} MHz when read" if now else None,
    )
    return ", ".join(part for part in parts if part)


def _made_of(made: MadeOf) -> str:
    cpus = made.calibrated_cpus
    parts = (made.image, f"{cpus:.3g} CPUs of the host" if cpus else None)
    return ", ".join(part for part in parts if part)


def _plotly() -> str:
    """Return plotly's script from its package, without importing it."""
    found = find_spec("plotly")
    if found is None or found.origin is None:
        raise FileNotFoundError("plotly")
    return (Path(found.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def resource(name: str) -> str:
    """Return the text of a file in this package."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
