"""The custom experiment of docs/experiments.md: its files, unchanged, in a user's project."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from tests.support.fake_boards import Project
from tests.support.fenced import blocks

FILES = {
    match[1]: block.text
    for block in blocks()
    if block.page.name == "experiments.md"
    and (match := re.match(r"# (\S+\.\w+|\S+/Dockerfile)\n", block.text))
}
CACHE = platformdirs.user_cache_path()
PLOT = "Messages by number of publishers"
# A fake of the example's broker: the environment sets how long its clients take.
BROKER = """
import os
import re
from contextlib import contextmanager

import pytest


class Broker:
    def exec_run(self, command):
        total = int(re.search(r"-C (\\d+)", command[-1])[1])
        publishers = int(re.search(r"seq (\\d+)", command[-1])[1])
        seconds = total / (200 * publishers) * float(os.environ.get("SLOWER", "1"))
        lost = int(os.environ.get("LOST", "0"))
        return 0, f"{int(seconds * 1e9)} {total - lost}".encode()


class Deployment:
    def __init__(self, board):
        self.board = board
        board.say = print

    @contextmanager
    def running(self):
        yield Broker()


@pytest.fixture
def deploy(board):
    return lambda workload: Deployment(board)
"""


@pytest.fixture
def example(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The example's project in a directory, with a board and a broker that only report themselves ready."""
    project = Project(pytester, monkeypatch)
    conftest = project.path / "conftest.py"
    conftest.write_text(conftest.read_text() + BROKER)
    write(project.path / "kiosk")
    (project.path / "kiosk" / "pytest.ini").unlink()  # the root directory is the one of the board
    (project.path / "pytest.ini").write_text(
        "[pytest]\nmicrocloud_catalog = kiosk/mine.toml\naddopts = --strict-markers -p no:cacheprovider\n"
    )
    (project.path / "tox.ini").unlink(missing_ok=True)
    return project


def write(directory: Path) -> None:
    for name, text in FILES.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


Report = Callable[[Project, str], str]


@pytest.fixture
def generations() -> Report:
    """Write the page of all runs again, in a process that has not registered the experiment."""

    def page(project: Project, name: str) -> str:
        runs, output = project.path / "reports" / "runs", project.path / name
        done = microcloud("report", "--runs", str(runs), "--output", str(output))
        assert done.returncode == 0, done.stdout + done.stderr
        return output.read_text(encoding="utf-8")

    return page


def microcloud(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own: pytester forgets what a test imports, and NumPy loads once."""
    command = [sys.executable, "-m", "pytest_microcloud.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_page_has_every_file_of_the_project() -> None:
    assert set(FILES) == {"conftest.py", "mosquitto/Dockerfile", "mine.toml", "pytest.ini", "test_mqtt.py"}


def test_the_plan_has_a_line_with_the_estimate_for_each_point_of_its_sweep(example: Project) -> None:
    result = example.run("kiosk", "--microcloud-plan", "--microcloud-effort=standard")
    text = result.stdout.str()
    for publishers in (1, 2, 4, 8):
        seconds = re.search(
            rf"(\d+) s  kiosk/test_mqtt.py::test_delivery\[.*{publishers}publishers.*\]", text
        )
        assert seconds, text
        assert 10 < int(seconds[1]) < 30, "from the record's own estimate"


def test_an_unknown_axis_is_reported_with_the_experiments_axes(example: Project) -> None:
    test = example.path / "kiosk" / "test_mqtt.py"
    test.write_text(test.read_text().replace('sweep("publishers")', 'sweep("publisher")'))
    text = example.run("kiosk", "--microcloud-plan").stdout.str()
    assert (
        "@pytest.mark.sweep('publisher'): expected one of clients, publishers, setting, size, workload"
        in text
    )


def test_the_verdict_table_shows_its_headline_judged_by_its_limit(example: Project) -> None:
    result = example.run("kiosk", "--microcloud-effort=quick")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*mqtt*feasible*throughput (4) 800 1/s*"])
    (m,) = (
        m for m in measured(example) if m["metric"] == "mqtt.throughput" and m["labels"]["publishers"] == 4
    )
    assert (m["unit"], m["better"], m["verdict"]) == ("1/s", "higher", "feasible")
    assert m["limit"] == {
        "min": 100.0,
        "statistic": "median",
        "source": "our sensors send 100 messages per second",
    }


def test_a_missed_limit_of_it_fails_the_test(example: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOST", "1")
    result = example.run("kiosk", "--microcloud-effort=quick")
    result.assert_outcomes(failed=2)
    assert "mqtt.lost (publishers=4): median 1 exceeds the limit of 0 for pi3b" in result.stdout.str()


def test_a_misspelt_limit_of_it_is_a_usage_error(example: Project) -> None:
    catalog = example.path / "kiosk" / "mine.toml"
    catalog.write_text(catalog.read_text().replace("\nthroughput =", "\nthroughputs ="))
    result = example.run("kiosk")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "unknown metric; did you mean 'mqtt.throughput'?" in "".join((*result.outlines, *result.errlines))


def test_its_figure_is_on_both_pages(example: Project, generations: Report) -> None:
    example.run("kiosk", "--microcloud-effort=quick")
    for page in ("feasibility.html", "generations.html"):
        assert f"<h3>{PLOT}</h3>" in (example.path / "reports" / page).read_text(encoding="utf-8")


def test_its_figure_is_drawn_from_run_files_without_its_record(example: Project, generations: Report) -> None:
    example.run("kiosk", "--microcloud-effort=quick")
    html = generations(example, "again.html")
    plot = next(
        plot for plot in plots(html) if plot["layout"]["xaxis"]["title"]["text"] == "concurrent publishers"
    )
    assert (plot["data"][0]["x"], plot["data"][0]["y"]) == ([1, 4], [200, 800])
    assert plot["layout"]["yaxis"]["title"]["text"] == "messages per second"
    assert f"<h3>{PLOT}</h3>" in html
    assert ">Messaging</h2>" in html


def test_an_experiment_without_figures_gets_one_by_its_labels(example: Project, generations: Report) -> None:
    conftest = example.path / "kiosk" / "conftest.py"
    text = conftest.read_text()
    begin, end = text.index("    figures=("), text.index("    estimate=")
    conftest.write_text(text[:begin] + text[end:])
    example.run("kiosk", "--microcloud-effort=quick")
    html = generations(example, "again.html")
    assert "<h3>Messages delivered per second</h3>" in html
    (plot,) = (p for p in plots(html) if p["data"] and p["data"][0].get("y") == [200, 800])
    assert plot["data"][0]["x"] == [1, 4]


def test_an_experiment_that_is_not_registered_gets_a_figure(example: Project, generations: Report) -> None:
    (example.path / "kiosk" / "conftest.py").unlink()
    (example.path / "kiosk" / "mine.toml").write_text("")
    test = example.path / "kiosk" / "test_mqtt.py"
    text = test.read_text().replace('sweep("publishers")', 'parametrize("publishers", [1, 4])')
    test.write_text(text.replace("dict(labels))", 'dict(labels), unit="1/s", better="higher")'))
    example.run("kiosk", "--microcloud-effort=quick").assert_outcomes(passed=2)
    html = generations(example, "again.html")
    assert "<h3>Mqtt: throughput</h3>" in html


def test_the_gate_compares_its_metrics(example: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for slower in ("1", "2"):
        monkeypatch.setenv("SLOWER", slower)
        example.run("kiosk", "--microcloud-effort=quick", "--microcloud-boots=10")
    before, after = map(str, example.files())
    done = microcloud("compare", before, after, "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "mqtt.throughput" in json.dumps(json.loads(done.stdout))


def test_a_record_that_contradicts_itself_is_a_usage_error(example: Project) -> None:
    conftest = example.path / "kiosk" / "conftest.py"
    conftest.write_text(
        conftest.read_text().replace('headline="mqtt.throughput"', 'headline="mqtt.troughput"')
    )
    result = example.run("kiosk")
    text = "\n".join((*result.outlines, *result.errlines))
    assert result.ret == pytest.ExitCode.USAGE_ERROR, text
    assert "experiment 'mqtt': it has no metric 'mqtt.troughput'; did you mean 'mqtt.throughput'?" in text
    assert "Traceback" not in text


@pytest.mark.engine
@pytest.mark.slow
def test_the_example_runs_on_an_emulated_board(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE))  # pytester's home has no calibration
    write(pytester.path)
    (pytester.path / "hosts.ini").write_text("[pi3b]\npi3b-emulated microcloud_driver=container\n")
    result = pytester.runpytest_subprocess(
        "--hosts=pi3b", "--microcloud-effort=quick", "-p", "no:cacheprovider", timeout=560
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*mqtt*feasible*throughput (4) * 1/s*"])
    assert f"<h3>{PLOT}</h3>" in (pytester.path / "reports" / "feasibility.html").read_text(encoding="utf-8")


def measured(project: Project) -> list[dict[str, Any]]:
    return [
        m
        for benchmark in project.document()["benchmarks"]
        for m in benchmark["extra_info"]["microcloud"]["measurements"]
    ]


def plots(html: str) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="mc-plots">(.*?)</script>', html, re.DOTALL)
    assert found
    plots: list[dict[str, Any]] = json.loads(found[1])
    return plots
