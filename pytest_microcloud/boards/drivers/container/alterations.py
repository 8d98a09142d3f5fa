"""Describes how the inventory's variables make an emulated board differ from its model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_microcloud.catalog import BoardModel
    from pytest_microcloud.inventory.target import Target


def altered(target: Target, model: BoardModel) -> dict[str, str]:
    """Return the differences from the model: a dict from a short phrase to a full text for `Driver.gaps`."""
    found = {}
    share, rate, round_trip_s = target.cpu_share, target.link_bits_per_s, target.round_trip_s
    if share < 1:
        found[f"{share:.3g} of the model's CPU"] = f"CPU: {share:.3g} of the model's (microcloud_cpu_share)"
    if rate is not None and not math.isclose(rate, model.ethernet_bits_per_s or 0):
        shown = f"{rate / 1e6:g} Mbit/s"
        found[f"a link of {shown}"] = f"link rate: {shown} instead of the model's (microcloud_rate_mbps)"
    if round_trip_s is not None and not math.isclose(round_trip_s, model.round_trip_s or 0):
        shown = f"{round_trip_s * 1000:g} ms"
        found[f"a round trip of {shown}"] = f"round trip: {shown} instead of the model's (microcloud_rtt_ms)"
    return found
