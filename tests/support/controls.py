"""Made-up readings of boards' controls in run files."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

LOADS = {"cpu": 0.01, "memory": 0.005, "disk": 0.1, "loopback": 0.02}
JITTER = (1.0, 1.012, 0.99, 1.004, 0.985, 1.01, 0.996, 1.002, 0.993)
"""Of the sessions of a quiet board."""


def control(*slower: float, drift: Sequence[str] = (), **loads: Sequence[float]) -> dict[str, Any]:
    """Return a board's control: for each reading, start and end in turn, how much slower its loads are.

    `loads` has the factors of single loads.
    """
    readings: list[dict[str, Any]] = []
    for place, factor in enumerate(slower or (1.0, 1.0)):
        factors = {load: loads[load][place] if load in loads else factor for load in LOADS}
        times_s = {load: time_s * factors[load] for load, time_s in LOADS.items()}
        readings.append({"at": ("start", "end")[place % 2], "times_s": times_s, "left_out": {}, "doubts": []})
    return {"readings": readings, "drift": list(drift)}


def multiply(file: Path, jitter: Iterable[float] = JITTER) -> list[Path]:
    """Write runs like that of a file, with slightly different control times; they are older than it."""
    document = json.loads(file.read_text())
    files = []
    for place, factor in enumerate(jitter):
        other = copy.deepcopy(document)
        for each in other["machine_info"]["microcloud"]["controls"].values():
            for reading in each["readings"]:
                reading["times_s"] = {load: time_s * factor for load, time_s in reading["times_s"].items()}
        files.append(file.with_name(f"20200101T00000{place}-aaaa.json"))
        files[-1].write_text(json.dumps(other))
    return files
