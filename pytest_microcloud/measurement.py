"""A measurement: one metric of one board, with its labels and samples."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_microcloud.catalog import metric as known_metric

Labels = Mapping[str, str | int]
NO_LIMIT = "no limit is set"


@dataclass
class Measurement:
    """One metric with its samples, in the metric's SI unit.

    `verdict` is "feasible", "infeasible", "invalid" or "not measured", and `reason` says why in words.
    `limit` is the limit that the measurement was judged by: a dict with the keys "max" or "min", "statistic"
    and "source". Without a limit, a measurement is "feasible" unless the experiment found otherwise, and its
    `remark` says that no limit is set.
    """

    metric: str
    samples: list[float]
    labels: dict[str, str | int] = field(default_factory=dict)
    verdict: str = "feasible"
    reason: str = ""
    limit: dict[str, Any] | None = None
    unit: str = ""
    better: str = ""

    def __post_init__(self) -> None:
        if not self.unit:
            known = known_metric(self.metric)
            self.unit, self.better = known.unit, known.better

    def statistic(self, name: str) -> float:
        """Return a statistic of the samples: "median", "mean", "min", "max", "sum", or a quantile ("p95")."""
        if name.startswith("p"):
            return quantile(self.samples, float(name[1:]) / 100)
        functions: dict[str, Callable[[list[float]], float]] = {
            "median": statistics.median,
            "mean": statistics.fmean,
            "min": min,
            "max": max,
            "sum": math.fsum,
        }
        return float(functions[name](self.samples))

    @property
    def median(self) -> float:
        """The median of the samples."""
        return self.statistic("median")

    @property
    def judged(self) -> bool:
        """Whether something was judged: false only if the verdict is "feasible" and no limit is set."""
        return self.limit is not None or self.verdict != "feasible"

    @property
    def remark(self) -> str:
        """The reason as it is displayed and stored: with "no limit is set" added if nothing was judged."""
        parts = (self.reason, "" if self.judged else NO_LIMIT)
        return "; ".join(dict.fromkeys(part for part in parts if part))

    def as_dict(self) -> dict[str, Any]:
        """Return the measurement as a dict for the run file."""
        return {
            "metric": self.metric,
            "unit": self.unit,
            "better": self.better,
            "labels": dict(self.labels),
            "samples": self.samples,
            "limit": self.limit,
            "verdict": self.verdict,
            "reason": self.remark,
        }


def quantile(samples: Iterable[float], q: float) -> float:
    """Return the q-quantile (0 to 1) by linear interpolation between order statistics, as numpy does."""
    ordered = sorted(samples)
    place = (len(ordered) - 1) * q
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def pooled(rounds: Iterable[Iterable[Measurement]]) -> list[Measurement]:
    """Join the measurements of several rounds: those with equal metric and labels become one measurement."""
    joined: dict[tuple[str, tuple[tuple[str, str | int], ...]], Measurement] = {}
    for measurements in rounds:
        for m in measurements:
            key = (m.metric, tuple(sorted(m.labels.items())))
            if key in joined:
                joined[key].samples.extend(m.samples)
                reasons = dict.fromkeys(reason for reason in (joined[key].reason, m.reason) if reason)
                joined[key].reason = "; ".join(reasons)
            else:
                joined[key] = m
    return list(joined.values())


def shown(value: float, unit: str) -> str:
    """Return a value with its unit as a text for people: 0.0123 s as "12.3 ms", 52e6 B as "52 MB"."""
    if unit in ("clients", "containers", "1"):
        return f"{value:g}" if unit == "1" else f"{value:g} {unit}"
    prefixes = ((1e9, "G"), (1e6, "M"), (1e3, "k")) if unit == "B" else ()
    small = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n")) if unit == "s" else ((1.0, ""),)
    for factor, prefix in (*prefixes, *small):
        if abs(value) >= factor:
            return f"{_digits(value / factor)} {prefix}{unit}"
    return f"{_digits(value)} {unit}"


def _digits(number: float) -> str:
    return f"{number:.3g}" if abs(number) < 999.5 else f"{number:.0f}"  # 1234, not 1.23e+03
