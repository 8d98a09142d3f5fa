"""The load generator: Apache's ab on the controller, as in the paper (section 4.I)."""

from __future__ import annotations

import os
import re
import resource
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pytest_microcloud.catalog import threshold
from pytest_microcloud.controller.processes import ends_with_us
from pytest_microcloud.errors import BoardError, InvalidMeasurement, UserMistake

REQUEST_TIMEOUT_S = 30
"""ab is interrupted after this time without an event on any connection."""
GRACE_S = 15
"""ab's own timeout exceeds REQUEST_TIMEOUT_S by this: if it expired, ab would discard all request times."""
IDLE_POLL_S = 0.25
MOST_CLIENTS = 20_000
"""Largest number of concurrent clients that ab accepts (its MAX_CONCURRENCY)."""
OWN_LIMITS = (
    "Too many open files",
    "Cannot assign requested address",  # no local port is free
    "No buffer space available",
    "Cannot allocate memory",
    "failed to set the NOFILE resource limit",
)
"""Messages that ab, or a program that starts ab, prints when a limit of this machine stops the load."""
PRIORITY = 1
"""Real-time priority of the load generator, which represents a separate machine and needs little CPU time."""


@dataclass(frozen=True)
class Load:
    """The result of one run of ab.

    `request_times_s` has one entry per answered request; it is empty if ab stopped before it wrote them.
    `duration_s` is measured by ab, without ab's start-up and without the wait for requests that were never
    answered. `stopped` is the reason why ab ended before its last request, or empty. `bottleneck` is the
    reason why this machine, and not the board, may have limited the load, or empty.
    """

    request_times_s: list[float]
    answered: int
    failures: int
    duration_s: float
    stopped: str = ""
    bottleneck: str = ""


@dataclass(frozen=True)
class _Ended:
    """A finished program: status, output, total time, time on a CPU, time waiting for a CPU, idle time."""

    status: int
    stdout: str
    stderr: str
    duration_s: float
    cpu_s: float
    waited_s: float
    idle_s: float = 0.0

    @property
    def summary(self) -> bool:
        """Whether ab printed its results."""
        return "Complete requests:" in self.stdout

    @property
    def completed(self) -> int:
        """The number of requests that ab completed, whether or not it printed its results."""
        return _figure("Complete requests:", self.stdout) or _figure("Total of", self.stdout)


def ab(
    board: str,
    url: str,
    *,
    requests: int,
    clients: int,
    page_bytes: int,
    timeout_s: float,
    address: str = "",
) -> Load:
    """Send `requests` requests from `clients` concurrent clients for a page of `page_bytes`.

    With an `address`, ab connects to it instead of resolving the host of `url`; the header Host keeps the
    name. Truncated pages count as failures, although ab itself does not count them. If ab stops early, the
    requests that it completed count as answered.

    Raises UserMistake if there are fewer requests than clients, InvalidMeasurement if ab has no results, and
    BoardError if ab cannot be run or takes longer than `timeout_s`.
    """
    check_load(requests=requests, clients=clients)
    program = shutil.which("ab")
    if program is None:
        raise BoardError(
            board,
            "cannot be put under load: ab is not installed on this machine (apt-get install apache2-utils)",
        )
    with tempfile.TemporaryFile() as file:  # has no name, so no file remains if this process is killed
        table = Path(f"/proc/self/fd/{file.fileno()}")
        arguments = ab_arguments(url, requests=requests, clients=clients, table=table, address=address)
        try:
            done = _run([*_many_files(), *ends_with_us(), program, *arguments], timeout_s, file.fileno())
        except subprocess.TimeoutExpired:
            raise BoardError(
                board, f"did not serve {requests} requests from {clients} clients within {timeout_s:.0f} s"
            ) from None
        times = _request_times(file.read().decode(errors="replace"))
    _check_ran(board, done, clients)
    if done.summary and len(times) < done.completed:
        raise InvalidMeasurement(
            f"{board}: the load generator could not write the times of all requests to "
            f"{tempfile.gettempdir()}: is this machine's disk full?"
        )
    failures = _failures(done, requests, page_bytes)
    # A server that immediately refuses all requests also keeps ab busy; that is not a bottleneck.
    bottleneck = _bottleneck(done, clients) if failures < requests else ""
    duration_s = (_seconds("Time taken for tests", done.stdout) or done.duration_s) - done.idle_s
    answered = requests - failures
    return Load(_without_refused(times, failures), answered, failures, duration_s, _stopped(done), bottleneck)


def check_load(*, requests: int, clients: int) -> None:
    """Raise UserMistake unless ab can send `requests` requests from `clients` clients."""
    if not 1 <= clients <= MOST_CLIENTS:
        raise UserMistake(f"clients={clients}: the load generator takes 1 to {MOST_CLIENTS:,} clients")
    if requests < clients:
        raise UserMistake(
            f"requests={requests}, clients={clients}: each client needs at least one request, and four for "
            "meaningful page times"
        )


def _check_ran(board: str, done: _Ended, clients: int) -> None:
    """Raise InvalidMeasurement if this machine stopped ab or prevented its start."""
    if done.status < 0:
        raise InvalidMeasurement(f"{board}: the load generator was ended by signal {-done.status}")
    if limit := _own_limit(done):
        raise InvalidMeasurement(
            f"{board}: the load generator reached a limit of this machine: {limit} ({clients} clients; "
            "see ulimit -n and net.ipv4.ip_local_port_range)"
        )
    if done.status != 0 and not done.summary and "Benchmarking" not in done.stdout:
        raise InvalidMeasurement(f"{board}: the load generator did not start: {_last_line(done.stderr)}")


def _stopped(done: _Ended) -> str:
    """Return why ab ended before its last request; empty if ab completed all requests."""
    if done.idle_s:
        return f"no answer within {REQUEST_TIMEOUT_S} s"
    return f"ab stopped: {_last_line(done.stderr)}" if done.status != 0 else ""


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")


def _run(command: Sequence[str], timeout_s: float, file: int) -> _Ended:
    """Run a program that prints little and inherits an open file. Raises TimeoutExpired.

    The program is interrupted after REQUEST_TIMEOUT_S without an event: ab then prints its results and writes
    its table.
    """
    before_s, started = _children_s(), time.monotonic()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        pass_fds=(file,),
        start_new_session=True,  # Ctrl-C is for pytest; it would end ab early
    ) as process:
        _prioritise(process.pid)
        try:
            idle_s = _wait_unreaped(process, timeout_s)
            duration_s, waited_s = time.monotonic() - started, _waited_s(process.pid)
            stdout, stderr = process.communicate()
        except BaseException:
            process.kill()
            raise
    cpu_s = _children_s() - before_s
    return _Ended(process.returncode, stdout, stderr, duration_s, cpu_s, waited_s, idle_s)


def _prioritise(pid: int) -> None:
    """Give the load generator real-time priority, if permitted, so that emulated boards do not delay it.

    A nice value is not enough, because the scheduler treats the engine's containers as one separate group.
    """
    with suppress(OSError, AttributeError):  # not permitted, or not Linux
        os.sched_setscheduler(pid, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))


def _many_files() -> Sequence[str]:
    """Return a command prefix (prlimit) that raises a child's limit of open files to the maximum."""
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if usual == most or most == resource.RLIM_INFINITY or shutil.which("prlimit") is None:
        return ()
    return ("prlimit", f"--nofile={most}", "--")


def _wait_unreaped(process: subprocess.Popen[str], timeout_s: float) -> float:
    """Wait until the process has ended, and leave it unreaped so that the kernel's counters can be read.

    Return the time without an event after which the process was interrupted (s); 0 if it was not interrupted.
    """
    deadline = time.monotonic() + timeout_s
    active, events, idle_s = time.monotonic(), -1, 0.0
    ended = os.pidfd_open(process.pid)
    try:
        while not select.select([ended], [], [], IDLE_POLL_S)[0]:
            now = time.monotonic()
            if now > deadline:
                raise subprocess.TimeoutExpired(process.args, timeout_s)
            if (seen := _context_switches(process.pid)) != events:
                active, events = now, seen
            elif now - active > REQUEST_TIMEOUT_S and not idle_s:
                idle_s = now - active
                process.send_signal(signal.SIGINT)
    finally:
        os.close(ended)
    return idle_s


def _context_switches(pid: int) -> int:
    """Return how often a process has started to wait. The number grows with each event, not with time."""
    try:
        return _figure("voluntary_ctxt_switches:", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0


def _waited_s(pid: int) -> float:
    """Return how long a process was ready to run but had no CPU (s); 0 if the kernel does not count that."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _bottleneck(done: _Ended, clients: int) -> str:
    busy, waited = done.cpu_s / done.duration_s, done.waited_s / done.duration_s
    if busy > threshold("saturated"):
        return f"the load generator was saturated (ab used {busy:.0%} of a CPU for {clients} clients)"
    if waited > threshold("starved"):
        return (
            f"the load generator was starved: this machine was busy with something else "
            f"(ab waited for a CPU for {waited:.0%} of its time)"
        )
    return ""


def _own_limit(done: _Ended) -> str:
    """Return the limit of this machine that stopped the program; empty if there is none."""
    return next((words for words in OWN_LIMITS if done.status != 0 and words in done.stderr), "")


def _failures(done: _Ended, requests: int, page_bytes: int) -> int:
    """Return how many requests failed, counted by status or by the pages received, whichever is more.

    ab's own "Failed requests" counts a reset connection twice. Without ab's results, only the requests that
    ab did not complete count as failed.
    """
    missing = requests - done.completed
    if not done.summary:
        return missing
    refused = _figure("Non-2xx responses:", done.stdout)
    pages = _figure("HTML transferred:", done.stdout) // page_bytes
    return min(requests, max(missing + refused, requests - pages))


def ab_arguments(url: str, *, requests: int, clients: int, table: Path, address: str = "") -> list[str]:
    """Return the arguments of ab, which writes the times of the requests to `table`.

    With an `address`, ab connects to it and sends the host of `url` in the header Host.
    """
    tolerant = ["-q", "-r", "-s", str(REQUEST_TIMEOUT_S + GRACE_S)]
    arguments = [*tolerant, "-n", str(requests), "-c", str(clients), "-g", str(table)]
    if not address:
        return [*arguments, url]
    parts = urlsplit(url)
    literal = f"[{address}]" if ":" in address else address
    at_address = parts._replace(netloc=f"{literal}:{parts.port or 80}")
    return [*arguments, "-H", f"Host: {parts.netloc}", urlunsplit(at_address)]


def _request_times(table: str) -> list[float]:
    """Return the times of the requests (s) from ab's gnuplot table.

    After a header, each row has starttime, seconds, ctime, dtime, ttime and wait. ttime is the time in ms.
    """
    rows = table.splitlines()[1:]
    return [int(row.split("\t")[4]) / 1000 for row in rows if row.count("\t") == 5]


def _without_refused(times_s: list[float], failures: int) -> list[float]:
    """Return the times without those of immediately refused requests, for which ab records a time of 0."""
    refused = min(failures, times_s.count(0.0))
    return sorted(times_s)[refused:] if refused else times_s


def _figure(name: str, output: str) -> int:
    found = re.search(rf"^(?:Benchmarking .*)?{re.escape(name)}\s+(\d+)", output, re.MULTILINE)
    return int(found.group(1)) if found else 0


def _seconds(name: str, output: str) -> float:
    found = re.search(rf"^{re.escape(name)}:\s+([\d.]+) seconds", output, re.MULTILINE)
    return float(found.group(1)) if found else 0.0
