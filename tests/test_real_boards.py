"""The shipped suites as a user runs them on boards of his own: over SSH, as its user, leaving nothing."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.machines import hypriot
from tests.support.real import RealBoard, RealBoards

pytestmark = [pytest.mark.engine, pytest.mark.long]

ROOT = Path(__file__).parent.parent
THEIRS = 2
A_LITTLE_OF_ALL = "(page_time and not 250) or (disk and 4KiB) or (memory and 4KiB) or httpd or boot"
WITH_PODMAN = "(page_time and not 250 and docker) or (containers and (httpd or ruby)) or boot"


def run_suites(board: RealBoard, reports: Path, only: str) -> str:
    """Run the shipped suites on a board, and return what the terminal said."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "suites/",
            f"--hosts={board.name}",
            f"--microcloud-inventory={board.inventory()}",
            "--microcloud-effort=quick",
            "--microcloud-retry-invalid=3",
            f"--microcloud-reports={reports}",
            "-k",
            only,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    return done.stdout + done.stderr


def passed(said: str, reports: Path, *experiments: str) -> bool:
    """Whether all went well, and those experiments were measured.

    A busy controller starves its load generator, which invalidates measurements though the board is fine.
    """
    outcomes = [line for line in said.splitlines() if line.startswith(("FAILED ", "ERROR ", "INVALID "))]
    bad = [line for line in outcomes if "the load generator was starved" not in line]
    seen = {metric.partition(".")[0] for metric in measured(reports)} | ({"serving"} if outcomes else set())
    return " passed" in said and bad == [] and seen == set(experiments)


def measured(reports: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the measurements of the one run there, by metric."""
    (file,) = (reports / "runs").glob("*.json")
    by_metric: dict[str, list[dict[str, Any]]] = {}
    for benchmark in json.loads(file.read_text())["benchmarks"]:
        for measurement in benchmark["extra_info"]["microcloud"]["measurements"]:
            by_metric.setdefault(measurement["metric"], []).append(measurement)
    return by_metric


@pytest.fixture(scope="module")
def pirates(real_boards: RealBoards) -> Iterator[RealBoard]:
    board = real_boards.new("desk", **hypriot(others_containers=THEIRS, cpus=0.5))
    yield board
    board.remove()


@pytest.fixture(scope="module")
def before(pirates: RealBoard) -> list[str]:
    return pirates.state()


@pytest.fixture(scope="module")
def reports(pirates: RealBoard, before: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    del before  # only has to be earlier
    directory = tmp_path_factory.mktemp("reports")
    (directory / "output").write_text(run_suites(pirates, directory, A_LITTLE_OF_ALL))
    return directory


def test_all_four_experiments_pass_on_a_board_of_hypriotos_as_its_user(reports: Path) -> None:
    said = (reports / "output").read_text()
    assert passed(said, reports, "serving", "hosting", "io", "startup"), said


def test_the_board_counts_as_real_and_says_that_it_is_of_hypriotos(reports: Path) -> None:
    said = (reports / "output").read_text()
    assert re.search(r"^desk: Raspberry Pi 3 Model B.*; HypriotOS v1\.12\.3", said, re.MULTILINE)
    assert "emulated" not in said


def test_nothing_of_ours_is_left_on_the_board(pirates: RealBoard, before: list[str], reports: Path) -> None:
    del reports
    assert pirates.changes_since(before) == []


def test_containers_of_others_are_untouched_and_reported_as_load(pirates: RealBoard, reports: Path) -> None:
    running = pirates.shell("docker ps --format '{{.Names}}'").split()
    assert sorted(running) == [f"theirs-{n + 1}" for n in range(THEIRS)]
    stated = f"{THEIRS} running containers that this plugin did not start: theirs-1, theirs-2"
    assert f"load of others: {stated}" in (reports / "output").read_text()
    assert "Others' containers" in html.unescape((reports / "feasibility.html").read_text())


@pytest.fixture(scope="module")
def podman(real_boards: RealBoards) -> Iterator[RealBoard]:
    board = real_boards.new("shelf", engine="podman", cpus=0.5)
    yield board
    board.remove()


def test_a_board_with_podman_serves_hosts_and_starts_up_and_nothing_is_left(
    podman: RealBoard, tmp_path: Path
) -> None:
    before = podman.state()
    said = run_suites(podman, tmp_path, WITH_PODMAN)
    assert passed(said, tmp_path, "serving", "hosting", "startup"), said
    seen = measured(tmp_path)
    workloads = {measurement["labels"]["workload"] for measurement in seen["hosting.containers"]}
    assert workloads == {"httpd", "ruby"}
    assert all(m["samples"] for m in seen["hosting.disk_per_container"])
    assert podman.changes_since(before) == []
