"""`python -m benchmarks.fleet [--quick]`: measure what a session with many boards costs this machine.

The boards are stand-ins whose tests only wait, so the times show the controller's cost. The sessions do not
read the boards' controls, because that would load the CPUs of this machine, which all stand-ins share.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import psutil

from benchmarks.emulated import announce
from benchmarks.row import Row, table
from benchmarks.standins import standins
from pytest_microcloud.controller.engine import host_engine
from pytest_microcloud.errors import MicrocloudError

if TYPE_CHECKING:
    from docker import DockerClient

FEW, MANY = 8, 64
SHORTEST_S, LONGEST_S = 90, 120
"""The shortest and the longest time that the tests of a stand-in wait in all (s).

A real board takes about twice as long for its tests at quick effort.
"""
TESTS = 3
DEADLINE_S = 1200.0
SAMPLED_EVERY_S = 2.0
SUITE = f"""
    import pytest
    from pytest_microcloud import Measurement

    @pytest.mark.parametrize("number", range({TESTS}))
    def test_waits(board, measure, number):
        place = int(board.name.rpartition("-")[2]) % {FEW}
        seconds = ({SHORTEST_S} + ({LONGEST_S} - {SHORTEST_S}) * place / {FEW - 1}) / {TESTS}

        def wait():
            board.link.run(f"sleep {{seconds}}", timeout_s=seconds + 60)
            board.docker.containers.list()
            return [Measurement("startup.ready_time", [seconds])]

        measure(wait)
"""


@dataclass(frozen=True)
class Session:
    """A session's duration (s), and the peak memory of the controller and its workers together (bytes)."""

    took_s: float
    memory_bytes: int


def main() -> int:
    """Run the sessions and print the table; return 0 if every row meets its requirement, otherwise 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__.split(": ")[1])
    parser.add_argument(
        "--quick", action="store_true", help="of the sessions with one board, run only the slowest"
    )
    chosen = parser.parse_args()
    try:
        rows = _rows(host_engine(), quick=chosen.quick)
    except (MicrocloudError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(f"\n{table(rows)}", flush=True)
    return 0 if all(row.kept for row in rows) else 1


def _rows(host: DockerClient, *, quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="microcloud-bench-") as directory:
        project = Path(directory)
        (project / "pytest.ini").write_text("[pytest]\n")
        (project / "test_waits.py").write_text(dedent(SUITE))
        (project / "keys").mkdir()
        with standins(MANY, host, project / "keys") as lines:
            (project / "hosts.ini").write_text("\n".join(["[pi3b]", *lines, ""]))
            names = [line.split()[0] for line in lines]
            alone = [_session(project, [name]) for name in names[FEW - 1 if quick else 0 : FEW]]
            few, many = _session(project, names[:FEW]), _session(project, names)
    slowest_s = max(session.took_s for session in alone)
    return [
        Row(
            f"{FEW} boards at once / the slowest of them alone",
            [few.took_s / slowest_s],
            "",
            f"{few.took_s:.1f} s / {slowest_s:.1f} s, {len(alone)} alone",
            at_most=1.15,
        ),
        Row(
            f"{MANY} boards at once / {FEW} boards at once",
            [many.took_s / few.took_s],
            "",
            f"{many.took_s:.1f} s / {few.took_s:.1f} s",
            at_most=1.5,
        ),
        Row(
            f"memory of controller and workers, {MANY} boards at once",
            [many.memory_bytes / 1e6],
            " MB",
            f"{few.memory_bytes / 1e6:.0f} MB with {FEW}; shared pages count once",
            at_most=6000,
        ),
    ]


def _session(project: Path, names: list[str]) -> Session:
    """Run a session that measures these boards in parallel. Raises OSError if the session fails."""
    what = names[0] if len(names) == 1 else f"{len(names)} boards"
    announce(what, "session")
    hosts = f"--hosts={','.join(names)}"
    with tempfile.TemporaryFile() as output:
        started = time.monotonic()
        process = psutil.Popen(
            [sys.executable, "-m", "pytest", "-q", "-n", "auto", hosts, "--microcloud-no-control"],
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        peak = 0
        while process.poll() is None:
            if time.monotonic() - started > DEADLINE_S:
                process.terminate()
            peak = max(peak, _memory_bytes(process))
            try:
                process.wait(SAMPLED_EVERY_S)
            except psutil.TimeoutExpired:
                continue
        took_s = time.monotonic() - started
        output.seek(0)
        said = output.read().decode(errors="replace")
    if process.returncode != 0 or f"{TESTS * len(names)} passed" not in said:
        raise OSError(f"the session with {what} ended with exit code {process.returncode}:\n{said[-8000:]}")
    return Session(took_s, peak)


def _memory_bytes(process: psutil.Process) -> int:
    """Return the memory (proportional set size) of a process and its descendants."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_full_info().pss
        except psutil.NoSuchProcess:  # the process ended in the meantime
            continue
    return total


if __name__ == "__main__":
    sys.exit(main())
