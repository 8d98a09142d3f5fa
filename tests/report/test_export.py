"""`microcloud export`: a stored run in formats of other programs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pytest_microcloud.cli import main
from pytest_microcloud.report import export
from pytest_microcloud.runs import Run
from tests.support import run_files
from tests.support.controls import control
from tests.support.run_files import BOOKWORM, benchmark, boots


@pytest.fixture
def run(tmp_path: Path) -> Run:
    benchmarks = [
        *boots("serving.throughput", [95.0, 90.0, 100.0], clients=50, setting="docker"),
        *boots("hosting.memory_per_container", [9e6, 8e6, 8.5e6], workload="httpd"),
        benchmark("io.memory_time", [1e-6, 2e-6], size="4KiB", verdict="invalid"),
    ]
    outcomes = [
        {
            "board": "desk",
            "experiment": "io",
            "test": "suites/test_io.py::test_memory[desk]",
            "verdict": "error",
            "reason": "the wire\x1b was cut <here>",
            "measurements": [],
            "boot": 1,
            "stage": "",
        }
    ]
    return run_files.run(tmp_path / "20260301T120000-aaaa.json", benchmarks, outcomes=outcomes)


def test_csv_has_a_line_for_each_sample_with_its_unit(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(export.as_csv(run))))
    throughput = [row for row in rows if row["metric"] == "serving.throughput"]
    assert [(row["boot"], float(row["value"]), row["unit"]) for row in throughput] == [
        ("1", 95.0, "1/s"),
        ("2", 90.0, "1/s"),
        ("3", 100.0, "1/s"),
    ]
    assert throughput[0] | {"value": ""} == throughput[0] | {
        "run": "20260301T120000-aaaa",
        "board": "desk",
        "model": "pi3b",
        "os_release": BOOKWORM,
        "labels": "clients=50 setting=docker",
        "better": "higher",
        "value": "",
    }
    assert {row["unit"] for row in rows if row["metric"] == "hosting.memory_per_container"} == {"B"}
    memory = [row for row in rows if row["metric"] == "io.memory_time"]
    assert [(row["sample"], row["verdict"]) for row in memory] == [("1", "invalid"), ("2", "invalid")]


def test_the_drift_of_a_board_is_kept_in_csv_and_junit(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    controls = {"desk": control(drift=["cpu control 50 % slower", "disk control 9 % faster"])}
    benchmarks = boots("io.memory_time", [1e-6], board="desk") + boots(
        "io.memory_time", [1e-6], board="attic"
    )
    boards = {name: run_files.fingerprint() for name in ("desk", "attic")}
    run = run_files.run(file, benchmarks, boards, controls=controls)
    desk, attic = csv.DictReader(io.StringIO(export.as_csv(run)))
    assert (desk["drift"], attic["drift"]) == ("cpu control 50 % slower; disk control 9 % faster", "")
    (one,) = ElementTree.fromstring(export.as_junit(run)).iter("testsuite")  # noqa: S314 - our own
    found = [case.find("properties/property[@name='drift']") for case in one.iter("testcase")]
    assert found[0] is not None
    assert found[0].get("value") == desk["drift"]
    assert found[1] is None


def test_csv_has_a_line_for_a_test_without_samples(run: Run) -> None:
    (row,) = (row for row in csv.DictReader(io.StringIO(export.as_csv(run))) if row["verdict"] == "error")
    assert (row["value"], row["reason"].replace("\x1b", "")) == ("", "the wire was cut <here>")


def test_bencher_gets_the_median_over_boots_and_their_range_with_units(run: Run) -> None:
    assert json.loads(export.as_bencher(run)) == {
        "desk clients=50 setting=docker": {
            "serving.throughput (1/s)": {"value": 95.0, "lower_value": 90.0, "upper_value": 100.0}
        },
        "desk workload=httpd": {
            "hosting.memory_per_container (B)": {"value": 8.5e6, "lower_value": 8e6, "upper_value": 9e6}
        },
    }


def test_junit_counts_verdicts_and_has_the_figures(run: Run) -> None:
    suite = ElementTree.fromstring(export.as_junit(run)).find("testsuite")  # noqa: S314
    assert suite is not None
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": str(len(run.entries)),
        "failures": "0",
        "errors": "2",
        "skipped": "0",
    }
    values = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert values["serving.throughput clients=50 setting=docker"] == "100.0 1/s"
    assert {error.get("type") for error in suite.iter("error")} == {"error", "invalid"}


@pytest.mark.parametrize("form", sorted(export.FORMATS))
def test_the_command_prints_a_run_that_is_named(
    run: Run, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", run.id, f"--format={form}", "--runs", str(run.file.parent)]) == 0
    assert capsys.readouterr().out == export.FORMATS[form](run)


def test_a_run_that_is_not_there_cannot_be_exported(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "nothing", "--format=csv", "--runs", str(run.file.parent)]) == 4
    assert "nothing" in capsys.readouterr().err
