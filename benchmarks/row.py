"""A row of the table: what was measured, what is asked of it, and whether it is kept."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """Values of one question, in `unit`; their median is what is judged.

    It may be at most `at_most`, and as far from 1 as `within` says. `detail` gives the figures behind it.
    """

    what: str
    values: list[float]
    unit: str
    detail: str
    at_most: float | None = None
    within: float | None = None

    @property
    def median(self) -> float:
        """The median of the values."""
        return statistics.median(self.values)

    @property
    def kept(self) -> bool:
        """Whether the median is as asked."""
        if self.at_most is not None and self.median > self.at_most:
            return False
        return self.within is None or abs(self.median - 1) <= self.within

    def cells(self) -> tuple[str, ...]:
        """Return what the table shows."""
        low, high = min(self.values), max(self.values)
        spread = f"{self._shown(low)} to {self._shown(high)}" if len(self.values) > 1 else "once"
        asked = f"at most {self.at_most:g}{self.unit}" if self.at_most is not None else ""
        if self.within is not None:
            asked = f"1 ± {self.within:.0%}"
        median = f"{self._shown(self.median)}{self.unit}"
        return self.what, median, spread, asked, "yes" if self.kept else "NO", self.detail

    def _shown(self, value: float) -> str:
        return f"{value:.1f}" if self.unit in (" ms", " MB") else f"{value:.3f}"


HEADER = ("what", "median", "min to max", "asked", "kept", "figures (medians)")


def table(rows: list[Row]) -> str:
    """Return the rows as an aligned text table."""
    return aligned([HEADER, *(row.cells() for row in rows)])


def aligned(lines: list[tuple[str, ...]]) -> str:
    """Return a table's lines, the first of which is its header, with their cells below each other."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    ruled = [lines[0], tuple("-" * width for width in widths), *lines[1:]]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in ruled)
