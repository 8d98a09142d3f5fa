"""Collects the experiments that a page shows: those in the catalog, and others that run files describe."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pytest_microcloud.catalog import Catalog, Description, Metric
from pytest_microcloud.runs import Run

BETTER: dict[str, Literal["lower", "higher"]] = {"lower": "lower", "higher": "higher"}


class Described:
    """Collects descriptions of experiments from runs, which must be added from the oldest to the newest."""

    def __init__(self) -> None:
        self._stored: dict[str, Description] = {}
        self._measured: dict[str, dict[str, Metric]] = {}

    def add(self, run: Run) -> None:
        """Add the experiments that a run describes or measured."""
        self._stored |= {name: replace(stored, name=name) for name, stored in run.experiments.items()}
        for entry in run.entries:
            for m in entry.measurements:
                metric = Metric(m.metric, m.unit, BETTER.get(m.better, "lower"))
                self._measured.setdefault(entry.experiment, {})[m.metric] = metric

    def extend(self, catalog: Catalog) -> Catalog:
        """Return a copy of the catalog, plus the experiments that only the added runs have.

        An experiment that no run describes gets the metrics that its tests measured.
        """
        measured = {
            name: Description(name=name, metrics=tuple(metrics.values()))
            for name, metrics in self._measured.items()
        }
        known = dict(catalog.experiments)
        return replace(catalog, experiments={**known, **measured, **self._stored, **known})
