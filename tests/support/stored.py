"""Made-up run files for page tests, of any model, OS release and number of boots."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_microcloud import catalog as catalogs
from pytest_microcloud.catalog import metric as known_metric
from pytest_microcloud.measurement import Measurement
from pytest_microcloud.verdict.limits import judge
from tests.support import run_files
from tests.support.run_files import BOOKWORM

CLIENTS = (50, 100, 150, 200, 250)
SIZES = {"4KiB": 4096, "64KiB": 65536, "1MiB": 1 << 20, "16MiB": 1 << 24, "64MiB": 1 << 26}
MEMORY = {"httpd": 10.6e6, "ruby": 12.4e6, "zookeeper": 52e6}

Labels = dict[str, str | int]


def write(
    directory: Path,
    name: str,
    model: str = "pi3b",
    *,
    board: str | None = None,
    os_release: str = BOOKWORM,
    emulated: bool = True,
    boots: int = 1,
    taken: str = "2026-03-01T12:00:00+00:00",
    slower: float = 1.0,
    text: str = "",
    **facts: Any,
) -> Path:
    """Write a run of one board; `text` is used wherever a file may contain foreign text."""
    source = random.Random(name)
    board = board or f"{model}{'-emulated' if emulated else '-desk'}"
    fingerprint: dict[str, Any] = {
        "model": model,
        "driver": "container" if emulated else "ssh",
        "emulated": emulated,
        "not_emulated": ["instruction set: the host's", *([text] if text else [])] if emulated else [],
        "os_release": os_release,
        "kernel": f"6.1.0{text}",
        "isa": "x86_64" if emulated else "armv7l",
        "cpus": 4,
        "memory_bytes": 961_544_192,
        "docker_version": f"20.10.24{text}",
        **facts,
    }
    benchmarks = []
    for boot in range(1, boots + 1):
        for test, experiment, measurements in _tests(source, model, slower, text):
            judge(measurements, model, catalogs.shipped())
            stored = [m.as_dict() for m in measurements]
            where = f"{test}[{board}-boot{boot}]"
            benchmarks.append(
                run_files.stored(
                    where, experiment, stored, board, model=model, driver=fingerprint["driver"], boot=boot
                )
            )
    outcome = {"board": board, "experiment": "io", "test": "own", "verdict": "invalid", "reason": text}
    outcomes = [outcome] if text else []
    file, boards = directory / f"{name}.json", {board: fingerprint}
    return run_files.store(file, benchmarks, boards, taken=taken, effort="standard", outcomes=outcomes)


def _tests(
    source: random.Random, model: str, slower: float, text: str
) -> Iterator[tuple[str, str, list[Measurement]]]:
    known = catalogs.shipped().model(model if model in catalogs.shipped().models else "pi3b")
    slow = slower * 2970 / known.sevenzip_mips_all_cores
    boot = source.lognormvariate(0, 0.03)

    def measured(metric: str, value: float, labels: Labels | None = None, samples: int = 5) -> Measurement:
        unit = known_metric(metric).unit
        drawn = [value * boot * source.lognormvariate(0, 0.06) for _ in range(samples)]
        counts = unit in ("containers", "clients", "1")
        m = Measurement(metric, [float(round(x)) for x in drawn] if counts else drawn, dict(labels or {}))
        m.reason = text
        return m

    settings = ("native",) if known.kind == "vm" else ("native", "docker")
    far_s = (known.round_trip_s or 0) * 6 if known.kind == "vm" else 0
    for setting in settings:
        for clients in CLIENTS:
            labels: Labels = {"setting": setting, "clients": clients}
            if text:
                labels["own"] = text
            per_page = (0.009 if setting == "native" else 0.011) * slow**0.6
            page = measured("serving.page_time", far_s + clients * per_page, labels, 20)
            failures = measured("serving.failures", 0.0, labels, 1)
            yield f"test_load_{setting}_{clients}{text}", "serving", [page, failures]
        capacity = 30 if (model, setting) == ("pi1b_256", "docker") else 250
        yield (
            f"test_capacity_{setting}",
            "serving",
            [Measurement("serving.capacity", [float(capacity)], {"setting": setting})],
        )
    if model.startswith("ec2"):
        return
    for workload, each in MEMORY.items():
        count = max(1, int((known.mem_total_bytes - 120e6) / each))
        started = min(count, 25)
        yield (
            f"test_{workload}",
            "hosting",
            [
                Measurement(
                    "hosting.containers",
                    [float(count)],
                    {"workload": workload, "basis": "projected" if started < count else "filled"},
                ),
                measured("hosting.memory_per_container", each, {"workload": workload}, started),
                measured("hosting.disk_per_container", 140.0, {"workload": workload}, started),
            ],
        )
    for label, size in SIZES.items():
        at: Labels = {"size": label}
        yield (
            f"test_io_{label}",
            "io",
            [
                measured("io.disk_read_time", 0.0007 + size / 17e6, at),
                measured("io.disk_write_time", (0.005 + size / 12.5e6) * slower, at),
                measured("io.memory_time", size / 1.5e9 * slow, at),
            ],
        )
    ready_s = (known.boot_s or 20) * slower
    yield (
        "test_startup",
        "startup",
        [
            measured("startup.ready_time", ready_s),
            measured("startup.container_time", ready_s * 1.2),
        ],
    )
