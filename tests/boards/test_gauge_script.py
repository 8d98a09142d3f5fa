"""The gauge's script with the files of different kernel versions."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_microcloud.boards import gauge

OLD = "MemTotal: 1000 kB\nMemFree: 300 kB\nBuffers: 50 kB\nCached: 250 kB\nSwapCached: 7 kB\nShmem: 20 kB\n"


def reading(tmp_path: Path, meminfo: str) -> str:
    """Return the script's output for a /proc/meminfo with that content, with the cgroup files there."""
    file = tmp_path / "meminfo"
    file.write_text(meminfo)
    script = f"{gauge._SCRIPT}\nv1=/nowhere v2={tmp_path} meminfo={file}\nanswer"
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, timeout=10).stdout


def test_a_kernel_without_mem_available_gets_an_estimate(tmp_path: Path) -> None:
    total, available, *_ = reading(tmp_path, OLD).split()
    assert (int(total), int(available)) == (1000 * 1024, (300 + 50 + 250 - 20) * 1024)


def test_mem_available_is_taken_as_the_kernel_reports_it(tmp_path: Path) -> None:
    total, available, *_ = reading(tmp_path, OLD + "MemAvailable: 432 kB\n").split()
    assert (int(total), int(available)) == (1000 * 1024, 432 * 1024)


@pytest.mark.parametrize("meminfo", ["", "MemFree: 300 kB\n"])
def test_a_meminfo_without_a_total_is_reported_and_is_not_a_reading(tmp_path: Path, meminfo: str) -> None:
    assert reading(tmp_path, meminfo) == f"no MemTotal in {tmp_path / 'meminfo'}\n"


def test_a_limit_without_a_usage_is_reported_and_is_not_a_reading(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("512000\n")
    (tmp_path / "memory.stat").write_text("inactive_file 4096\n")
    assert reading(tmp_path, OLD).startswith("a memory limit without a memory usage")
    (tmp_path / "memory.current").write_text("102400\n")
    total, available, *_ = reading(tmp_path, OLD).split()
    assert (int(total), int(available)) == (512000, 512000 - 102400 + 4096)
