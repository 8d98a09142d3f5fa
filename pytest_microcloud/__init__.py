"""Can this board host a micro-cloud? A pytest plugin that asks it as a test suite."""

from pytest_microcloud.errors import (
    BoardError,
    CatalogError,
    InvalidMeasurement,
    InventoryError,
    LimitMissed,
    MicrocloudError,
    NotMeasured,
)

__all__ = [
    "BoardError",
    "CatalogError",
    "InvalidMeasurement",
    "InventoryError",
    "LimitMissed",
    "MicrocloudError",
    "NotMeasured",
]
__version__ = "0.1.0"
