"""`python -m benchmarks.gate_simulation`: simulate the gate's false alarms and detections.

Each run has 200 metrics with lognormal noise, one measurement per boot and 2 % variation between boots.
pytest-benchmark's `--benchmark-compare-fail=mean:5%` judges the same numbers for comparison. The two-stage
rule screens a candidate against a stored baseline from which all metrics have drifted, and confirms suspects
with fresh boots of both sides in alternation.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from benchmarks.row import aligned
from pytest_microcloud.verdict import gate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEED = 2017
METRICS = 200
RUNS = 200
BETWEEN_BOOTS = 0.02
DRIFT = 0.01
SLOWER, LITTLE_SLOWER = 0.20, 0.10
SLOWED = 20
"""The number of slower metrics in a regressed run, for each of the two changes."""
SCREENED = (20, 10)
"""Boots of the stored baseline and of the candidate that the two-stage rule screens."""
MOST_FALSE_ALARMS = 0.01
LEAST_FOUND = 0.95
RULES = gate.Rules()

Judged = list[bool]
"""For each metric of a run, whether the metric counts as regressed."""

HEADER = (
    "noise (CV)",
    "boots per side",
    "A/A runs with a false alarm: gate",
    "mean:5%",
    f"+{SLOWER:.0%} found: gate",
    "mean:5%",
    f"+{LITTLE_SLOWER:.0%} found: gate",
    "mean:5%",
)


@dataclass(frozen=True)
class Case:
    """A row of the table: the scatter of single measurements (a share), and the boots per side.

    With `confirming`, the two-stage rule is used. With `asked`, at least LEAST_FOUND of the large changes
    must be found.
    """

    cv: float
    boots: int
    confirming: bool = False
    asked: bool = False


@dataclass(frozen=True)
class Rates:
    """Rates of a rule, as shares of 1: A/A runs with any false alarm, and real changes that it finds."""

    alarms: float
    found: float
    little_found: float

    @classmethod
    def of(cls, same: Iterable[Judged], worse: Sequence[Judged]) -> Rates:
        """Return the rates of a rule that judged unchanged (`same`) and regressed (`worse`) runs."""
        return cls(
            _share(any(judged) for judged in same),
            _share(found for judged in worse for found in judged[:SLOWED]),
            _share(found for judged in worse for found in judged[SLOWED : 2 * SLOWED]),
        )


CASES = (
    Case(0.03, 10),
    Case(0.03, 20),
    Case(0.08, 10),
    Case(0.08, 20, asked=True),
    Case(0.20, 10),
    Case(0.20, 20),
    Case(0.03, 20, confirming=True),
    Case(0.08, 20, confirming=True),
    Case(0.20, 20, confirming=True),
)


def main() -> int:
    """Print the table; return 0 if the gate meets its requirements, else 1."""
    lines: list[tuple[str, ...]] = [HEADER]
    kept: list[tuple[str, bool]] = []
    with ProcessPoolExecutor() as cores:
        rates = list(cores.map(_rates, CASES))
    for case, (ours, naive) in zip(CASES, rates, strict=True):
        boots = f"{case.boots}, confirming" if case.confirming else str(case.boots)
        pairs = zip(astuple(ours), astuple(naive), strict=True)
        lines.append((f"{case.cv:.0%}", boots, *(f"{share:.1%}" for pair in pairs for share in pair)))
        kept += list(_asked(case, ours))
    print(
        f"{RUNS} runs of {METRICS} metrics per row, {BETWEEN_BOOTS:.0%} between boots; "
        f"confirming: a screening of {SCREENED[1]} boots against {SCREENED[0]} stored boots, "
        f"with {DRIFT:.0%} of drift between them\n"
    )
    print(aligned(lines))
    print()
    for what, is_kept in kept:
        print(f"{'yes' if is_kept else 'NO':4}{what}")
    return 0 if all(is_kept for _, is_kept in kept) else 1


def _rates(case: Case) -> tuple[Rates, Rates]:
    """Return the rates of the gate and of pytest-benchmark; each case has its own seed."""
    import numpy as np

    random = np.random.default_rng((SEED, CASES.index(case)))
    same, worse = list(_runs(random, case, slower=False)), list(_runs(random, case, slower=True))
    gated, naive = (
        Rates.of([pair[rule] for pair in same], [pair[rule] for pair in worse]) for rule in (0, 1)
    )
    return gated, naive


def _asked(case: Case, rates: Rates) -> Iterator[tuple[str, bool]]:
    """Yield each requirement of a case, in words, and whether it is met."""
    where = f"CV {case.cv:.0%}, {case.boots} boots{', confirming' if case.confirming else ''}"
    yield (
        f"{where}: at most {MOST_FALSE_ALARMS:.0%} of A/A runs have a false alarm ({rates.alarms:.1%})",
        rates.alarms <= MOST_FALSE_ALARMS,
    )
    if case.asked:
        yield (
            f"{where}: at least {LEAST_FOUND:.0%} of +{SLOWER:.0%} changes are found ({rates.found:.1%})",
            rates.found >= LEAST_FOUND,
        )


def _runs(random: np.random.Generator, case: Case, *, slower: bool) -> Iterator[tuple[Judged, Judged]]:
    """Yield, for each pair of runs, which metrics the gate and pytest-benchmark call regressed."""
    for _ in range(RUNS):
        before, after = _run(random, case.cv, case.boots), _run(random, case.cv, case.boots, slower=slower)
        naive = after.mean(axis=1) > 1.05 * before.mean(axis=1)
        if case.confirming:
            yield _confirmed(random, case, slower=slower), list(map(bool, naive))
        else:
            yield _regressed(gate.compare(_series(before), _series(after), RULES)), list(map(bool, naive))


def _confirmed(random: np.random.Generator, case: Case, *, slower: bool) -> Judged:
    """Return which metrics of a run the two-stage rule calls regressed."""
    stored = _run(random, case.cv, SCREENED[0])
    screened = _run(random, case.cv, SCREENED[1], slower=slower)
    screened *= 1 + random.normal(0.0, DRIFT, (METRICS, 1))
    suspects = gate.suspects(gate.compare(_series(stored), _series(screened), RULES))
    names = {finding.metric for finding in suspects}
    before, after = (
        {key: values for key, values in _series(run).items() if key[1] in names}
        for run in (_run(random, case.cv, case.boots), _run(random, case.cv, case.boots, slower=slower))
    )
    return _regressed(gate.compare(before, after, RULES))


def _run(random: np.random.Generator, cv: float, boots: int, *, slower: bool = False) -> NDArray[np.float64]:
    """Return a run's values, a row per metric and a column per boot; `slower` slows the first metrics."""
    import numpy as np

    between = random.normal(0.0, BETWEEN_BOOTS, (METRICS, boots))
    values = np.exp(between + random.normal(0.0, cv, (METRICS, boots)))
    if slower:
        values[:SLOWED] *= 1 + SLOWER
        values[SLOWED : 2 * SLOWED] *= 1 + LITTLE_SLOWER
    return np.asarray(values)


def _series(run: NDArray[np.float64]) -> dict[gate.Key, gate.Series]:
    return {
        ("board", f"metric{number:03}", ()): gate.Series("s", "lower", tuple(map(float, values)))
        for number, values in enumerate(run)
    }


def _regressed(findings: Iterable[gate.Finding]) -> Judged:
    """Return for each of the run's metrics, in order, whether the gate calls the metric regressed."""
    called = {finding.metric for finding in findings if finding.verdict == gate.REGRESSED}
    return [f"metric{number:03}" in called for number in range(METRICS)]


def _share(happened: Iterable[bool]) -> float:
    all_of_them = list(happened)
    return sum(all_of_them) / len(all_of_them)


if __name__ == "__main__":
    sys.exit(main())
