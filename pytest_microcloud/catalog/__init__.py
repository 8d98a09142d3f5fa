"""What is known beforehand: board models, workloads, limits and efforts, read from TOML into frozen dataclasses."""

from pytest_microcloud.catalog.loader import Catalog, load
from pytest_microcloud.catalog.records import BoardModel, Effort, Limit, Ready, Workload

__all__ = ["BoardModel", "Catalog", "Effort", "Limit", "Ready", "Workload", "load"]
