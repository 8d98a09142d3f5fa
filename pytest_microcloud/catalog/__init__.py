"""What is known beforehand: board models, workloads, limits, efforts; TOML read into frozen dataclasses."""

from pytest_microcloud.catalog.loader import Catalog, bearable, load, metric, revisions, shipped
from pytest_microcloud.catalog.records import (
    BoardModel,
    Effort,
    Experiment,
    Limit,
    Metric,
    OldCode,
    PiType,
    Ready,
    Revisions,
    Symptom,
    Workload,
)

__all__ = [
    "BoardModel",
    "Catalog",
    "Effort",
    "Experiment",
    "Limit",
    "Metric",
    "OldCode",
    "PiType",
    "Ready",
    "Revisions",
    "Symptom",
    "Workload",
    "bearable",
    "load",
    "metric",
    "revisions",
    "shipped",
]
