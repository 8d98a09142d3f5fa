"""The catalog: board models, workloads, limits and efforts, read from TOML into frozen dataclasses."""

from pytest_microcloud.catalog.description import (
    Chart,
    Description,
    Mark,
    Metric,
    add_metrics,
    descriptions,
    metric,
)
from pytest_microcloud.catalog.loader import Catalog, load, loads, revisions, shipped, threshold
from pytest_microcloud.catalog.records import (
    BoardModel,
    Effort,
    Limit,
    Load,
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
    "Chart",
    "Description",
    "Effort",
    "Limit",
    "Load",
    "Mark",
    "Metric",
    "OldCode",
    "PiType",
    "Ready",
    "Revisions",
    "Symptom",
    "Workload",
    "add_metrics",
    "descriptions",
    "load",
    "loads",
    "metric",
    "revisions",
    "shipped",
    "threshold",
]
