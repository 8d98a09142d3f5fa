"""How long a step takes, roughly, from the model's figures: for `--microcloud-plan`, not for judging."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_microcloud.catalog import BoardModel, Catalog, Effort
from pytest_microcloud.catalog.picture import PICTURE_BYTES

REFERENCE_MIPS = 4000.0
"""7-Zip MIPS of the core that the workloads' typical start times are given for."""
SERVER_START_S = 3.0
PAGE_CPU_S = 0.002
BOOT_S = 20.0
POWER_ON_S = 13.0
FILE_LAYOUT_BYTES = 32 * 2**20
RESERVED_BYTES = 150e6


def step_s(
    experiment: str,
    test: str,
    parameters: Mapping[str, Any],
    model: BoardModel,
    effort: Effort,
    catalog: Catalog,
) -> float:
    """Return the estimated duration of one test (s)."""
    slowness = REFERENCE_MIPS / model.sevenzip_mips_all_cores
    if experiment == "serving":
        page_s = max(8 * PICTURE_BYTES / (model.ethernet_bits_per_s or 1e9), PAGE_CPU_S * slowness)
        return SERVER_START_S * max(1.0, slowness) + effort.requests * effort.serving_rounds * page_s
    if experiment == "hosting":
        workload = catalog.workloads.get(str(parameters.get("workload")))
        if workload is None or not workload.built_here:
            return 0.0
        room = max(0.0, model.mem_total_bytes - RESERVED_BYTES) / workload.typical_memory_bytes
        start_s = workload.typical_start_s * slowness + 0.5
        filling = min(room * start_s, effort.filling_seconds + 5 * start_s) * effort.fillings
        return filling * 1.4  # removing them takes time, too
    if experiment == "io":
        size, rounds, seconds = int(parameters.get("size", 4096)), effort.io_rounds, effort.io_seconds
        if "memory" in test:
            return rounds * (max(1.0, seconds) + 0.3)
        read, write = model.disk_read_bytes_per_s or 1e8, model.disk_write_bytes_per_s or 1e8
        layout = max(FILE_LAYOUT_BYTES, size) / write
        return layout + rounds * (max(seconds, size / read) + max(seconds, size / write) + 1)
    if experiment == "startup":
        return effort.boots * BOOT_S
    return 1.0
