"""I/O overhead (the paper, section 4.III): time of one access to disk and memory by size."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

from pytest_microcloud.errors import BoardError, ToolMissing
from pytest_microcloud.experiments.deploy import changed
from pytest_microcloud.experiments.record import Axis, Step, shipped
from pytest_microcloud.measurement import Measurement

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board

DIRECTORY = "/var/tmp/microcloud"  # noqa: S108 - on the board's disk, unlike /tmp
FILE_BYTES = 32 * 2**20
SYSBENCH_VERSION = re.compile(r"sysbench\s+v?(\d+)\.(\d+)\S*")
OLDEST_SYSBENCH = (1, 0)
"""Versions before 1.0 have other options (`--test=`, `--max-time=`) and another report format."""
MEMORY_OPERATIONS_PER_S = re.compile(r"Total operations: \d+ \(\s*([\d.]+) per second\)")


def shown_size(size: int) -> str:
    """Return a size in bytes with its unit, such as 64KiB."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024 or unit == "MiB":
            return f"{size:g}{unit}"
        size //= 1024
    raise AssertionError


def _estimate(step: Step) -> float:
    size = int(step.parameters.get("size", 4096))
    rounds, seconds = step.effort.io_rounds, step.effort.io_seconds
    if "memory" in step.test:
        return rounds * (max(1.0, seconds) + 0.3)
    read, write = step.model.disk_read_bytes_per_s or 1e8, step.model.disk_write_bytes_per_s or 1e8
    layout_s = max(FILE_BYTES, size) / write
    return layout_s + rounds * (max(seconds, size / read) + max(seconds, size / write) + 1)


IO = shipped(
    "io",
    axes={"size": Axis(lambda effort, _: effort.sizes, shown_size)},
    tools={"fio": "fio", "sysbench": "sysbench"},
    estimate=_estimate,
)


def disk(board: Board, *, size: int, repetitions: int, seconds: float) -> list[Measurement]:
    """Access the disk `size` bytes at a time with fio: direct reads and direct synced writes, `seconds` each.

    There is one sample per repetition: the time of one access (s), computed as fio's run time divided by the
    number of accesses. fio's own latency does not include the sync.
    """
    board.need("fio")
    with changed(board, f"rm -rf {DIRECTORY}"):
        # Remove the directory first: another user may have created it as a link to a place where root
        # should not write.
        board.link.run(f"rm -rf {DIRECTORY} && mkdir -m 700 {DIRECTORY}", root=True)
        return [_disk(board, kind, size, repetitions, seconds) for kind in ("read", "write")]


def memory(board: Board, *, size: int, repetitions: int, seconds: float) -> list[Measurement]:
    """Write to memory `size` bytes at a time with sysbench; one sample per repetition (s per access)."""
    board.need("sysbench")
    check_sysbench(board.name, board.link.run("sysbench --version").stdout)
    samples = []
    for turn in range(repetitions):
        board.say(f"io memory {shown_size(size)}: {turn + 1} of {repetitions}")
        output = board.link.run(
            f"sysbench memory --memory-block-size={size} --memory-total-size=0 --memory-oper=write "
            f"--threads=1 --time={max(1, round(seconds))} run",
            timeout_s=60 + seconds,
        ).stdout
        found = MEMORY_OPERATIONS_PER_S.search(output)
        if found is None or float(found.group(1)) == 0:
            raise BoardError(
                board.name, f"sysbench reported no operations per second: {output[-200:].strip()}"
            )
        samples.append(1 / float(found.group(1)))
    return [Measurement("io.memory_time", samples, {"size": shown_size(size)})]


def _disk(board: Board, kind: str, size: int, repetitions: int, seconds: float) -> Measurement:
    samples = []
    job = (
        f"fio --name=microcloud --directory={DIRECTORY} --filename=access --size={max(FILE_BYTES, size)} "
        f"--rw=rand{kind} --bs={size} --direct=1 --ioengine=psync --iodepth=1 --output-format=json "
        f"--time_based --runtime={shlex.quote(f'{seconds * 1000:.0f}ms')} --randrepeat=0"
    )
    if kind == "write":
        job += " --fdatasync=1"  # O_DSYNC takes the same time, but --sync=dsync needs fio 3.23 or later
    for turn in range(repetitions):
        board.say(f"io disk {kind} {shown_size(size)}: {turn + 1} of {repetitions}")
        output = board.link.run(job, root=True, timeout_s=120 + 4 * seconds).stdout
        samples.append(access_s(board.name, kind, size, output))
    return Measurement(f"io.disk_{kind}_time", samples, {"size": shown_size(size)})


def access_s(board: str, kind: str, size: int, output: str) -> float:
    """Return the time of one access of `size` bytes (s) from fio's JSON report. Raises BoardError.

    The time is computed from the number of accesses, because fio 2.1 rounds `iops` down to an integer.
    """
    try:
        report: dict[str, Any] = json.loads(output[output.index("{") :])
        done = report["jobs"][0][kind]
        # fio 2.1 does not count accesses, and its `io_bytes` are in KiB
        accesses = done["total_ios"] if "total_ios" in done else done["io_bytes"] * 1024 / size
        if done["runtime"] > 0 and accesses > 0:
            return float(done["runtime"]) / 1000 / float(accesses)
    except (ValueError, KeyError, IndexError, TypeError):
        pass
    raise BoardError(board, f"fio reported no accesses in its run time: {output[:200].strip()}")


def check_sysbench(board: str, output: str) -> None:
    """Raise ToolMissing if `sysbench --version` printed a version that is too old."""
    found = SYSBENCH_VERSION.search(output)
    if found and (int(found[1]), int(found[2])) < OLDEST_SYSBENCH:
        raise ToolMissing(
            board,
            f"has {found[0]}, but sysbench 1.0 or later is needed: install it from a newer release of the "
            "board's OS, or from https://github.com/akopytov/sysbench",
        )
