"""Eight emulated boards of four models, measured at once."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import platformdirs
import pytest

from pytest_microcloud.verdict import gate

pytestmark = [pytest.mark.engine, pytest.mark.fleet]

MODELS = ("pi2b", "pi3b", "pi3bplus", "zero2w")
BOARDS = [f"{model}-{letter}" for model in MODELS for letter in "ab"]
CACHE = platformdirs.user_cache_path()
SUITE = """\
    import pytest
    from pytest_microcloud.experiments import hosting, io, serving

    @pytest.mark.parametrize("setting", ["native", "docker"])
    def test_serving(serve, measure, limit, setting):
        limit(measure(serving.load, serve("httpd", setting), clients=5, requests=200))

    def test_hosting(deploy, measure, limit):
        limit(measure(hosting.fill, deploy("httpd"), at_most=3))

    @pytest.mark.parametrize("size", [4096, 1 << 20])
    def test_memory(board, measure, limit, size):
        limit(measure(io.memory, board, size=size, repetitions=5, seconds=0.5))

    def test_plain(board, host):
        assert host.file("/etc/debian_version").exists
        assert board.model.id != "zero2w", "not this model"
    """
SPIN = """\
    import time
    from pytest_microcloud.measurement import Measurement

    SPINS = "i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done"

    def spin(board):
        started = time.monotonic()
        board.link.run(SPINS)
        return [Measurement("io.memory_time", [time.monotonic() - started])]

    def test_spin(measure, board):
        measure.repeat(3, spin, board)
    """
BOOTS = "--microcloud-boots=7"
"""As many as are conclusive among eight metrics."""
SAME = 0.10
"""The gate rules out changes from this size on."""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE))  # pytester's home has no calibration
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider --hosts=all")
    inventory(pytester)
    return pytester


def inventory(project: pytest.Pytester, **variables: str) -> None:
    lines = []
    for model in MODELS:
        there = (board for board in BOARDS if board.startswith(f"{model}-"))
        lines += [
            f"[{model}]",
            *(
                f"{board} microcloud_driver=container {variables.get(board.replace('-', '_'), '')}"
                for board in there
            ),
        ]
    (project.path / "hosts.ini").write_text("\n".join([*lines, ""]))


def newest(project: pytest.Pytester) -> Path:
    return max((project.path / "reports" / "runs").glob("*.json"), key=lambda file: file.stat().st_mtime_ns)


def medians(document: dict[str, Any]) -> dict[tuple[str, ...], float]:
    found = {}
    for ours in (benchmark["extra_info"]["microcloud"] for benchmark in document["benchmarks"]):
        for m in ours["measurements"]:
            labels = [f"{name}={value}" for name, value in sorted(m["labels"].items())]
            if m["unit"] == "s" and m["samples"]:
                found[ours["board"], m["metric"], *labels] = median(m["samples"])
    assert {board for board, *_ in found} == set(BOARDS)
    return found


def test_eight_boards_at_once_have_the_outcomes_of_a_serial_session(project: pytest.Pytester) -> None:
    project.makepyfile(test_boards=SUITE)
    serial = project.runpytest_subprocess()
    alone = json.loads(newest(project).read_text())
    shutil.move(project.path / "reports", project.path / "alone")
    fleet = project.runpytest_subprocess("-n", "auto", "-v")
    (file,) = (project.path / "reports" / "runs").glob("*.json")
    together = json.loads(file.read_text())

    assert (serial.ret, fleet.ret) == (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.TESTS_FAILED)
    assert fleet.parseoutcomes() == serial.parseoutcomes() == {"passed": 46, "failed": 2}
    first, second = (
        [(o["test"], o["board"], o["verdict"]) for o in d["machine_info"]["microcloud"]["outcomes"]]
        for d in (alone, together)
    )
    assert first == second
    workers = defaultdict(set)
    for line in fleet.outlines:
        if found := re.match(r"\[(gw\d+)\] .* \S+\[(?:ssh://)?([a-z0-9]+-[ab])", line):
            workers[found[2]].add(found[1])
    assert set(workers) == set(BOARDS)
    assert all(len(used) == 1 for used in workers.values()), workers

    was, now = medians(alone), medians(together)
    assert was.keys() == now.keys()
    ratios = {series: now[series] / was[series] for series in was if was[series]}  # ab rounds to 1 ms
    apart = {series: f"{ratio:.3f}" for series, ratio in ratios.items() if abs(ratio - 1) > SAME}
    print(f"{len(ratios)} medians, at once / one by one: {sorted(ratios.values())}")
    print(f"further apart than {SAME:.0%}: {apart}")
    assert abs(median(ratios.values()) - 1) <= SAME
    compared = subprocess.run(
        [str(Path(sys.executable).parent / "pytest-benchmark"), "compare", str(file)],
        cwd=project.path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(board in compared.stdout for board in BOARDS)


def test_the_gate_finds_nothing_in_an_unchanged_fleet_and_the_one_board_that_is_slower(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(test_boards=SPIN)
    assert project.runpytest_subprocess("-n", "auto", BOOTS).ret == pytest.ExitCode.OK
    baseline = newest(project).stem

    same = project.runpytest_subprocess("-n", "auto", BOOTS, f"--microcloud-baseline={baseline}")
    assert same.ret == pytest.ExitCode.OK, same.outlines
    assert regressed(project) == set()

    inventory(project, pi3b_b="microcloud_cpu_share=0.8")
    slower = project.runpytest_subprocess("-n", "auto", BOOTS, f"--microcloud-baseline={baseline}")
    assert slower.ret == pytest.ExitCode.TESTS_FAILED, slower.outlines
    assert regressed(project) == {"pi3b-b"}


def regressed(project: pytest.Pytester) -> set[str]:
    stored = json.loads(newest(project).read_text())["machine_info"]["microcloud"]["gate"]
    print(json.dumps(stored, indent=1))
    assert {finding["board"] for finding in stored["metrics"]} == set(BOARDS)
    return {finding["board"] for finding in stored["metrics"] if finding["verdict"] == gate.REGRESSED}
