"""A board that is unhealthy during a measurement: the test is invalid, and the next one runs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.real import RealBoard, RealBoards

pytestmark = pytest.mark.engine

PATIENCE_S = 240.0
SUITE = """\
    import time

    from pytest_microcloud.measurement import Measurement

    def test_ill(board, measure):
        def measured():
            board.link.run({fault!r}, root=True, check=False)
            time.sleep({takes_s})
            return [Measurement("startup.ready_time", [15.0])]

        measure(measured)

    def test_well(board, measure):
        measure(lambda: [Measurement("startup.ready_time", [16.0])])
    """
VCGENCMD = """
printf '#!/bin/sh\\ncat /dev/shm/bits\\n' > /usr/local/bin/vcgencmd && chmod 755 /usr/local/bin/vcgencmd
echo throttled=0x0 > /dev/shm/bits
"""
HOG = """
tar -ch /usr/bin/tail $(ldd /usr/bin/tail | grep -o '/[^ ]*') 2>/dev/null | docker import - somebody/hog:1
"""
SPIN = "timeout 90 sh -c 'while [ ! -e /dev/shm/enough ]; do :; done' || true"


@pytest.fixture(scope="module")
def ill(real_boards: RealBoards) -> RealBoard:
    return real_boards.new("ill")


@pytest.fixture
def run(tmp_path: Path, ill: RealBoard) -> Callable[..., tuple[int, str, dict[str, Any]]]:
    """Measure on a board where a command causes the fault; return exit code, output and run file."""

    def measured(fault: str, *options: str, takes_s: float = 1.0) -> tuple[int, str, dict[str, Any]]:
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        (tmp_path / "hosts.ini").write_text(f"[pi3b]\n{ill.inventory_line()}\n")
        (tmp_path / "test_suite.py").write_text(dedent(SUITE).format(fault=fault, takes_s=takes_s))
        before = ill.state()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--hosts=ill", *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        message = done.stdout + done.stderr
        assert "Traceback" not in message, message
        left = ill.changes_since(before, patience_s=20)
        assert [line for line in left if "systemd-private" not in line] == []  # a reboot's own
        (file,) = (tmp_path / "reports" / "runs").glob("*.json")
        return done.returncode, message, json.loads(file.read_text())

    return measured


def assert_invalid(result: tuple[int, str, dict[str, Any]], reason: str) -> None:
    """Assert that the first test was invalid for that reason, and the second was measured."""
    code, message, document = result
    assert code == pytest.ExitCode.TESTS_FAILED, message
    assert "1 passed, 1 invalid" in message, message
    outcome, second = document["machine_info"]["microcloud"]["outcomes"]
    assert (outcome["verdict"], second["verdict"]) == ("invalid", "feasible")
    assert outcome["reason"].startswith(f"ill: {reason}")
    assert [m["verdict"] for m in outcome["measurements"]] == ["invalid"]
    assert f"INVALID {outcome['test']} - {outcome['reason']}" in message
    (well,) = document["benchmarks"]
    assert well["stats"]["data"] == [16.0]


def test_under_voltage_makes_a_measurement_invalid(
    run: Callable[..., tuple[int, str, dict[str, Any]]], ill: RealBoard
) -> None:
    ill.shell(VCGENCMD)
    try:
        assert_invalid(
            run("echo throttled=0x50000 > /dev/shm/bits"),
            "its supply voltage was too low (vcgencmd get_throttled, bit 0); "
            "it was throttled (vcgencmd get_throttled, bit 2)",
        )
    finally:
        ill.shell("rm /usr/local/bin/vcgencmd /dev/shm/bits")


@pytest.mark.long
def test_invalid_measurements_are_retried_on_request(
    run: Callable[..., tuple[int, str, dict[str, Any]]], ill: RealBoard
) -> None:
    ill.shell(VCGENCMD)
    try:
        once = "echo throttled=0x10000 > /dev/shm/bits"
        code, message, document = run(once, "--microcloud-retry-invalid=1", "-k", "test_ill")
    finally:
        ill.shell("rm /usr/local/bin/vcgencmd /dev/shm/bits")
    assert code == pytest.ExitCode.OK, message
    assert "bit 0); retry 1 of 1 in 30 s" in message
    (benchmark,) = document["benchmarks"]
    verdicts = [m["verdict"] for m in benchmark["extra_info"]["microcloud"]["measurements"]]
    assert verdicts == ["feasible", "invalid"]


def test_a_board_that_reboots_by_itself_invalidates_the_measurement(
    run: Callable[..., tuple[int, str, dict[str, Any]]],
) -> None:
    assert_invalid(run("systemctl reboot", takes_s=5.0), "it rebooted")


def test_an_oom_killed_process_invalidates_the_measurement(
    run: Callable[..., tuple[int, str, dict[str, Any]]], ill: RealBoard
) -> None:
    ill.shell(HOG)
    assert_invalid(
        run("docker run --rm -m 30m somebody/hog:1 /usr/bin/tail /dev/zero"),
        "it ran out of memory, and its kernel killed a process",
    )


@pytest.mark.long
def test_foreign_load_invalidates_the_measurement(
    run: Callable[..., tuple[int, str, dict[str, Any]]], ill: RealBoard
) -> None:
    ill.shell("rm -f /dev/shm/enough")
    others = threading.Thread(target=ill.shell, args=[SPIN])
    others.start()
    time.sleep(1)
    try:
        assert_invalid(run("touch /dev/shm/enough"), "it was busy with something else before the start (")
    finally:
        ill.shell("touch /dev/shm/enough")
        others.join()
        ill.shell("rm /dev/shm/enough")


def test_a_board_that_lies_about_time_makes_a_measurement_invalid(
    run: Callable[..., tuple[int, str, dict[str, Any]]], ill: RealBoard
) -> None:
    ill.shell("cp /proc/uptime /dev/shm/uptime && mount --bind /dev/shm/uptime /proc/uptime")
    assert_invalid(run("umount /proc/uptime", takes_s=3.0), "its clock counted ")
