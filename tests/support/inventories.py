"""Reading an inventory with the shipped drivers and a few board models."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_microcloud import inventory as inventories
from pytest_microcloud.boards.drivers import DEFAULT
from pytest_microcloud.errors import InventoryError
from pytest_microcloud.inventory.target import DriverRules, Target
from pytest_microcloud.shipped import registry

MODELS = ("pi1b", "pi2b", "pi3b", "t2_small")
RULES = registry().driver_rules

QEMU = {"qemu": DriverRules()}


read = functools.partial(inventories.read, drivers=RULES, default_driver=DEFAULT)

Choose = Callable[[str], list[Target]]

Write = Callable[[str], Path]


def names(targets: list[Target]) -> str:
    return " ".join(target.name for target in targets)


def mistake(file: Path, pattern: str = "all") -> str:
    """Return the error message, which is one line."""
    with pytest.raises(InventoryError) as raised:
        read(file, pattern, MODELS)
    text = str(raised.value)
    assert "\n" not in text
    assert "Traceback" not in text
    return text
