"""Shows how much each board's values vary from boot to boot (its noise), as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pytest_microcloud.printable import printable
from pytest_microcloud.report.comparison_table import aligned
from pytest_microcloud.verdict import control_drift, detection
from pytest_microcloud.verdict.noise import CHANGES, DEGREES_LEAST, Noise, Spread

HEADS = ("BOARD", "METRIC", "BOOTS", "CV", *(f"+{change:.0%}" for change in CHANGES))
FOOT = """\
CV: the coefficient of variation from boot to boot. BOOTS: the number of boots that the CV comes from.
+5% to +20%: boots per side with which the gate finds such a change of one metric in {power:.0%} of cases, by
simulation. >{most}: more than {most} boots. –: the gate ignores such a small change."""


def text(found: Mapping[str, Noise]) -> str:
    """Return the table (each board's median noise, noisiest metric, headline metrics) and remarks on it."""
    rows = [row for noise in found.values() for row in _rows(noise)]
    lines = [*aligned([HEADS, *rows])] if rows else []
    if rows:
        lines += ["", FOOT.format(power=detection.POWER, most=detection.MOST_BOOTS), ""]
    for noise in found.values():
        lines += map(printable, _remarks(noise))
    return "\n".join(lines)


def _rows(noise: Noise) -> Iterator[tuple[str, ...]]:
    among = f"median of {len(noise.judged)} metrics"
    for what, spread in ((among, noise.median), ("noisiest: ", noise.worst)):
        if spread is not None:
            yield _row(noise, f"{what}{_named(spread)}" if what.endswith(" ") else what, spread)
    for spread in noise.headlines:
        yield _row(noise, _named(spread), spread)


def _row(noise: Noise, what: str, spread: Spread) -> tuple[str, ...]:
    needed = noise.needed(spread)
    cells = [_cell(boots, change, spread) for boots, change in zip(needed, CHANGES, strict=False)] or [
        ""
    ] * len(CHANGES)
    return tuple(map(printable, (noise.board, what, str(spread.boots), _percent(spread.cv), *cells)))


def _cell(boots: int | None, change: float, spread: Spread) -> str:
    if boots is not None:
        return str(boots)
    return "–" if change <= spread.rule.effect else f">{detection.MOST_BOOTS}"


def _remarks(noise: Noise) -> Iterator[str]:
    """Yield the remarks on a board below the table: model, system, runs, missing data, control's spread."""
    kind = ", emulated" if noise.facts.emulated else ""
    yield (
        f"{noise.board} ({noise.facts.model}{kind}; {noise.facts.release or 'an unknown system'}): "
        f"{noise.runs} run{'' if noise.runs == 1 else 's'}, {noise.metrics} metrics in the gate"
    )
    if not noise.spreads:
        yield (
            f"  too few boots: needs {DEGREES_LEAST} boots after the first boot of each run "
            f"(--microcloud-boots), has {noise.degrees}"
        )
    history, least = noise.history, control_drift.rule().sessions_least
    spreads = ", ".join(f"{load} {_percent(history.spread(load))}" for load in history.loads)
    if history.sessions < least:
        yield f"  control: too few sessions to judge drift: needs {least}, has {history.sessions}"
    else:
        yield f"  control: spread {spreads} ({history.sessions} sessions)"


def _named(spread: Spread) -> str:
    labels: Iterable[str] = (f"{name}={value}" for name, value in spread.labels.items())
    return " ".join((spread.metric, *labels))


def _percent(share: float) -> str:
    return f"{share * 100:.2g} %"
