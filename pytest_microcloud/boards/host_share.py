"""How many CPUs of this machine a measurement and its load take; `turns` reserves these CPUs."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from pytest_microcloud.controller import uplink

if TYPE_CHECKING:
    from pytest_microcloud.boards.drivers.protocol import Driver
    from pytest_microcloud.catalog import BoardModel

LOAD_GENERATOR_CPUS = 0.5
"""CPUs of this machine that a load generator and its connection take, roughly."""


def of_measurement(driver: Driver) -> float:
    """Return how many CPUs an emulated board and its load generator take; 0 for any other board."""
    own = driver.host_cpus
    return own + LOAD_GENERATOR_CPUS if own else 0.0


def of_load(driver: Driver, model: BoardModel, address: str) -> float:
    """Return how many CPUs of this machine the load on a board takes.

    If the board's network is a tenth as fast as this machine's, its load takes a tenth of this machine's
    CPUs, but at least LOAD_GENERATOR_CPUS. For an emulated board, the result is 0: `of_measurement` includes
    the load generator, and the load does not use this machine's network.
    """
    if driver.host_cpus:
        return 0.0
    share = (model.ethernet_bits_per_s or 0.0) / (uplink.bits_per_s(address) or math.inf)
    return max(LOAD_GENERATOR_CPUS, share * (os.cpu_count() or 1))
