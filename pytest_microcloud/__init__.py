"""pytest-microcloud: can this board host a micro-cloud?"""

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
