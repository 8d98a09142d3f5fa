"""Describes boards that deviate from their fleet: as text for a terminal, as HTML, and as table rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from pytest_microcloud.measurement import shown
from pytest_microcloud.redaction import Redactor
from pytest_microcloud.report import parts
from pytest_microcloud.report.plot import Cell, Number
from pytest_microcloud.report.sources import name_of
from pytest_microcloud.verdict.outliers import Fleet, Judged, Rules
from pytest_microcloud.verdict.results import at_point

HEAD = (
    "board",
    "fleet",
    "deviates in",
    "metric",
    "value",
    "fleet’s median",
    "deviation",
    "z-score",
    "threshold",
    "unusual values",
)
FACTOR = 1.5
"""From this ratio on (and from its inverse down), a deviation is given as a factor and not in per cent."""


def lines(fleets: Sequence[Fleet], boards: Collection[str], page: str) -> Iterator[str]:
    """Yield a sentence for each of `boards` that deviates: its most deviating metric, and "see `page`"."""
    for fleet in fleets:
        for board, judged in _most(fleet).items():
            if board in boards:
                yield f"{board}: {_in_words(judged)} ({len(fleet.boards)} boards), see {page}"


def html(fleets: Sequence[Fleet], rules: Rules, most: int, redactor: Redactor) -> str:
    """Return an HTML list of up to `most` boards that deviate, with possible causes; "" if none deviates."""
    items = [
        f'<li><b class="mc-{"infeasible" if judged.worse else "feasible"}">{parts.safe(board, redactor)}</b>'
        f"<div><p>{parts.safe(f'{_in_words(judged)} ({len(fleet.boards)} boards).', redactor)}</p>"
        f'<p class="mc-small">{parts.safe(_about(fleet, board, rules), redactor)}</p></div></li>'
        for fleet in fleets
        for board, judged in _most(fleet).items()
    ]
    rest = len(items) - most
    more = f"<li>{parts.counted(rest, 'more board')}</li>" if rest > 0 else ""
    return f'<ul class="mc-claims">{"".join(items[:most])}{more}</ul>' if items else ""


def _most(fleet: Fleet) -> dict[str, Judged]:
    """Return, for each board that deviates, its result in the group of metrics with the largest z-score."""
    most: dict[str, Judged] = {}
    for judged in fleet.deviating:
        most.setdefault(judged.board, judged)
    return most


def _about(fleet: Fleet, board: str, rules: Rules) -> str:
    """Return sentences about a board: what deviates, what else is unusual, possible causes, and its fleet."""
    deviating = [judged.group.title for judged in fleet.deviating if judged.board == board]
    also = [group.title for group in fleet.also_unusual(board, rules)]
    sentences = (
        f"Deviates in {', '.join(deviating)}",
        f"Unusual, but below the threshold: {', '.join(also)}" if also else "",
        *(f"Possible cause: {cause}" for cause in fleet.causes(board, rules)),
        f"Fleet: {name_of(fleet.subject)}",
    )
    return " ".join(f"{text}." for text in sentences if text)


def rows(fleets: Sequence[Fleet]) -> Iterator[tuple[Cell, ...]]:
    """Yield a table row (columns: `HEAD`) for each group of metrics in which a board deviates."""
    for fleet in fleets:
        for judged in fleet.deviating:
            point = judged.typical
            yield (
                judged.board,
                name_of(fleet.subject),
                judged.group.title,
                at_point(point.metric, point.labels),
                Number(point.readings[judged.board].value, point.unit),
                Number(point.middle, point.unit),
                change(judged.ratio),
                f"{judged.z:+.1f}",
                f"{judged.threshold:.1f}",
                f"{judged.beyond} of {judged.values}",
            )


def change(ratio: float | None) -> str:
    """Return a ratio as a change in per cent, such as "+12.5%" for 1.125."""
    return "no ratio to 0" if ratio is None else f"{ratio - 1:+.1%}"


def _in_words(judged: Judged) -> str:
    point, ratio = judged.typical, judged.ratio
    what = at_point(point.metric, point.labels)
    if ratio is None:
        value = shown(point.readings[judged.board].value, point.unit)
        return f"{what} is {value}, and the median of its fleet is {shown(point.middle, point.unit)}"
    if 1 / FACTOR < ratio < FACTOR:
        return f"{what} is {abs(ratio - 1):.0%} {'above' if ratio > 1 else 'below'} the median of its fleet"
    return f"{what} is {ratio:.2g} times the median of its fleet"
