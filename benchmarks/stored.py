"""Writes synthetic run files, and measures the time and memory to compare and report them.

A synthetic run has 200 metrics of one board, with the metrics, labels and tests of the suites, at more points
than any effort measures. With one boot, it is about as large as a real run of a standard session (240 kB).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.row import Row
from pytest_microcloud import runs
from pytest_microcloud.catalog import metric as known_metric

CLIENTS = tuple(range(50, 251, 10))
WORKLOADS = ("httpd", "ruby", "zookeeper", "jenkins", "cratedb")
SIZES = tuple(4096 * 2**step for step in range(11))
MODELS = ("pi1b_256", "pi1b", "pi1bplus", "pi2b", "pi3b", "t2_small", "ec2_dublin", "ec2_tokyo")
RELEASES = (
    "Debian GNU/Linux 11 (bullseye)",
    "Debian GNU/Linux 12 (bookworm)",
    "Debian GNU/Linux 13 (trixie)",
)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
REQUESTS = 100
"""How many samples each page time has. Any other metric has ten samples."""
BETWEEN_BOOTS, WITHIN_BOOT = 0.02, 0.08

Test = tuple[str, str, str, list[tuple[str, dict[str, str | int]]]]
"""A test: its experiment, function and parameters, and the metrics that it measures, with labels."""


def write(
    directory: Path, count: int, *, boots: int = 1, models: tuple[str, ...] = MODELS, seed: int = 2017
) -> list[Path]:
    """Write `count` run files, which go through all models and OS releases; return them, oldest first."""
    source = random.Random(seed)  # noqa: S311 (noise, no secret)
    files = []
    for number in range(count):
        taken = FIRST + timedelta(hours=number)
        model = models[number % len(models)]
        release = RELEASES[number // len(models) % len(RELEASES)]
        file = directory / f"{taken:%Y%m%dT%H%M%S}-{number:04x}.json"
        runs.write(file, document(source, model, release, taken, boots))
        files.append(file)
    return files


def document(source: random.Random, model: str, release: str, taken: datetime, boots: int) -> dict[str, Any]:
    """Return a run's document with 200 metrics of one emulated board."""
    board = f"{model}-emulated"
    benchmarks = [
        _benchmark(source, board, model, boot, test) for boot in range(1, boots + 1) for test in _tests()
    ]
    fingerprint = {
        "model": model,
        "driver": "container",
        "emulated": True,
        "not_emulated": ["instruction set: the host's", "firmware and kernel start"],
        "os_release": release,
        "kernel": "6.12",
        "made_of": {"image": "bookworm", "image_id": "sha256:0", "calibrated_cpus": 0.74, "host": "h"},
    }
    ours = {
        "effort": "standard",
        "boards": {board: fingerprint},
        "outcomes": [],
        "plan": {"effort": "standard", "boots": boots, "tests": [b["fullname"] for b in benchmarks]},
    }
    return {
        "machine_info": {"node": "vm", "machine": "x86_64", "system": "Linux", "microcloud": ours},
        "commit_info": {"id": "0", "time": taken.isoformat(), "dirty": False, "project": "stored"},
        "benchmarks": benchmarks,
        "datetime": taken.isoformat(),
        "version": "5.3.1",
    }


def _tests() -> Iterator[Test]:
    for setting in ("native", "docker"):
        for clients in CLIENTS:
            at: dict[str, str | int] = {"setting": setting, "clients": clients}
            metrics = ("serving.page_time", "serving.throughput", "serving.failures")
            yield "serving", "test_page_time", f"{setting}-{clients}", [(metric, at) for metric in metrics]
        yield "serving", "test_capacity", setting, [("serving.capacity", {"setting": setting})]
    for workload in WORKLOADS:
        hosting = ("start_time", "ready_time", "containers", "memory_per_container", "disk_per_container")
        names = [f"hosting.{name}" for name in (*hosting, "swapped_pages", "response_time")]
        at = {"workload": workload}
        yield "hosting", "test_containers_until_memory_runs_short", workload, [(name, at) for name in names]
    for size in SIZES:
        at = {"size": f"{size // 1024}KiB" if size < 2**20 else f"{size // 2**20}MiB"}
        disk = [("io.disk_read_time", at), ("io.disk_write_time", at)]
        yield "io", "test_disk_access", str(size), disk
        yield "io", "test_memory_access", str(size), [("io.memory_time", at)]
    names = [
        f"startup.{name}"
        for name in ("ready_time", "container_time", "power_on_ready_time", "power_on_container_time")
    ]
    yield "startup", "test_boot", "httpd", [(name, {}) for name in names]


def _benchmark(source: random.Random, board: str, model: str, boot: int, test: Test) -> dict[str, Any]:
    experiment, function, parameters, metrics = test
    measurements = [_measurement(source, metric, labels) for metric, labels in metrics]
    times = sorted(measurements[0]["samples"])
    name = f"{function}[ssh://{board}-{parameters}-boot{boot}]"
    middle = times[len(times) // 2]
    stats = {
        "min": times[0],
        "max": times[-1],
        "mean": middle,
        "stddev": middle * WITHIN_BOOT,
        "rounds": 1,
        "median": middle,
        "iqr": 0.0,
        "q1": times[0],
        "q3": times[-1],
        "iqr_outliers": 0,
        "stddev_outliers": 0,
        "outliers": "0;0",
        "ld15iqr": times[0],
        "hd15iqr": times[-1],
        "ops": 1 / middle,
        "total": middle,
        "data": [middle],
        "iterations": 1,
    }
    return {
        "group": None,
        "name": name,
        "fullname": f"suites/test_{experiment}.py::{name}",
        "params": {"_testinfra_host": board},
        "param": parameters,
        "extra_info": {
            "microcloud": {
                "schema": runs.SCHEMA,
                "board": board,
                "model": model,
                "driver": "container",
                "boot": boot,
                "experiment": experiment,
                "measurements": measurements,
            }
        },
        "options": {"timer": "board_time", "min_rounds": 5, "max_time": 1.0, "warmup": False},
        "stats": stats,
    }


def _measurement(source: random.Random, metric: str, labels: dict[str, str | int]) -> dict[str, Any]:
    known = known_metric(metric)
    count = REQUESTS if metric == "serving.page_time" else 10
    level = source.lognormvariate(0, BETWEEN_BOOTS)
    return {
        "metric": metric,
        "unit": known.unit,
        "better": known.better,
        "labels": labels,
        "samples": [level * source.lognormvariate(0, WITHIN_BOOT) for _ in range(count)],
        "limit": {"max": 2.0, "statistic": "p95", "source": "none, this is noise"},
        "verdict": "feasible",
        "reason": "",
    }


def report(count: int) -> tuple[Row, Row]:
    """Measure the time and the peak memory of `microcloud report` with `count` stored runs."""
    with tempfile.TemporaryDirectory(prefix="microcloud-bench-") as name:
        directory = Path(name) / "runs"
        size = sum(file.stat().st_size for file in write(directory, count))
        page = Path(name) / "generations.html"
        took, peak = _microcloud("report", f"--runs={directory}", f"--output={page}")
        detail = f"{size / 1e6:.0f} MB of runs, a page of {page.stat().st_size / 1e6:.1f} MB"
    what = f"microcloud report of {count:,} runs of 200 metrics"
    return (
        Row(f"{what}: time", [took], " s", detail, at_most=20),
        Row(f"{what}: memory", [peak], " MB", detail, at_most=1000),
    )


def compare(times: int) -> Row:
    """Measure the time of `microcloud compare` with two stored runs, each with 200 metrics and ten boots."""
    with tempfile.TemporaryDirectory(prefix="microcloud-bench-") as name:
        directory = Path(name)
        baseline, candidate = write(directory, 2, boots=10, models=("pi3b",))
        took = [_microcloud("compare", str(baseline), str(candidate))[0] for _ in range(times + 1)]
    detail = "files of ten boots each"
    return Row("microcloud compare of two runs of 200 metrics", took[1:], " s", detail, at_most=1)


def _microcloud(*arguments: str) -> tuple[float, float]:
    """Run the `microcloud` command; return its time (s) and its peak memory (MB)."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest_microcloud.cli", *arguments], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    took = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return took, usage.ru_maxrss * 1024 / 1e6
