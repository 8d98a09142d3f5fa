"""The gate: finds the metrics of a candidate run that are worse than the baseline run's.

Each boot has one value: the median of its repetitions. An exact rank test compares the values of both sides.
The false discovery rate is controlled over all metrics together, and a change must be large enough to matter.
"""

from __future__ import annotations

import math
import statistics
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_microcloud import ladder
from pytest_microcloud.catalog import toml_file
from pytest_microcloud.errors import CatalogError
from pytest_microcloud.verdict import ranks
from pytest_microcloud.verdict.results import boot_values, per_boot

if TYPE_CHECKING:
    from pytest_microcloud.runs import Run

REGRESSED, IMPROVED, NO_EVIDENCE, TOO_FEW = "regressed", "improved", "no evidence", "too few samples"
LARGEST_SHIFT = 709.0
SPARE_BOOTS = 2
SCALES = ("ratio", "count", "ladder")
SCREEN_P = 0.05
"""Largest p of a suspect, a finding that is measured again (chosen by simulation, see gate.toml)."""

Key = tuple[str, str, tuple[tuple[str, str], ...]]
"""The key of a series: board, metric and labels."""


@dataclass(frozen=True)
class Rule:
    """The rule for judging one metric; gate.toml describes the fields. Numbers are shares of 1."""

    q: float
    effect: float
    confidence: float
    ruled_out: float
    report_only: bool
    scale: str = "ratio"


@dataclass(frozen=True)
class Series:
    """The values of one metric on one board in one run.

    `values` has one value per boot, in SI units; `better` is "lower" or "higher".
    """

    unit: str
    better: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Finding:
    """The gate's result for one metric on one board.

    `ratio` is candidate divided by baseline, with its confidence `interval`; both are None if the baseline is
    0. `p` is not adjusted. `boots` are the numbers of boots of baseline and candidate. `worse` is whether the
    candidate is worse, however weak the evidence. `drifted` is whether the control of its board drifted in
    one of the runs.
    """

    board: str
    metric: str
    labels: Mapping[str, str]
    verdict: str
    ratio: float | None
    interval: tuple[float, float] | None
    p: float
    boots: tuple[int, int]
    reason: str
    worse: bool = False
    report_only: bool = False
    drifted: bool = False

    @property
    def fails(self) -> bool:
        """Whether the finding fails the session."""
        return self.verdict == REGRESSED and not self.report_only

    def as_dict(self) -> dict[str, Any]:
        """Return the finding for `microcloud compare --json`."""
        return asdict(self) | {"labels": dict(self.labels)}


class Rules:
    """The rules of all metrics: the shipped rules, overridden by the rules in the user's files."""

    def __init__(self, files: Iterable[Path] = ()) -> None:
        shipped = resources.files(__package__).joinpath("gate.toml")
        self._tables: dict[str, dict[str, Any]] = tomllib.loads(shipped.read_text(encoding="utf-8"))
        self._own: dict[str, Path] = {}
        for file in files:
            for name, table in _read(file).items():
                self._tables[name] = self._tables.get(name, {}) | table
                self._own[name] = file

    def of(self, metric: str) -> Rule:
        """Return the rule of a metric."""
        return Rule(**(self._tables["default"] | self._tables.get(metric, {})))

    def too_few(self, boots: int) -> str:
        """Return a warning if this many boots per side are too few even for one metric; else ""."""
        needed = ranks.boots_needed(float(self._tables["default"]["q"]))
        if boots >= needed:
            return ""
        measured = f"{boots} boot{'s' if boots > 1 else ''}"
        return f"inconclusive with {measured}: needs {needed} boots per side, and more for many metrics"

    def idle(self, metrics: Collection[str]) -> Iterator[str]:
        """Yield a warning for each of the user's rules that applies to none of these metrics."""
        for name, file in self._own.items():
            if name != "default" and name not in metrics:
                yield f"{file}: the rule for {name} has no effect, because neither run has this metric"


def compare(
    baseline: Mapping[Key, Series], candidate: Mapping[Key, Series], rules: Rules | None = None
) -> list[Finding]:
    """Return a finding for each metric that both runs measured, in the candidate's order."""
    rules = rules or Rules()
    both = [key for key in candidate if key in baseline and baseline[key].values and candidate[key].values]
    judged = [_Judged(key, baseline[key], candidate[key], rules.of(key[1])) for key in both]
    return [
        finding
        for report_only in (False, True)
        for finding in _family([j for j in judged if j.rule.report_only == report_only])
    ]


def series(run: Run, stage: str = "") -> dict[Key, Series]:
    """Return the series of all metrics that a run measured.

    `stage` is "baseline" or "candidate" for tests that confirm the gate's suspects, and empty for all others.
    """
    measured = per_boot(run, stage)
    found = {}
    for key, boots in measured.items():
        last = boots[max(boots)][-1]
        found[key] = Series(last.unit, last.better, tuple(boot_values(measured, key)))
    return found


def suspects(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings to measure again: worse than the baseline, with a p of at most `SCREEN_P`."""
    return [f for f in findings if f.worse and f.p <= SCREEN_P and not f.report_only]


def fresh_boots(suspects: Sequence[Finding], rules: Rules, *, tests: int = 0) -> int:
    """Return how many fresh boots per side are needed to confirm the suspects.

    `tests` is the number of metrics to adjust for, if larger than the number of suspects. The result is at
    least the number of boots that found the suspects, on the side that had more. It includes a few more boots
    than the rank test needs, so that one invalid boot does not make the test inconclusive.
    """
    q = min(rules.of(finding.metric).q for finding in suspects) / max(tests, len(suspects))
    return max(ranks.boots_needed(q) + SPARE_BOOTS, *(boots for f in suspects for boots in f.boots))


def overall(findings: Sequence[Finding]) -> str:
    """Return one verdict for all findings."""
    there = {finding.verdict for finding in findings if not finding.report_only}
    if REGRESSED in there or not there - {TOO_FEW}:
        return REGRESSED if REGRESSED in there else TOO_FEW
    return IMPROVED if IMPROVED in there else NO_EVIDENCE


def _family(judged: Sequence[_Judged]) -> list[Finding]:
    """Return the findings on these metrics, with one false discovery rate controlled over all of them."""
    adjusted = ranks.adjusted([j.p for j in judged])
    return [j.finding(p, len(judged)) for j, p in zip(judged, adjusted, strict=True)]


@dataclass(frozen=True)
class Scale:
    """The scale on which a metric's values are compared; `to` converts a value to the scale.

    `smallest` is the smallest change that matters, on the scale. `ratio` converts a shift on the scale to a
    ratio, or to None if the median is 0. `describe` converts a shift to words.
    """

    to: Callable[[float], float]
    smallest: float
    ratio: Callable[[float], float | None]
    describe: Callable[[float], str]


class _Judged:
    """One metric of one board: the values of baseline and candidate, and the p of the rank test."""

    def __init__(self, key: Key, baseline: Series, candidate: Series, rule: Rule) -> None:
        self.key = key
        self.rule = rule
        self.worse = 1 if candidate.better == "lower" else -1
        self.scale = scale_of(rule, baseline.values, candidate.values)
        self.before = [self.scale.to(value) for value in baseline.values]
        self.after = [self.scale.to(value) for value in candidate.values]
        self.p = ranks.p_value(self.before, self.after)

    def finding(self, adjusted: float, metrics: int) -> Finding:
        """Return the finding; `adjusted` is p adjusted for the number of `metrics`."""
        scale, rule, boots = self.scale, self.rule, (len(self.before), len(self.after))
        shift, low, high = ranks.shift(self.before, self.after, rule.confidence)
        ends = (scale.ratio(low), scale.ratio(high))
        interval = (ends[0], ends[1]) if ends[0] is not None and ends[1] is not None else None
        verdict, reason = NO_EVIDENCE, ""
        if adjusted <= rule.q and abs(shift) >= scale.smallest:
            verdict = REGRESSED if shift * self.worse > 0 else IMPROVED
            reason = scale.describe(shift)
        elif adjusted <= rule.q:
            reason = f"{scale.describe(shift)}, too little to matter"
        elif ranks.smallest_p(*boots) > rule.q / metrics:
            verdict = TOO_FEW
            needed = ranks.boots_needed(rule.q / metrics)
            reason = f"needs {needed} boots per side for {metrics} metrics"
        elif interval and 1 - rule.ruled_out <= interval[0] and interval[1] <= 1 + rule.ruled_out:
            reason = f"≥{rule.ruled_out:.0%} ruled out"
        board, metric, labels = self.key
        return Finding(
            board,
            metric,
            dict(labels),
            verdict,
            scale.ratio(shift),
            interval,
            self.p,
            boots,
            reason,
            shift * self.worse > 0,
            rule.report_only,
        )


def scale_of(rule: Rule, before: Sequence[float], after: Sequence[float] = ()) -> Scale:
    """Return the scale for the changes of a metric; ratios are relative to the median of `before`."""
    middle = statistics.median(before)
    if rule.scale == "ladder":
        return Scale(
            ladder.rank,
            1.0,
            lambda shift: ladder.clients_on(ladder.rank(middle) + shift) / middle if middle else None,
            lambda shift: f"{shift:+.3g} rungs",
        )
    if rule.scale == "ratio" and min(*before, *after) > 0:
        return Scale(math.log, math.log1p(rule.effect), _ratio, lambda shift: f"{_ratio(shift) - 1:+.1%}")
    least = max(rule.effect * abs(middle), 1.0 if rule.scale == "count" else 0.0)
    return Scale(
        float,
        least,
        lambda shift: (middle + shift) / middle if middle else None,
        lambda shift: f"{shift:+.3g}",
    )


def _ratio(shift: float) -> float:
    """Return the ratio for a difference of logarithms, limited to the range of floats."""
    return math.exp(min(shift, LARGEST_SHIFT))


def _read(file: Path) -> dict[str, dict[str, Any]]:
    """Read a user's file of rules. If a rule is wrong, raises CatalogError with the file and the key."""
    tables = toml_file.read(file)
    kinds = {field.name: field.type for field in fields(Rule)}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise CatalogError(f'{file}: key "{name}": a table is needed, not {table!r}')
        for key, value in table.items():
            if key not in kinds:
                raise CatalogError(f'{file}: key "{name}.{key}": expected one of {", ".join(kinds)}')
            if wanted := _wrong(key, value):
                raise CatalogError(f'{file}: key "{name}.{key}": {wanted} is needed, not {value!r}')
    return tables


def _wrong(key: str, value: object) -> str:
    """Return what a rule's value should be; empty if the value is valid."""
    if key == "report_only":
        return "" if isinstance(value, bool) else "true or false"
    if key == "scale":
        return "" if value in SCALES else f"one of {', '.join(SCALES)}"
    is_share = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1
    return "" if is_share else "a share between 0 and 1"
