"""Determines the number of this host's CPUs on which 7-Zip reaches the rating published for a board.

The rating is the `Tot:` of `7z b -mmt<threads> -md22`. The number of threads is that of the board's cores, or
of this host's cores if there are fewer. The conditions are those of a running board: 7-Zip has a CPU quota,
because a throttled process has colder caches, and the loops of `Awake` run. Readings are repeated until their
mean is precise enough. The result is cached per host, published figure and image; models with the same
processor share it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from pytest_microcloud.catalog import BoardModel
from pytest_microcloud.controller import turns
from pytest_microcloud.controller.engine import ended, host_labels
from pytest_microcloud.errors import EngineError, HostTooSmall

if TYPE_CHECKING:
    from docker import DockerClient

PERIOD_US = 10_000
"""The period of the CPU bandwidth controller. It is short: with the default of 100 ms, latencies come in
bursts."""
SMALLEST_QUOTA_US = 1_000
"""The smallest CPU quota that the kernel accepts. A board that needs less gets a longer period instead."""
TYPICAL_MIPS_PER_CPU = 5200.0
STANDARD_ERROR = 0.02
"""7-Zip's rating is read repeatedly until the relative standard error of the mean is at most this."""
FEWEST_READINGS = 4
MOST_READINGS = 8
ALIKE = 0.15
"""Two readings are comparable (in MIPS per CPU) if their CPU quotas differ by at most this fraction."""
DEADLINE_S = 1200
"""Timeout of one run of 7-Zip: with 0.05 CPUs, it takes about two minutes on an idle host."""


@dataclass(frozen=True)
class Calibration:
    """The number of this host's CPUs that a board gets, and 7-Zip's rating on these CPUs (MIPS, all cores).

    `published` is the rating published for the board's model. `scatter` is the standard deviation of one
    reading, as a share of the rating.
    """

    cpus: float
    rating: float
    published: float
    scatter: float

    @property
    def deviation(self) -> float:
        """Relative deviation of the rating from the published figure; positive if the board is too fast."""
        return self.rating / self.published - 1


def threads(model: BoardModel) -> int:
    """Return the number of CPUs that an emulated board of this model sees on this host."""
    return min(model.cores, os.cpu_count() or 1)


def calibrate(
    engine: DockerClient, image: str, model: BoardModel, run_id: str, say: Callable[[str], None]
) -> Calibration:
    """Return how many host CPUs reach the model's published 7-Zip rating, measured once and then cached.

    Raises HostTooSmall if even all CPUs that a board of this model may use do not reach the rating.
    """
    cache = _cache_file(image, model)
    if cache.is_file():
        return Calibration(**json.loads(cache.read_text()))
    with turns.turn(math.inf, say):
        found = _search(engine, image, model, run_id, say)
    if found.deviation < -0.05:
        raise HostTooSmall(
            model.id,
            f"needs a 7-Zip rating of {found.published:.0f} MIPS, but this host reaches only "
            f"{found.rating:.0f} MIPS on {threads(model)} cores: emulate the board on a host with at least "
            f"{math.ceil(threads(model) * found.published / found.rating)} cores of this speed, or use a "
            "real board",
        )
    cache.parent.mkdir(parents=True, exist_ok=True)
    partial = cache.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(asdict(found)))
    partial.rename(cache)
    return found


def _search(
    engine: DockerClient, image: str, model: BoardModel, run_id: str, say: Callable[[str], None]
) -> Calibration:
    wanted, most = model.sevenzip_mips_all_cores, float(threads(model))
    share = min(wanted / TYPICAL_MIPS_PER_CPU, most)
    readings: list[tuple[float, float]] = []
    alike: list[float] = []
    while len(readings) < MOST_READINGS and not _settled(alike):
        say(
            f"calibrating {model.id} with 7-Zip on {share:.2f} CPUs (only needed once on this host): "
            f"reading {len(readings) + 1} of at most {MOST_READINGS}"
        )
        readings.append((share, _rating(engine, image, share, threads(model), run_id) / share))
        share = min(wanted / statistics.median(per_cpu for _, per_cpu in readings), most)
        alike = [per_cpu for tried, per_cpu in readings if abs(tried / share - 1) <= ALIKE] or alike
    per_cpu = statistics.median(alike)
    share = min(wanted / per_cpu, most)
    return Calibration(share, share * per_cpu, wanted, statistics.pstdev(alike) / per_cpu)


def _settled(readings: list[float]) -> bool:
    """Return whether the readings are enough (FEWEST_READINGS) and their mean is precise (STANDARD_ERROR)."""
    if len(readings) < FEWEST_READINGS:
        return False
    error = statistics.stdev(readings) / math.sqrt(len(readings))
    return error / statistics.fmean(readings) <= STANDARD_ERROR


def bandwidth(share: float) -> dict[str, int]:
    """Return a dict from docker-py's options to the CPU period and quota (µs) that limit to `share` CPUs."""
    period = max(PERIOD_US, int(SMALLEST_QUOTA_US / share) + 1)
    return {"cpu_period": period, "cpu_quota": int(share * period)}


def _rating(engine: DockerClient, image: str, share: float, count: int, run_id: str) -> float:
    limits = bandwidth(share)
    with ended(
        engine,
        image,
        ["b", f"-mmt{count}", "-md22", "1"],
        board="this machine",
        step="calibrating with 7-Zip",
        timeout_s=DEADLINE_S,
        entrypoint="7z",
        cpu_period=limits["cpu_period"],
        cpu_quota=limits["cpu_quota"],
        cpuset_cpus=f"0-{count - 1}",
        labels=host_labels(run_id),
    ) as container:
        output = container.logs().decode(errors="replace")
    total = re.search(r"^Tot:\s+\d+\s+\d+\s+(\d+)", output, re.MULTILINE)
    if total is None:
        raise EngineError("this machine", f"7z b printed no total: {output[-200:]}")
    return float(total.group(1))


def _cache_file(image: str, model: BoardModel) -> Path:
    key = (
        f"{host_cpu()} {os.cpu_count()} {image} {model.sevenzip_mips_all_cores} {threads(model)} {PERIOD_US}"
    )
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    return cache_directory() / f"{model.sevenzip_mips_all_cores:.0f}mips-{digest}.json"


def host_cpu() -> str:
    """Return the line `model name` of this host's /proc/cpuinfo; an empty string if the line is missing."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line for line in lines if line.startswith("model name")), "")


def cache_directory() -> Path:
    """Return the directory of the cached calibrations, one file each."""
    return Path(platformdirs.user_cache_path("microcloud")) / "calibration"
