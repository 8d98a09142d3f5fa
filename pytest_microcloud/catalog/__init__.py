"""What is known beforehand: board models, workloads, limits, efforts; TOML read into frozen dataclasses."""

from pytest_microcloud.catalog.loader import Catalog, load, metric
from pytest_microcloud.catalog.records import BoardModel, Effort, Experiment, Limit, Metric, Ready, Workload

__all__ = [
    "BoardModel",
    "Catalog",
    "Effort",
    "Experiment",
    "Limit",
    "Metric",
    "Ready",
    "Workload",
    "load",
    "metric",
]
