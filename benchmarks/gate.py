"""`python -m benchmarks.gate`: how often the gate cries wolf, and how often it sees the wolf, by simulation.

200 metrics a run, lognormal noise of one measurement a boot, 2 % between boots. Beside it,
pytest-benchmark's `--benchmark-compare-fail=mean:5%` on the same numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.row import aligned
from pytest_microcloud.verdict import gate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METRICS = 200
RUNS = 200
REPETITIONS = 1
BETWEEN_BOOTS = 0.02
SLOWER = 0.20
SLOWED = 20
"""How many of the metrics are slower in a run that regressed."""
RULES = gate.Rules()


@dataclass(frozen=True)
class Case:
    """A scatter of single measurements (a share) and a number of boots a side."""

    cv: float
    boots: int


CASES = (Case(0.03, 10), Case(0.03, 20), Case(0.08, 10), Case(0.08, 20), Case(0.20, 10), Case(0.20, 20))


def main() -> int:
    """Print the table; 0."""
    import numpy as np

    random = np.random.default_rng(2017)
    lines: list[tuple[str, ...]] = [
        (
            "noise (CV)",
            "boots a side",
            "A/A runs with a false alarm: gate",
            "mean:5%",
            f"+{SLOWER:.0%} found: gate",
            "mean:5%",
        )
    ]
    for case in CASES:
        same = list(_runs(random, case, 0.0))
        worse = list(_runs(random, case, SLOWER))
        lines.append(
            (
                f"{case.cv:.0%}",
                str(case.boots),
                _share([any(gated) for gated, _ in same]),
                _share([any(naive) for _, naive in same]),
                _share([found for gated, _ in worse for found in gated[:SLOWED]]),
                _share([found for _, naive in worse for found in naive[:SLOWED]]),
            )
        )
    print(f"{RUNS} runs of {METRICS} metrics a row, {BETWEEN_BOOTS:.0%} between boots\n")
    print(aligned(lines))
    return 0


def _runs(random: np.random.Generator, case: Case, slower: float) -> Iterator[tuple[list[bool], list[bool]]]:
    """Yield, for each pair of runs, which metrics the gate and which pytest-benchmark calls regressed."""
    for _ in range(RUNS):
        before, after = _run(random, case), _run(random, case)
        after[:SLOWED] *= 1 + slower
        found = gate.compare(_series(before), _series(after), RULES)
        naive = after.mean(axis=1) > 1.05 * before.mean(axis=1)
        yield [f.verdict == gate.REGRESSED for f in found], list(map(bool, naive))


def _run(random: np.random.Generator, case: Case) -> NDArray[np.float64]:
    """Return METRICS × boots: the median of the repetitions in each boot."""
    import numpy as np

    boots = random.normal(0.0, BETWEEN_BOOTS, (METRICS, case.boots, 1))
    single = random.normal(0.0, case.cv, (METRICS, case.boots, REPETITIONS))
    return np.asarray(np.median(np.exp(boots + single), axis=2))


def _series(run: NDArray[np.float64]) -> dict[gate.Key, gate.Series]:
    return {
        ("board", f"metric{number:03}", ()): gate.Series("s", "lower", tuple(map(float, values)))
        for number, values in enumerate(run)
    }


def _share(happened: list[bool]) -> str:
    return f"{sum(happened) / len(happened):.1%}"


if __name__ == "__main__":
    sys.exit(main())
