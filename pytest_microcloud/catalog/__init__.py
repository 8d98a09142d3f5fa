"""What is known beforehand: board models, workloads, limits, efforts; TOML read into frozen dataclasses."""

from pytest_microcloud.catalog.description import Chart, Description, Mark, Metric, descriptions, know, metric
from pytest_microcloud.catalog.loader import Catalog, bearable, load, revisions, shipped
from pytest_microcloud.catalog.records import (
    BoardModel,
    Effort,
    Limit,
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
    "Mark",
    "Metric",
    "OldCode",
    "PiType",
    "Ready",
    "Revisions",
    "Symptom",
    "Workload",
    "bearable",
    "descriptions",
    "know",
    "load",
    "metric",
    "revisions",
    "shipped",
]
