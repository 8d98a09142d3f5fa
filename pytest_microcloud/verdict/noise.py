"""How noisy each board is, from its stored runs: from boot to boot, and from session to session."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_microcloud.catalog import Description
from pytest_microcloud.runs import Run, Skipped
from pytest_microcloud.runs.fingerprint import Fingerprint
from pytest_microcloud.verdict import control_drift, detection, gate

CHANGES = (0.05, 0.10, 0.20)
DEGREES_LEAST = 8
"""Fewest degrees of freedom (a metric's boots, less one per run) that a spread needs. With fewer, its
standard error would exceed a quarter of the spread."""


@dataclass(frozen=True)
class Spread:
    """How much a metric varies from boot to boot, at one set of labels: `cv` is the coefficient of variation.

    `boots` is the number of boots that `cv` comes from. `simulated` is whether the boots needed can be
    computed, which is not possible for metrics that move in steps and for report-only metrics.
    """

    metric: str
    labels: Mapping[str, str]
    cv: float
    boots: int
    headline: bool
    simulated: bool
    rule: gate.Rule


@dataclass
class Noise:
    """The noise of a board with the OS release, SD card and host of its newest run.

    `metrics` is the number of metrics that the gate judges in the board's newest run. `spreads` has all
    metrics with enough boots. `degrees` is the largest number of boots of a metric, less one per run, because
    each run has its own mean.
    """

    board: str
    facts: Fingerprint
    runs: int = 0
    metrics: int = 0
    degrees: int = 0
    spreads: list[Spread] = field(default_factory=list)
    history: control_drift.History = field(default_factory=control_drift.History)

    @property
    def judged(self) -> list[Spread]:
        """The spreads for which the boots needed can be computed; the least noisy metric comes first."""
        return sorted((spread for spread in self.spreads if spread.simulated), key=lambda spread: spread.cv)

    @property
    def worst(self) -> Spread | None:
        """The noisiest metric."""
        return self.judged[-1] if self.judged else None

    @property
    def median(self) -> Spread | None:
        """The metric with median noise; if the number of metrics is even, the noisier of the middle two."""
        return self.judged[len(self.judged) // 2] if self.judged else None

    @property
    def headlines(self) -> list[Spread]:
        """The headline metrics of experiments, each at its noisiest point."""
        found: dict[str, Spread] = {}
        for spread in sorted(self.spreads, key=lambda spread: spread.cv):
            if spread.headline:
                found[spread.metric] = spread
        return [found[metric] for metric in sorted(found)]

    def needed(self, spread: Spread) -> tuple[int | None, ...]:
        """Return for each change in CHANGES how many boots per side the gate needs to find it.

        An item is None if no number of boots is enough. The tuple is empty if `spread.simulated` is False.
        """
        if not spread.simulated:
            return ()
        return tuple(
            detection.boots_needed(spread.cv, change, spread.rule, self.metrics) for change in CHANGES
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the noise as JSON data; spreads are shares of 1."""
        least = control_drift.rule().sessions_least
        return {
            "board": self.board,
            "model": self.facts.model,
            "os_release": self.facts.release,
            "emulated": self.facts.emulated,
            "runs": self.runs,
            "metrics": self.metrics,
            "median": self._plain(self.median),
            "worst": self._plain(self.worst),
            "headlines": [self._plain(spread) for spread in self.headlines],
            "too_few_boots": not self.spreads,
            "control": {
                "sessions": self.history.sessions,
                "spread": {load: self.history.spread(load) for load in self.history.loads},
                "too_few_sessions": self.history.sessions < least,
            },
        }

    def _plain(self, spread: Spread | None) -> dict[str, Any] | None:
        if spread is None:
            return None
        needed = {f"{change:.0%}": n for change, n in zip(CHANGES, self.needed(spread), strict=False)}
        return {
            "metric": spread.metric,
            "labels": dict(spread.labels),
            "cv": spread.cv,
            "boots": spread.boots,
            "boots_needed": needed,
        }


def of_boards(
    runs: Iterable[Run | Skipped], rules: gate.Rules, experiments: Mapping[str, Description]
) -> dict[str, Noise]:
    """Return the noise of each board, as a dict by board; `runs` must start with the newest run.

    Runs in which a board has another OS release, card or host than in its newest run are left out, and so
    are older runs beyond `control_drift.Rule.sessions_most`.
    """
    found: dict[str, Noise] = {}
    values: dict[str, dict[gate.Key, list[list[float]]]] = {}
    described = dict(experiments)
    for run in runs:
        if isinstance(run, Skipped):
            continue
        measured = gate.series(run)
        described = {**run.experiments, **described}
        for name, facts in run.boards.items():
            noise = found.setdefault(name, Noise(name, facts))
            if noise.runs >= control_drift.rule().sessions_most or not control_drift.same(facts, noise.facts):
                continue
            noise.runs += 1
            noise.metrics = noise.metrics or sum(
                not rules.of(metric).report_only for _, metric, _ in measured
            )
            for session in run.controls[name].sessions() if name in run.controls else ():
                noise.history.add(session)
            for key, series in measured.items():
                if key[0] == name:
                    values.setdefault(name, {}).setdefault(key, []).append(list(series.values))
    for name, noise in found.items():
        for key, per_run in values.get(name, {}).items():
            _add(noise, key, per_run, rules.of(key[1]), _is_headline(key, described.values()))
    return dict(sorted(found.items()))


def _add(
    noise: Noise, key: gate.Key, per_run: Iterable[list[float]], rule: gate.Rule, headline: bool
) -> None:
    """Add the spread of a metric, pooled over its runs, if the metric has enough boots."""
    several = [values for values in per_run if len(values) > 1 and min(values) > 0]
    degrees = sum(len(values) - 1 for values in several)
    noise.degrees = max(noise.degrees, degrees)
    if degrees < DEGREES_LEAST:
        return
    squares = sum((len(v) - 1) * statistics.variance(map(math.log, v)) for v in several)
    cv = math.sqrt(math.expm1(squares / degrees))
    _, metric, labels = key
    boots, simulated = sum(map(len, several)), rule.scale == "ratio" and not rule.report_only
    noise.spreads.append(Spread(metric, dict(labels), cv, boots, headline, simulated, rule))


def _is_headline(key: gate.Key, experiments: Iterable[Description]) -> bool:
    _, metric, labels = key
    return any(
        metric == experiment.headline_metric
        and {(name, str(value)) for name, value in experiment.headline_at.items()} <= set(labels)
        for experiment in experiments
    )
