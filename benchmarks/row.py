"""A row of the benchmarks' table: what was measured, the requirement, and whether it is met."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """The values that a benchmark measured, in `unit`, and the requirement that their median has to meet.

    The median may be at most `at_most`, and may differ from 1 by at most `within`. `detail` is a text with
    the figures from which the values were computed.
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
        """Whether the median meets the requirement."""
        if self.at_most is not None and self.median > self.at_most:
            return False
        return self.within is None or abs(self.median - 1) <= self.within

    def cells(self) -> tuple[str, ...]:
        """Return the row's cells for the table (columns: `HEADER`)."""
        low, high = min(self.values), max(self.values)
        spread = f"{self._shown(low)} to {self._shown(high)}" if len(self.values) > 1 else "once"
        asked = f"at most {self.at_most:g}{self.unit}" if self.at_most is not None else ""
        if self.within is not None:
            asked = f"1 ± {self.within:.0%}"
        median = f"{self._shown(self.median)}{self.unit}"
        return self.what, median, spread, asked, "yes" if self.kept else "NO", self.detail

    def _shown(self, value: float) -> str:
        return f"{value:.1f}" if self.unit in (" ms", " MB") else f"{value:.3f}"


HEADER = ("what", "median", "min to max", "required", "met", "figures (medians)")


def table(rows: list[Row]) -> str:
    """Return the rows as an aligned text table."""
    return aligned([HEADER, *(row.cells() for row in rows)])


def aligned(lines: list[tuple[str, ...]]) -> str:
    """Return a table as text with aligned columns. `lines` are its rows; the first row is the header."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    ruled = [lines[0], tuple("-" * width for width in widths), *lines[1:]]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in ruled)
