"""The time of one access from the reports of old and new versions of fio and sysbench."""

from __future__ import annotations

import json

import pytest

from pytest_microcloud.errors import BoardError, ToolMissing
from pytest_microcloud.experiments.io import access_s, check_sysbench

SIZE = 4096
LARGE = 16 * 2**20


def report(version: str, **read: float | None) -> str:
    """Return the part of fio's output that is parsed."""
    return "fio: a warning\n" + json.dumps({"fio version": version, "jobs": [{"read": read}]})


@pytest.mark.parametrize(
    ("output", "size", "seconds"),
    [
        # 3 accesses of 16 MiB in 2 s: 1.5 a second, which fio 2.1 rounds to 1
        (report("fio-2.1.11", io_bytes=3 * LARGE >> 10, bw=24576, iops=1, runtime=2000), LARGE, 2 / 3),
        # 1 access in 2 s: it rounds to 0
        (report("fio-2.1.11", io_bytes=LARGE >> 10, bw=8192, iops=0, runtime=2000), LARGE, 2.0),
        (report("fio-2.1.11", io_bytes=6000, bw=4000, iops=1000, runtime=1500), SIZE, 0.001),
        (report("fio-2.16", io_bytes=6000, iops=1000.0, runtime=1500, total_ios=1500), SIZE, 0.001),
        (report("fio-3.33", io_bytes=6144000, iops=1000.0, runtime=1500, total_ios=1500), SIZE, 0.001),
    ],
    ids=["2.1-rounds-down", "2.1-rounds-to-0", "2.1", "2.16", "3.33"],
)
def test_the_time_of_one_access_does_not_depend_on_the_version_of_fio(
    output: str, size: int, seconds: float
) -> None:
    assert access_s("desk", "read", size, output) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "output",
    [
        "fio: no such file",
        "{}",
        '{"jobs": [{"read": null}]}',
        report("fio-3.33", total_ios=0, runtime=0),
        report("fio-3.33", total_ios=0, runtime=1500),
        report("fio-3.33", total_ios=10, runtime=0),
        report("fio-3.33", total_ios=None, runtime=1500),
        report("fio-2.1.11", io_bytes=0, iops=0, runtime=1500),
    ],
)
def test_a_report_without_accesses_is_a_board_error_that_quotes_it(output: str) -> None:
    with pytest.raises(BoardError, match="desk: fio reported no accesses in its run time: "):
        access_s("desk", "read", SIZE, output)


@pytest.mark.parametrize("version", ["sysbench 0.4.12", "sysbench 0.5", "sysbench v0.4.10\n"])
def test_a_sysbench_that_is_too_old_is_named_with_the_version_that_is_needed(version: str) -> None:
    with pytest.raises(ToolMissing, match=r"desk: has sysbench v?0\.[\d.]+, but sysbench 1\.0 or later"):
        check_sysbench("desk", version)


@pytest.mark.parametrize("version", ["sysbench 1.0.20\n", "sysbench 1.1.0-4e0e44c (using LuaJIT)", ""])
def test_a_newer_sysbench_and_one_of_unknown_version_are_used(version: str) -> None:
    check_sysbench("desk", version)
