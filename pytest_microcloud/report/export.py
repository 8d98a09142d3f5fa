"""Converts a stored run to CSV, Bencher's JSON or JUnit XML. Values keep their units, even if not times."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from pytest_microcloud.printable import printable

if TYPE_CHECKING:
    from pytest_microcloud.measurement import Measurement
    from pytest_microcloud.runs import Entry, Run

COLUMNS = (
    *("run", "board", "model", "os_release", "emulated", "experiment", "test", "boot", "stage"),
    *("metric", "labels", "unit", "better", "sample", "value", "verdict", "reason", "drift"),
)


def as_csv(run: Run) -> str:
    """Return CSV: a header, then one line per sample. A test without samples has one line without a value."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for entry in run.entries:
        about = _about(run, entry)
        if not any(m.samples for m in entry.measurements):
            table.writerow(about | {"verdict": entry.verdict, "reason": entry.reason})
        for m in entry.measurements:
            for number, value in enumerate(m.samples, 1):
                table.writerow(about | _figure(m) | {"sample": number, "value": repr(value)})
    return text.getvalue()


def as_bencher(run: Run) -> str:
    """Return Bencher Metric Format (https://bencher.dev/docs/reference/bencher-metric-format/).

    Each combination of a board and labels is a benchmark, and each metric with its unit is a measure. The
    value of a measure is the median of the boots' values; its lower and upper values are their minimum and
    maximum. Invalid measurements are left out.
    """
    from pytest_microcloud.verdict.results import boot_values, per_boot

    measured = per_boot(run)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for key, boots in measured.items():
        board, metric, labels = key
        values = boot_values(measured, key)
        unit = next(m.unit for several in boots.values() for m in several)
        name = _at(board, dict(labels))
        found.setdefault(name, {})[f"{metric} ({unit})"] = {
            "value": statistics.median(values),
            "lower_value": min(values),
            "upper_value": max(values),
        }
    return json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_junit(run: Run) -> str:
    """Return JUnit XML: a test case for each test of the run, with the test's medians as its properties."""
    suite = ElementTree.Element("testsuite", {"name": run.id, "timestamp": run.taken})
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for entry in run.entries:
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": f"{entry.board}.{entry.experiment}", "name": entry.test}
        )
        properties = ElementTree.SubElement(case, "properties")
        if drift := _drift(run, entry):
            ElementTree.SubElement(properties, "property", {"name": "drift", "value": printable(drift)})
        for m in (m for m in entry.measurements if m.samples):
            value = {"name": _at(m.metric, m.labels), "value": f"{m.median!r} {m.unit}"}
            ElementTree.SubElement(properties, "property", value)
        counts["tests"] += 1
        if (kind := KINDS.get(entry.verdict)) is not None:
            counts[COUNTED[kind]] += 1
            ElementTree.SubElement(case, kind, {"type": entry.verdict, "message": printable(entry.reason)})
    for name, count in counts.items():
        suite.set(name, str(count))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


FORMATS: Mapping[str, Callable[[Run], str]] = {"bencher": as_bencher, "csv": as_csv, "junit": as_junit}
KINDS = {"infeasible": "failure", "invalid": "error", "error": "error", "not measured": "skipped"}
COUNTED = {"failure": "failures", "error": "errors", "skipped": "skipped"}


def _about(run: Run, entry: Entry) -> dict[str, Any]:
    facts = run.boards.get(entry.board)
    return {
        "run": run.id,
        "board": entry.board,
        "model": facts.model if facts else "",
        "os_release": (facts and facts.release) or "",
        "emulated": str(facts.emulated).lower() if facts else "",
        "experiment": entry.experiment,
        "test": entry.test,
        "boot": entry.boot,
        "stage": entry.stage,
        "drift": _drift(run, entry),
    }


def _drift(run: Run, entry: Entry) -> str:
    """Return sentences on how the board of a test drifted; empty if it did not drift.

    Also empty if the test confirmed a finding of the gate: such tests alternate between boots of the
    baseline and of the candidate, so drift affects both alike.
    """
    control = run.controls.get(entry.board)
    return "; ".join(control.drift) if control and not entry.stage else ""


def _figure(m: Measurement) -> dict[str, Any]:
    return {
        "metric": m.metric,
        "labels": _at("", m.labels),
        "unit": m.unit,
        "better": m.better,
        "verdict": m.verdict,
        "reason": m.reason,
    }


def _at(what: str, labels: Mapping[str, object]) -> str:
    """Return a name followed by labels, such as "serving.page_time setting=docker clients=50"."""
    return " ".join(filter(None, (what, *(f"{name}={value}" for name, value in labels.items()))))
