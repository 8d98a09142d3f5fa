"""The gate's findings as a table: as text for a terminal, as Markdown, and as HTML for the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import zip_longest
from typing import TYPE_CHECKING

from pytest_microcloud.printable import printable
from pytest_microcloud.report import parts
from pytest_microcloud.verdict.gate import IMPROVED, NO_EVIDENCE, REGRESSED, TOO_FEW

if TYPE_CHECKING:
    from pytest_microcloud.redaction import Redactor
    from pytest_microcloud.verdict.comparison import Comparison
    from pytest_microcloud.verdict.gate import Finding

HEADS = ("verdict", "board", "metric", "labels", "change", "boots", "reason")
ORDER = (REGRESSED, IMPROVED, TOO_FEW, NO_EVIDENCE)
MARKUP = str.maketrans({character: f"\\{character}" for character in r"\`*_{}[]<>|~#&"})


def text(comparison: Comparison, *, verbose: bool = False) -> str:
    """Return the findings as a text table. Those without evidence of a change get rows only if `verbose`."""
    findings = in_order(comparison.findings)
    shown = [f for f in findings if verbose or f.verdict != NO_EVIDENCE]
    lines = [*_remarks(comparison), *aligned([HEADS, *map(_row, shown)] if shown else [])]
    if rest := findings[len(shown) :]:
        ruled_out = sum(f.reason.endswith("ruled out") for f in rest)
        also = f"; a change that matters is ruled out in {ruled_out} of them" if ruled_out else ""
        lines.append(f"no evidence of a change in {_metrics(len(rest))}{also}")
    return "\n".join([*lines, _closing(comparison)])


def markdown(comparison: Comparison) -> str:
    """Return the findings as a Markdown table, such as for the step summary of GitHub Actions."""
    lines = [f"### Micro-cloud gate: {_escaped(_closing(comparison))}", ""]
    lines += [f"- {_escaped(remark)}" for remark in _remarks(comparison)]
    rows = [_row(finding) for finding in in_order(comparison.findings)]
    if rows:
        table = [HEADS, ("---",) * len(HEADS), *([_escaped(cell) for cell in row] for row in rows)]
        lines += ["", *(f"| {' | '.join(cells)} |" for cells in table)]
    return "\n".join([*lines, ""])


def html(comparison: Comparison, redactor: Redactor) -> str:
    """Return the findings as an HTML table, in which texts are redacted."""

    def shown(text: str) -> str:
        return escape(redactor.for_page(text))

    head = "".join(f'<th scope="col">{name}</th>' for name in HEADS)
    rows = "".join(
        f'<tr class="mc-{finding.verdict.replace(" ", "-")}">'
        + "".join(f"<td>{shown(cell)}</td>" for cell in _row(finding))
        + "</tr>"
        for finding in in_order(comparison.findings)
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    shown_table = parts.scrolling(table, "The gate's verdict on each metric") if rows else ""
    remarks = "".join(f"<li>{shown(remark)}</li>" for remark in _remarks(comparison))
    return (
        f'<section class="mc-gate"><h3>Gate: {shown(_closing(comparison))}</h3>'
        f"{f'<ul>{remarks}</ul>' if remarks else ''}{shown_table}</section>"
    )


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings sorted: regressed, improved, too few samples, no evidence."""
    return sorted(findings, key=lambda f: ORDER.index(f.verdict))


def _remarks(comparison: Comparison) -> Iterator[str]:
    yield from (printable(f"not compared: {sentence}") for sentence in comparison.refused)
    yield from (printable(f"note: {sentence}") for sentence in comparison.warnings)


def _closing(comparison: Comparison) -> str:
    how = ", confirmed on fresh boots of both sides" if comparison.confirmed else ""
    counts = {verdict: sum(f.verdict == verdict for f in comparison.findings) for verdict in ORDER}
    counted = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return printable(
        f"{comparison.verdict}{how}: {comparison.candidate} against {comparison.baseline} "
        f"({counted or 'no metric in common'})"
    )


def _row(finding: Finding) -> tuple[str, ...]:
    labels = " ".join(f"{name}={value}" for name, value in finding.labels.items())
    verdict = f"{finding.verdict} (report only)" if finding.report_only else finding.verdict
    before, after = finding.boots
    boots = f"{before}" if before == after else f"{before} and {after}"
    cells = verdict, finding.board, finding.metric, labels, _change(finding), boots, finding.reason
    return tuple(map(printable, cells))


def _change(finding: Finding) -> str:
    if finding.ratio is None or not math.isfinite(finding.ratio):
        return "–"
    if finding.interval is None:
        return f"{_percent(finding.ratio)} %"
    low, high = finding.interval
    return f"{_percent(finding.ratio)} % ({_percent(low)} to {_percent(high)} %)"


def _percent(ratio: float) -> str:
    """Return a ratio as a change in per cent: 1.213 as "+21", 0.9987 as "-0.1"."""
    change = (ratio - 1) * 100
    return f"{change:+.0f}" if abs(change) >= 9.5 else f"{change:+.1f}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return each row as a line of text, with the columns of all rows aligned."""
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _metrics(count: int) -> str:
    return f"{count} metric{'s' if count != 1 else ''}"


def _escaped(text: str) -> str:
    return " ".join(text.split()).translate(MARKUP)
