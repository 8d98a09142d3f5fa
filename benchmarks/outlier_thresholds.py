"""`python -m benchmarks.outlier_thresholds`: the thresholds of `verdict/outliers.toml`, from simulation.

A simulated fleet consists of equal boards, whose values are normally distributed. A level is a share of all
fleets: its threshold is the robust z-score that the most deviating board exceeds in this share of the fleets.
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
"""How many fleets of the same size are simulated in each round."""
ROUNDS = 30
SIZES = (*range(5, 17), 20, 24, 32, 48, 64, 128, 512)


def largest(boards: int, fleets: int, source: np.random.Generator) -> NDArray[np.float64]:
    """Simulate `fleets` fleets of `boards` boards; return the largest absolute z-score in each fleet."""
    import numpy as np

    values = source.normal(size=(fleets, boards))
    distances = np.abs(values - np.median(values, axis=1, keepdims=True))
    return np.array(distances.max(axis=1) / (PER_MAD * np.median(distances, axis=1)))


def thresholds(boards: int, fleets: int, rounds: int, source: np.random.Generator) -> list[float]:
    """Return the threshold for each level of `LEVELS`: the mean of the thresholds of all rounds."""
    import numpy as np

    found = [np.quantile(largest(boards, fleets, source), [1 - a for a in LEVELS]) for _ in range(rounds)]
    return [statistics.fmean(level) for level in zip(*found, strict=True)]


def main(sizes: Sequence[int] = SIZES) -> int:
    """Print the `[thresholds]` table in TOML: one line for each fleet size."""
    import numpy as np

    source = np.random.default_rng(SEED)
    print("[thresholds]")
    for boards in sizes:
        listed = ", ".join(f"{value:.2f}" for value in thresholds(boards, FLEETS, ROUNDS, source))
        print(f"{boards} = [{listed}]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
