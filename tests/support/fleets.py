"""Made-up run files of a fleet of equal boards, some of which are made slower, or slower from run to run."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_microcloud.catalog import metric as known_metric
from tests.support import run_files

SIZES = ("4KiB", "64KiB", "1MiB", "16MiB", "64MiB")
POINTS: dict[str, tuple[float, list[dict[str, str | int]]]] = {
    **{
        metric: (0.01, [{"size": size} for size in SIZES])
        for metric in ("io.disk_read_time", "io.disk_write_time", "io.memory_time")
    },
    "serving.page_time": (
        0.5,
        [{"setting": s, "clients": c} for s in ("native", "docker") for c in (50, 250)],
    ),
    "serving.capacity": (120.0, [{"setting": setting} for setting in ("native", "docker")]),
    "serving.failures": (0.0, [{"setting": "native", "clients": 50}]),
    "hosting.containers": (60.0, [{"workload": workload} for workload in ("httpd", "ruby")]),
    "hosting.start_time": (1.5, [{"workload": workload} for workload in ("httpd", "ruby")]),
    "startup.ready_time": (15.0, [{}]),
    "startup.container_time": (18.0, [{}]),
}
"""By metric, its usual value and its points."""
BETWEEN_BOARDS, BETWEEN_METRICS, BETWEEN_POINTS = 0.02, 0.02, 0.03
"""Coefficients of variation."""


def write(
    directory: Path,
    boards: int,
    *,
    seed: object = 1,
    slower: Mapping[str, Mapping[str, float]] | None = None,
    sessions: int = 1,
    drift: Mapping[str, tuple[str, float]] | None = None,
    **facts: Any,
) -> Path:
    """Write run files of boards pi3b-1, pi3b-2 and so on, and return the directory.

    `slower` has factors by board and metric, `drift` a metric by board and its factor from run to run.
    """
    source = random.Random(str(seed))
    names = [f"pi3b-{number}" for number in range(1, boards + 1)]
    fingerprints = {
        name: run_files.fingerprint(**{"card": {"cid": f"card of {name}", "name": "SD16G"}} | facts)
        for name in names
    }
    for session in range(1, sessions + 1):
        benchmarks = []
        for name in names:
            factors = dict((slower or {}).get(name, {}))
            if drift and name in drift:
                metric, each = drift[name]
                factors[metric] = factors.get(metric, 1.0) * each ** (session - 1)
            benchmarks += _measured(source, name, factors)
        taken = f"2026-03-{session:02d}T12:00:00+00:00"
        run_files.store(directory / f"202603{session:02d}.json", benchmarks, fingerprints, taken=taken)
    return directory


def _measured(source: random.Random, board: str, factors: Mapping[str, float]) -> list[dict[str, Any]]:
    of_board = source.gauss(0, BETWEEN_BOARDS)
    benchmarks = []
    for metric, (usual, points) in POINTS.items():
        of_metric = source.gauss(0, BETWEEN_METRICS)
        for labels in points:
            value = usual * factors.get(metric, 1.0)
            value *= math.exp(of_board + of_metric + source.gauss(0, BETWEEN_POINTS))
            if known_metric(metric).unit in ("clients", "containers", "1"):
                value = float(round(value))
            benchmarks.append(run_files.benchmark(metric, [value], board=board, **labels))  # type: ignore[arg-type]
    return benchmarks
