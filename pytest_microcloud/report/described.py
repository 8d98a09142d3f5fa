"""The experiments on a page: first those in the catalog, then those that only run files describe."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pytest_microcloud.catalog import Catalog, Description, Metric
from pytest_microcloud.runs import Run

BETTER: dict[str, Literal["lower", "higher"]] = {"lower": "lower", "higher": "higher"}


class Described:
    """The descriptions of experiments in run files. Add the runs from the oldest to the newest."""

    def __init__(self) -> None:
        self._stored: dict[str, Description] = {}
        self._measured: dict[str, dict[str, Metric]] = {}

    def add(self, run: Run) -> None:
        """Add the experiments of a run."""
        self._stored |= {name: replace(stored, name=name) for name, stored in run.experiments.items()}
        for entry in run.entries:
            for m in entry.measurements:
                metric = Metric(m.metric, m.unit, BETTER.get(m.better, "lower"))
                self._measured.setdefault(entry.experiment, {})[m.metric] = metric

    def extend(self, catalog: Catalog) -> Catalog:
        """Return the catalog, extended by the experiments of the added runs that the catalog does not know.

        An experiment that no run describes gets the metrics that its tests measured.
        """
        measured = {
            name: Description(name=name, metrics=tuple(metrics.values()))
            for name, metrics in self._measured.items()
        }
        known = dict(catalog.experiments)
        return replace(catalog, experiments={**known, **measured, **self._stored, **known})
