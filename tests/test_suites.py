"""The shipped suites as a user runs them: on an emulated board, from the command line to the files."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.slow]

ROOT = Path(__file__).parent.parent
LOADED_BY = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
KEYS = {"schema", "board", "model", "driver", "boot", "experiment", "measurements"}
MEASUREMENT_KEYS = {"metric", "unit", "better", "labels", "samples", "limit", "verdict", "reason"}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("reports")
    suites = ["suites/test_io.py", "suites/test_startup.py"]
    options = ["--hosts=pi3b", "--microcloud-effort=quick", f"--microcloud-reports={directory}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *suites, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    (directory / "output").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


@pytest.fixture(scope="module")
def run_file(reports: Path) -> Path:
    (file,) = (reports / "runs").glob("*.json")
    return file


@pytest.fixture(scope="module")
def run(run_file: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run_file.read_text())
    return document


class Page(HTMLParser):
    """What a browser makes of a page: its texts, and the addresses that it loads from."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value for name, value in attrs if value and LOADED_BY.get(tag) == name]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_the_terminal_tells_board_gaps_and_verdicts(reports: Path) -> None:
    said = (reports / "output").read_text()
    assert "pi3b-emulated: Raspberry Pi 3 Model B, emulated; Debian" in said
    assert "not emulated: " in said
    verdicts = said.partition("micro-cloud verdicts")[2]
    assert "io        feasible" in verdicts
    assert "startup   feasible" in verdicts


def test_pytest_benchmark_compares_the_run_file(run_file: Path, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "pytest-benchmark"), "compare", str(run_file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_boot" in done.stdout
    assert "test_disk_access" in done.stdout


def test_every_benchmark_holds_its_measurements_with_all_samples(run: dict[str, Any]) -> None:
    seen = set()
    for benchmark in run["benchmarks"]:
        ours = benchmark["extra_info"]["microcloud"]
        assert set(ours) == KEYS
        assert (ours["schema"], ours["board"], ours["model"]) == (1, "pi3b-emulated", "pi3b")
        assert ours["driver"] == "container"
        assert ours["boot"] >= 1
        for measurement in ours["measurements"]:
            assert set(measurement) == MEASUREMENT_KEYS
            assert measurement["metric"].startswith(f"{ours['experiment']}.")
            assert measurement["unit"] == "s"
            assert measurement["better"] == "lower"
            assert measurement["samples"]
            assert min(measurement["samples"]) > 0
            assert measurement["verdict"] == "feasible"
            limit = measurement["limit"]
            assert limit is None or ({"max", "min"} & set(limit) and limit["source"])
            seen.add(measurement["metric"])
    assert seen == {
        "io.disk_read_time",
        "io.disk_write_time",
        "io.memory_time",
        "startup.container_time",
        "startup.ready_time",
    }


def test_the_benchmarks_own_time_is_the_board_time_of_its_metric(run: dict[str, Any]) -> None:
    boot = next(b for b in run["benchmarks"] if b["name"].startswith("test_boot"))
    ready = boot["extra_info"]["microcloud"]["measurements"][0]["samples"]
    assert boot["stats"]["data"] == pytest.approx(ready)


def test_the_run_file_holds_the_boards_fingerprint(run: dict[str, Any]) -> None:
    board = run["machine_info"]["microcloud"]["boards"]["pi3b-emulated"]
    assert board["model"] == "pi3b"
    assert board["emulated"] is True
    assert board["not_emulated"]
    assert all(board[key] for key in ("os_release", "kernel", "isa", "docker_version", "memory_bytes"))


def test_the_report_has_the_verdict_matrix_and_loads_nothing(reports: Path) -> None:
    html = (reports / "feasibility.html").read_text()
    page = Page(html)
    assert [address for address in page.loads if not address.startswith("data:")] == []
    assert "@import" not in html
    assert "Micro-cloud feasibility" in page.texts
    matrix = " ".join(page.texts)
    for word in ("pi3b-emulated", "serving", "hosting", "io", "startup", "feasible", "not emulated"):
        assert word in matrix.replace("Not emulated", "not emulated"), word
