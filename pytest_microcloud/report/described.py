"""The experiments of a page: those of the process that writes it, then those that the run files describe."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pytest_microcloud.catalog import Catalog, Description, Metric
from pytest_microcloud.runs import Run

BETTER: dict[str, Literal["lower", "higher"]] = {"lower": "lower", "higher": "higher"}


class Described:
    """What runs tell about their experiments; add them from the oldest."""

    def __init__(self) -> None:
        self._stored: dict[str, Description] = {}
        self._measured: dict[str, dict[str, Metric]] = {}

    def add(self, run: Run) -> None:
        """Note the experiments of a run."""
        self._stored |= {name: replace(stored, name=name) for name, stored in run.experiments.items()}
        for entry in run.entries:
            for m in entry.measurements:
                metric = Metric(m.metric, m.unit, BETTER.get(m.better, "lower"))
                self._measured.setdefault(entry.experiment, {})[m.metric] = metric

    def added_to(self, catalog: Catalog) -> Catalog:
        """Return the catalog with the experiments that it does not know.

        One that no run describes has the metrics that were measured in its tests.
        """
        measured = {
            name: Description(name=name, metrics=tuple(metrics.values()))
            for name, metrics in self._measured.items()
        }
        known = dict(catalog.experiments)
        return replace(catalog, experiments={**known, **measured, **self._stored, **known})
