"""Run files as a session writes them, for tests of reading and comparing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_microcloud import runs
from pytest_microcloud.catalog import metric as known_metric

BOOKWORM, TRIXIE = "Debian GNU/Linux 12 (bookworm)", "Debian GNU/Linux 13 (trixie)"
TAKEN = "2026-03-01T12:00:00+00:00"


def fingerprint(model: str = "pi3b", **more: Any) -> dict[str, Any]:
    """Return a run's record of a real board; `more` replaces or adds values."""
    return {
        "model": model,
        "driver": "ssh",
        "emulated": False,
        "not_emulated": [],
        "not_watched": [],
        "others_containers": [],
        "os_release": BOOKWORM,
        "kernel": "6.1.0",
        "card": {"cid": "01", "name": "SD16G"},
    } | more


def emulated(model: str = "pi3b", **more: Any) -> dict[str, Any]:
    """Return a run's record of an emulated board; `more` replaces or adds values."""
    made_of = {"image": "bookworm", "image_id": "sha256:1", "calibrated_cpus": 0.74, "host": "h1"}
    container = {"driver": "container", "emulated": True, "card": {}, "made_of": made_of}
    return fingerprint(model, **(container | {"not_emulated": ["instruction set"]} | more))


def benchmark(
    metric: str,
    samples: Sequence[float],
    *,
    board: str = "desk",
    boot: int = 1,
    stage: str = "",
    verdict: str = "feasible",
    **labels: str | int,
) -> dict[str, Any]:
    """Return a benchmark as pytest-benchmark writes it, with one measurement."""
    known, experiment = known_metric(metric), metric.partition(".")[0]
    where = "-".join(map(str, (board, metric, *labels.values(), stage or "run", f"boot{boot}")))
    measurement = {
        "metric": metric,
        "unit": known.unit,
        "better": known.better,
        "labels": labels,
        "samples": list(samples),
        "limit": None,
        "verdict": verdict,
        "reason": "",
    }
    return stored(f"test_{experiment}[{where}]", experiment, [measurement], board, boot=boot, stage=stage)


def stored(
    name: str,
    experiment: str,
    measurements: Sequence[Mapping[str, Any]],
    board: str,
    *,
    model: str = "pi3b",
    driver: str = "ssh",
    boot: int = 1,
    stage: str = "",
) -> dict[str, Any]:
    """Return a test as pytest-benchmark writes it, with measurements as they are stored."""
    samples = measurements[0]["samples"]
    ours: dict[str, Any] = {
        "schema": runs.SCHEMA,
        "board": board,
        "model": model,
        "driver": driver,
        "boot": boot,
        "experiment": experiment,
        "measurements": list(measurements),
    }
    return {
        "group": None,
        "name": name,
        "fullname": f"suites/test_{experiment}.py::{name}",
        "params": None,
        "param": None,
        "extra_info": {"microcloud": ours | ({"stage": stage} if stage else {})},
        "options": {"timer": "board_time", "warmup": False},
        "stats": _stats(samples),
    }


def boots(metric: str, values: Sequence[float], **how: Any) -> list[dict[str, Any]]:
    """Return a benchmark for each boot, with one value each."""
    return [benchmark(metric, [value], boot=boot, **how) for boot, value in enumerate(values, 1)]


def document(
    benchmarks: Sequence[Mapping[str, Any]],
    boards: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    taken: str = TAKEN,
    effort: str = "quick",
    outcomes: Sequence[Mapping[str, Any]] = (),
    plan: Mapping[str, Any] | None = None,
    controls: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a run's document; without `boards` it is of a real pi3b named desk."""
    ours = {
        "effort": effort,
        "boards": {"desk": fingerprint()} if boards is None else boards,
        "outcomes": list(outcomes),
    }
    more = {"plan": plan, "controls": controls}
    machine = {"node": "n", "processor": "", "machine": "x86_64", "system": "Linux", "cpu": {}}
    return {
        "machine_info": machine | {"microcloud": ours | {key: part for key, part in more.items() if part}},
        "commit_info": {"id": "c0ffee", "dirty": False, "project": "p", "branch": "main"},
        "benchmarks": list(benchmarks),
        "datetime": taken,
        "version": "5.3.1",
    }


def store(file: Path, benchmarks: Sequence[Mapping[str, Any]], *boards: Any, **how: Any) -> Path:
    """Write a run file and return it."""
    runs.write(file, document(benchmarks, *boards, **how))
    return file


def run(file: Path, benchmarks: Sequence[Mapping[str, Any]], *boards: Any, **how: Any) -> runs.Run:
    """Write a run file and return the run."""
    return runs.load(store(file, benchmarks, *boards, **how))


def _stats(samples: Sequence[float]) -> dict[str, Any]:
    low, high, mean = min(samples, default=0.0), max(samples, default=0.0), sum(samples) / len(samples or [1])
    middle = sorted(samples)[len(samples) // 2] if samples else 0.0
    spread = dict.fromkeys(("stddev", "iqr"), 0.0) | {"q1": low, "q3": high}
    outliers = {"iqr_outliers": 0, "stddev_outliers": 0, "outliers": "0;0", "ld15iqr": low, "hd15iqr": high}
    counts = {"rounds": 1, "iterations": 1, "ops": 1 / mean if mean else 0.0, "total": mean, "data": [middle]}
    return {"min": low, "max": high, "mean": mean, "median": middle} | spread | outliers | counts
