"""Models that share a calibration on a host, and the number of readings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.boards.drivers.container import calibration

if TYPE_CHECKING:
    from pytest_microcloud.catalog import Catalog


def test_models_with_the_same_processor_are_calibrated_once(catalog: Catalog) -> None:
    files = {
        name: calibration._cache_file("board:1", catalog.model(name))
        for name in ("pi1b_256", "pi1b", "pi1bplus", "pi2b")
    }
    assert files["pi1b_256"] == files["pi1b"] == files["pi1bplus"]
    assert files["pi2b"] != files["pi1b"]
    assert calibration._cache_file("board:2", catalog.model("pi2b")) != files["pi2b"]


@pytest.mark.parametrize(
    ("readings", "enough"),
    [
        ([3600.0, 3600.0, 3600.0], False),
        ([3600.0, 3650.0, 3580.0, 3620.0], True),
        ([3600.0, 4600.0, 2900.0, 3600.0], False),
    ],
    ids=["few", "alike", "scattered"],
)
def test_readings_are_taken_until_their_mean_is_precise_enough(readings: list[float], enough: bool) -> None:
    assert calibration._settled(readings) is enough
