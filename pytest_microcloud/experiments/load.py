"""The load generator: Apache's ab on the controller, as in the paper (section 4.I)."""

from __future__ import annotations

import os
import re
import resource
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_microcloud.boards.link import ends_with_us
from pytest_microcloud.catalog import bearable
from pytest_microcloud.errors import BoardError, InvalidMeasurement

REQUEST_TIMEOUT_S = 30
OWN_LIMITS = (
    "Too many open files",
    "Cannot assign requested address",  # no local port is free
    "No buffer space available",
    "Cannot allocate memory",
    "failed to set the NOFILE resource limit",
)
"""What ab, or what starts it, says when it ends for want of something on this machine."""


@dataclass(frozen=True)
class Load:
    """What one run of ab saw: seconds of every request, how many were answered and failed, seconds in all.

    The seconds in all are by ab's own clock, without its start. `doubt` says why it is not to be trusted, if
    it is not: it tells of this machine, not of the board.
    """

    request_times_s: list[float]
    answered: int
    failures: int
    duration_s: float
    doubt: str = ""


@dataclass(frozen=True)
class _Ended:
    """A program that ended: what it exited with and said; its seconds in all, on a CPU, waiting for one."""

    status: int
    stdout: str
    stderr: str
    duration_s: float
    cpu_s: float
    waited_s: float


def ab(board: str, url: str, *, requests: int, clients: int, page_bytes: int, timeout_s: float) -> Load:
    """Send that many requests with that many concurrent clients for a page of `page_bytes`.

    What ab itself does not count as failed, but was not the whole page, counts as failed here.
    Raises InvalidMeasurement when there are no figures, BoardError when ab cannot be run or takes too long.
    """
    program = shutil.which("ab")
    if program is None:
        raise BoardError(
            board, "cannot be put under load: ab is not installed here (apt-get install apache2-utils)"
        )
    with tempfile.TemporaryFile() as file:  # it has no name, so nothing of it stays, whatever ends us
        table = Path(f"/proc/self/fd/{file.fileno()}")
        arguments = ab_arguments(url, requests=requests, clients=clients, table=table)
        try:
            done = _run([*_many_files(), *ends_with_us(), program, *arguments], timeout_s, file.fileno())
        except subprocess.TimeoutExpired:
            raise BoardError(
                board, f"did not serve {requests} requests of {clients} clients within {timeout_s:.0f} s"
            ) from None
        times = _request_times(file.read().decode(errors="replace"))
    if done.status < 0:
        raise InvalidMeasurement(f"{board}: the load generator was ended by signal {-done.status}")
    if limit := _own_limit(done):
        raise InvalidMeasurement(
            f"{board}: the load generator came to a limit of this machine: {limit} ({clients} clients; "
            "see ulimit -n and net.ipv4.ip_local_port_range)"
        )
    if len(times) < _figure("Complete requests", done.stdout):
        raise InvalidMeasurement(
            f"{board}: the load generator could not write the times of all requests to "
            f"{tempfile.gettempdir()}: is this machine's disk full?"
        )
    failures = _failures(done, requests, page_bytes)
    # A server that refuses all at once keeps ab busy, too, and that is no doubt.
    doubt = _doubt(done, clients) if failures < requests else ""
    duration_s = _seconds("Time taken for tests", done.stdout) or done.duration_s
    return Load(_without_refused(times, failures), requests - failures, failures, duration_s, doubt)


def _run(command: Sequence[str], timeout_s: float, file: int) -> _Ended:
    """Run a program that says little and gets an open file to its end; raises TimeoutExpired."""
    before_s, started = _children_s(), time.monotonic()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        pass_fds=(file,),
        start_new_session=True,  # Ctrl-C is for pytest; ab would end early and print what it has
    ) as process:
        try:
            _wait_unreaped(process, timeout_s)
            duration_s, waited_s = time.monotonic() - started, _waited_s(process.pid)
            stdout, stderr = process.communicate()
        except BaseException:
            process.kill()
            raise
    return _Ended(process.returncode, stdout, stderr, duration_s, _children_s() - before_s, waited_s)


def _many_files() -> Sequence[str]:
    """Return the prefix that gives a child as many open files as it may have (util-linux)."""
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if usual == most or most == resource.RLIM_INFINITY or shutil.which("prlimit") is None:
        return ()
    return ("prlimit", f"--nofile={most}", "--")


def _wait_unreaped(process: subprocess.Popen[str], timeout_s: float) -> None:
    """Wait until it has ended, and leave what the kernel knows of it to be read."""
    ended = os.pidfd_open(process.pid)
    try:
        if not select.select([ended], [], [], timeout_s)[0]:
            raise subprocess.TimeoutExpired(process.args, timeout_s)
    finally:
        os.close(ended)


def _waited_s(pid: int) -> float:
    """Return for how long that process was ready to run and had no CPU; 0 where the kernel does not count."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _doubt(done: _Ended, clients: int) -> str:
    busy, waited = done.cpu_s / done.duration_s, done.waited_s / done.duration_s
    if busy > bearable("saturated"):
        return f"the load generator was saturated (ab used {busy:.0%} of a CPU for {clients} clients)"
    if waited > bearable("starved"):
        return (
            f"the load generator was starved: this machine was busy with something else "
            f"(ab waited for a CPU for {waited:.0%} of its time)"
        )
    return ""


def _own_limit(done: _Ended) -> str:
    """Return what it wanted for on this machine when it ended; empty if it did not end for that."""
    return next((words for words in OWN_LIMITS if done.status != 0 and words in done.stderr), "")


def _failures(done: _Ended, requests: int, page_bytes: int) -> int:
    """Return how many requests failed: by their status or by the pages that arrived, whichever is more.

    ab's own "Failed requests" counts a reset connection twice.
    """
    if done.status != 0:
        return requests
    missing = requests - _figure("Complete requests", done.stdout)
    refused = _figure("Non-2xx responses", done.stdout)
    pages = _figure("HTML transferred", done.stdout) // page_bytes
    return min(requests, max(missing + refused, requests - pages))


def ab_arguments(url: str, *, requests: int, clients: int, table: Path) -> list[str]:
    """Return the arguments of that run of ab, which writes the times of the requests to `table`."""
    tolerant = ["-q", "-r", "-s", str(REQUEST_TIMEOUT_S)]
    return [*tolerant, "-n", str(requests), "-c", str(clients), "-g", str(table), url]


def _request_times(table: str) -> list[float]:
    """Read ab's gnuplot table: a header, then starttime, seconds, ctime, dtime, ttime, wait; times in ms."""
    rows = table.splitlines()[1:]
    return [int(row.split("\t")[4]) / 1000 for row in rows if row.count("\t") == 5]


def _without_refused(times_s: list[float], failures: int) -> list[float]:
    """Leave out the requests that were refused at once: ab enters them with a time of 0."""
    refused = min(failures, times_s.count(0.0))
    return sorted(times_s)[refused:] if refused else times_s


def _figure(name: str, output: str) -> int:
    found = re.search(rf"^{re.escape(name)}:\s+(\d+)", output, re.MULTILINE)
    return int(found.group(1)) if found else 0


def _seconds(name: str, output: str) -> float:
    found = re.search(rf"^{re.escape(name)}:\s+([\d.]+) seconds", output, re.MULTILINE)
    return float(found.group(1)) if found else 0.0
