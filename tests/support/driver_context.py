"""What a driver is made from, for tests that make one by hand."""

from __future__ import annotations

from pathlib import Path

from pytest_microcloud import catalog as catalogs
from pytest_microcloud.boards.drivers.protocol import DriverContext
from pytest_microcloud.controller import engine
from pytest_microcloud.inventory.target import Target


def context(target: Target, *, gateway: str = "") -> DriverContext:
    """Return the context of a driver for that target, outside of any run; `gateway` is the site of one."""
    model = catalogs.load().model(target.model)
    return DriverContext(target, model, "run", Path(), (), print, engine.host_engine, None, gateway)
