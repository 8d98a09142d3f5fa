"""`python -m benchmarks.outlier_thresholds`: the thresholds of `verdict/outliers.toml`, from simulation.

A fleet of equal boards has normally distributed values. The threshold for a level is the robust z-score
that the most deviating board exceeds in that share of all fleets.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_microcloud.verdict.outliers import LEVELS, PER_MAD

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEED = 1993
FLEETS = 20_000
"""Number of fleets of one size that are simulated at once."""
ROUNDS = 30
SIZES = (*range(5, 17), 20, 24, 32, 48, 64, 128, 512)


def largest(boards: int, fleets: int, source: np.random.Generator) -> NDArray[np.float64]:
    """Return the largest absolute z-score of each fleet, for a number of fleets of equal boards."""
    import numpy as np

    values = source.normal(size=(fleets, boards))
    distances = np.abs(values - np.median(values, axis=1, keepdims=True))
    return np.array(distances.max(axis=1) / (PER_MAD * np.median(distances, axis=1)))


def thresholds(boards: int, fleets: int, rounds: int, source: np.random.Generator) -> list[float]:
    """Return the thresholds for `LEVELS`: the means over the rounds."""
    import numpy as np

    found = [np.quantile(largest(boards, fleets, source), [1 - a for a in LEVELS]) for _ in range(rounds)]
    return [statistics.fmean(level) for level in zip(*found, strict=True)]


def main(sizes: Sequence[int] = SIZES) -> int:
    """Print the table."""
    import numpy as np

    source = np.random.default_rng(SEED)
    print("[thresholds]")
    for boards in sizes:
        listed = ", ".join(f"{value:.2f}" for value in thresholds(boards, FLEETS, ROUNDS, source))
        print(f"{boards} = [{listed}]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
