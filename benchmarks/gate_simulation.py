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
"""How many metrics of a regressed run are slower by SLOWER; as many others are slower by LITTLE_SLOWER."""
SCREENED = (20, 10)
"""The numbers of boots of the stored baseline and of the candidate in the screening (first stage)."""
MOST_FALSE_ALARMS = 0.01
LEAST_FOUND = 0.95
RULES = gate.Rules()

Judged = list[bool]
"""A list that has, for each metric of a run in order, whether a rule calls the metric regressed."""

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
    """A simulated situation, which is a row of the printed table.

    `cv` is the coefficient of variation of single measurements (0.03 is 3 %), and `boots` the number of boots
    of baseline and of candidate. With `confirming`, the gate uses its two-stage rule. With `asked`, the gate
    must find at least the share LEAST_FOUND of the metrics that are slower by SLOWER.
    """

    cv: float
    boots: int
    confirming: bool = False
    asked: bool = False


@dataclass(frozen=True)
class Rates:
    """How often a rule is wrong and right, as shares from 0 to 1.

    `alarms` is the share of unchanged runs in which the rule calls any metric regressed. `found` and
    `little_found` are the shares of metrics slower by SLOWER and LITTLE_SLOWER that it calls regressed.
    """

    alarms: float
    found: float
    little_found: float

    @classmethod
    def of(cls, same: Iterable[Judged], worse: Sequence[Judged]) -> Rates:
        """Return a rule's rates from its judgements of unchanged (`same`) and regressed (`worse`) runs."""
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
    """Simulate all cases and print the table; return 0 if the gate meets its requirements, otherwise 1."""
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
    """Simulate a case, with its own random seed; return the rates of the gate and of pytest-benchmark."""
    import numpy as np

    random = np.random.default_rng((SEED, CASES.index(case)))
    same, worse = list(_runs(random, case, slower=False)), list(_runs(random, case, slower=True))
    gated, naive = (
        Rates.of([pair[rule] for pair in same], [pair[rule] for pair in worse]) for rule in (0, 1)
    )
    return gated, naive


def _asked(case: Case, rates: Rates) -> Iterator[tuple[str, bool]]:
    """Yield each requirement that the gate has to meet in a case, in words, and whether it is met."""
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
    """Simulate pairs of runs; yield for each which metrics the gate and pytest-benchmark call regressed."""
    for _ in range(RUNS):
        before, after = _run(random, case.cv, case.boots), _run(random, case.cv, case.boots, slower=slower)
        naive = after.mean(axis=1) > 1.05 * before.mean(axis=1)
        if case.confirming:
            yield _confirmed(random, case, slower=slower), list(map(bool, naive))
        else:
            yield _regressed(gate.compare(_series(before), _series(after), RULES)), list(map(bool, naive))


def _confirmed(random: np.random.Generator, case: Case, *, slower: bool) -> Judged:
    """Simulate a screening and its confirmation; return which metrics the two-stage rule calls regressed."""
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
    """Return simulated values, one row per metric and one column per boot; `slower` makes a regressed run."""
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
    """Return, for each simulated metric in order, whether one of the findings calls the metric regressed."""
    called = {finding.metric for finding in findings if finding.verdict == gate.REGRESSED}
    return [f"metric{number:03}" in called for number in range(METRICS)]


def _share(happened: Iterable[bool]) -> float:
    all_of_them = list(happened)
    return sum(all_of_them) / len(all_of_them)


if __name__ == "__main__":
    sys.exit(main())
