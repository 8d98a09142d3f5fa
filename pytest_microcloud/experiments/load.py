"""The load generator: Apache's ab on the controller, as in the paper (section 4.I)."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pytest_microcloud.boards.link import ends_with_us
from pytest_microcloud.errors import BoardError, InvalidMeasurement

REQUEST_TIMEOUT_S = 30
SATURATED = 0.9
"""Share of one CPU above which ab itself, a single thread, is the bottleneck."""


@dataclass(frozen=True)
class Load:
    """What one run of ab saw: seconds of every request, how many were answered and failed, seconds in all."""

    request_times_s: list[float]
    answered: int
    failures: int
    duration_s: float


def ab(board: str, url: str, *, requests: int, clients: int, page_bytes: int, timeout_s: float) -> Load:
    """Send that many requests with that many concurrent clients for a page of `page_bytes`.

    What ab itself does not count as failed, but was not the whole page, counts as failed here.
    Raises InvalidMeasurement when ab itself was saturated, BoardError when it cannot be run or takes too
    long.
    """
    program = shutil.which("ab")
    if program is None:
        raise BoardError(
            board, "cannot be put under load: ab is not installed here (apt-get install apache2-utils)"
        )
    with tempfile.TemporaryDirectory(prefix="microcloud-ab-") as directory:
        table = Path(directory) / "requests.tsv"
        before, started = _cpu_s(), time.monotonic()
        try:
            done = subprocess.run(
                [
                    *ends_with_us(),
                    program,
                    *ab_arguments(url, requests=requests, clients=clients, table=table),
                ],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
                start_new_session=True,  # Ctrl-C is for pytest; ab would end early and print what it has
            )
        except subprocess.TimeoutExpired:
            raise BoardError(
                board, f"did not serve {requests} requests of {clients} clients within {timeout_s:.0f} s"
            ) from None
        wall = time.monotonic() - started
        busy = (_cpu_s() - before) / wall
        failures = _failures(done, requests, page_bytes)
        if busy > SATURATED and failures < requests:  # a server that refuses all at once keeps ab busy, too
            raise InvalidMeasurement(
                f"{board}: the load generator was saturated "
                f"(ab used {busy:.0%} of a CPU for {clients} clients)"
            )
        if done.returncode < 0:
            raise InvalidMeasurement(f"{board}: the load generator was ended by signal {-done.returncode}")
        times = _request_times(table) if table.is_file() else []
        return Load(_without_refused(times, failures), requests - failures, failures, wall)


def _failures(done: subprocess.CompletedProcess[str], requests: int, page_bytes: int) -> int:
    """Return how many requests failed: by their status or by the pages that arrived, whichever is more.

    ab's own "Failed requests" counts a reset connection twice.
    """
    if done.returncode != 0:
        return requests
    missing = requests - _figure("Complete requests", done.stdout)
    refused = _figure("Non-2xx responses", done.stdout)
    pages = _figure("HTML transferred", done.stdout) // page_bytes
    return min(requests, max(missing + refused, requests - pages))


def ab_arguments(url: str, *, requests: int, clients: int, table: Path) -> list[str]:
    """Return the arguments of that run of ab, which writes the times of the requests to `table`."""
    tolerant = ["-q", "-r", "-s", str(REQUEST_TIMEOUT_S)]
    return [*tolerant, "-n", str(requests), "-c", str(clients), "-g", str(table), url]


def _request_times(table: Path) -> list[float]:
    """Read ab's gnuplot table: a header, then starttime, seconds, ctime, dtime, ttime, wait; times in ms."""
    rows = table.read_text(errors="replace").splitlines()[1:]
    return [int(row.split("\t")[4]) / 1000 for row in rows if row.count("\t") == 5]


def _without_refused(times_s: list[float], failures: int) -> list[float]:
    """Leave out the requests that were refused at once: ab enters them with a time of 0."""
    refused = min(failures, times_s.count(0.0))
    return sorted(times_s)[refused:] if refused else times_s


def _figure(name: str, output: str) -> int:
    found = re.search(rf"^{re.escape(name)}:\s+(\d+)", output, re.MULTILINE)
    return int(found.group(1)) if found else 0


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
