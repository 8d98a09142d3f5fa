"""Can this board host a micro-cloud? A pytest plugin that answers the question with a test suite.

The public interface is what this module exports, plus the functions of `pytest_microcloud.experiments` and
`pytest_microcloud.verdict.claims` that suites call. Everything else is private.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pytest_microcloud.errors import (
    BoardError,
    CatalogError,
    InvalidMeasurement,
    InventoryError,
    LimitMissed,
    MicrocloudError,
    NotMeasured,
    UserMistake,
)

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.boards.drivers.protocol import Driver, DriverContext, Found
    from pytest_microcloud.boards.drivers.ssh import SshDriver
    from pytest_microcloud.boards.endpoint import Endpoint
    from pytest_microcloud.catalog.description import Chart, Mark, Metric
    from pytest_microcloud.experiments.deploy import Deployment, Server
    from pytest_microcloud.experiments.record import Axis, Experiment, Step
    from pytest_microcloud.measurement import Measurement

__all__ = [
    "Axis",
    "Board",
    "BoardError",
    "CatalogError",
    "Chart",
    "Deployment",
    "Driver",
    "DriverContext",
    "Endpoint",
    "Experiment",
    "Found",
    "InvalidMeasurement",
    "InventoryError",
    "LimitMissed",
    "Mark",
    "Measurement",
    "Metric",
    "MicrocloudError",
    "NotMeasured",
    "Server",
    "SshDriver",
    "Step",
    "UserMistake",
]
__version__ = "0.1.0"

_HOME = {
    "Axis": "experiments.record",
    "Board": "boards.board",
    "Chart": "catalog.description",
    "Deployment": "experiments.deploy",
    "Driver": "boards.drivers.protocol",
    "DriverContext": "boards.drivers.protocol",
    "Endpoint": "boards.endpoint",
    "Experiment": "experiments.record",
    "Found": "boards.drivers.protocol",
    "Mark": "catalog.description",
    "Measurement": "measurement",
    "Metric": "catalog.description",
    "Server": "experiments.deploy",
    "SshDriver": "boards.drivers.ssh",
    "Step": "experiments.record",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that the plugin does not slow down other projects."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
