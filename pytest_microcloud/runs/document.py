"""Types for a run file: pytest-benchmark's JSON with this plugin's data in it.

Keys that earlier versions did not write have defaults. Keys that the plugin does not read are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec

from pytest_microcloud.catalog import Description
from pytest_microcloud.runs.controls import Control
from pytest_microcloud.runs.fingerprint import LARGEST, Fingerprint
from pytest_microcloud.runs.plan import Plan

Boot = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Verdict = Literal["error", "invalid", "infeasible", "feasible", "not measured"]


@dataclass(frozen=True)
class StoredMeasurement:
    """A measurement in a run file. In `limit`, "max" and "min" are numbers; all other values are texts."""

    metric: str
    samples: list[float]
    labels: dict[str, str | int] | None = None
    verdict: Verdict = "feasible"
    reason: str = ""
    limit: dict[str, float | str | None] | None = None
    unit: str = ""
    better: Literal["lower", "higher", ""] = "lower"

    def __post_init__(self) -> None:
        if any(abs(sample) > LARGEST for sample in self.samples if math.isfinite(sample)):
            raise ValueError(f"a sample of {self.metric} is beyond ±{LARGEST:g}")
        for key, value in (self.limit or {}).items():
            if (key in ("max", "min")) != isinstance(value, int | float) and value is not None:
                raise ValueError(f"the limit's {key} is {value!r}, which is of the wrong type")
            if isinstance(value, float) and not abs(value) <= LARGEST:
                raise ValueError(f"the limit's {key} is {value}, which is not within ±{LARGEST:g}")


@dataclass(frozen=True)
class Outcome:
    """A test's outcome. `measurements` is empty if the test has a benchmark, which then contains them."""

    board: str
    experiment: str
    test: str
    verdict: Verdict
    reason: str
    measurements: list[StoredMeasurement] = field(default_factory=list)
    boot: Boot = 1
    stage: str = ""


@dataclass(frozen=True)
class Ours:
    """What one test measured on a board: the plugin's data in the `extra_info` of a benchmark."""

    board: str
    measurements: list[StoredMeasurement]
    schema: int = 1
    experiment: str = "?"
    boot: Boot = 1
    stage: str = ""


@dataclass(frozen=True)
class ExtraInfo:
    """The `extra_info` of a benchmark; `microcloud` is None if another plugin or test wrote the benchmark."""

    microcloud: Ours | None = None


@dataclass(frozen=True)
class Benchmark:
    """An entry of pytest-benchmark's list of benchmarks: one test that measured something."""

    fullname: str
    extra_info: ExtraInfo | None = None


@dataclass(frozen=True)
class Session:
    """Data about the run as a whole: the plugin's part of `machine_info`.

    It contains the boards and their controls, the plan, descriptions of experiments, and all tests' outcomes.
    """

    effort: str = ""
    boards: dict[str, Fingerprint] = field(default_factory=dict)
    controls: dict[str, Control] = field(default_factory=dict)
    plan: Plan = field(default_factory=Plan)
    experiments: dict[str, Description] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)


@dataclass(frozen=True)
class MachineInfo:
    """The `machine_info` of a run file, without the entries of pytest-benchmark, which are not read."""

    microcloud: Session


@dataclass(frozen=True)
class Document:
    """The contents of a run file, as far as they are read."""

    machine_info: MachineInfo
    benchmarks: list[Benchmark]
    datetime: str = ""


def decoded(document: Mapping[str, Any]) -> Document:
    """Convert a run file's JSON to types. Raises msgspec.ValidationError with the path of a wrong value."""
    return msgspec.convert(document, Document)
