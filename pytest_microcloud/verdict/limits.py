"""Judging measurements against the limits of their board model."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_microcloud.catalog import Catalog, Limit
from pytest_microcloud.measurement import Measurement, shown


def judge(measurements: Iterable[Measurement], model: str, catalog: Catalog) -> list[str]:
    """Give each measurement its limit and verdict; return a sentence for each missed limit.

    Invalid measurements are not judged. A measurement that the experiment found infeasible stays infeasible.
    """
    missed = []
    for measurement in measurements:
        if measurement.verdict == "invalid":
            continue
        if measurement.verdict == "infeasible":
            missed.append(f"{measurement.metric}: {measurement.reason}")
            continue
        limit = catalog.limit(model, measurement.metric, measurement.labels)
        if limit is not None and (sentence := apply(limit, measurement)):
            missed.append(sentence)
    return missed


def apply(limit: Limit, measurement: Measurement) -> str | None:
    """Judge one measurement by one limit; return a sentence if the limit is missed.

    The sentence has metric, value, limit and source, and is added to the measurement's reason.
    """
    bound, kind = (limit.max, "max") if limit.max is not None else (limit.min, "min")
    if bound is None:
        return None
    value = measurement.statistic(limit.statistic)
    measurement.limit = {kind: bound, "statistic": limit.statistic, "source": limit.source}
    kept = value <= bound if kind == "max" else value >= bound
    if kept:
        measurement.verdict = "feasible"
        return None
    labels = ", ".join(f"{key}={label}" for key, label in measurement.labels.items())
    sentence = (
        f"{measurement.metric}{f' ({labels})' if labels else ''}: {limit.statistic} "
        f"{shown(value, measurement.unit)} {'exceeds' if kind == 'max' else 'is below'} the limit of "
        f"{shown(bound, measurement.unit)} for {limit.model} — {limit.source}"
    )
    measurement.verdict = "infeasible"
    measurement.reason = f"{measurement.reason}; {sentence}" if measurement.reason else sentence
    return sentence
