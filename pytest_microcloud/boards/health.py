"""Checks a board's health during a measurement. A symptom of bad health invalidates the measurement.

A board is checked before a measurement, every few seconds during it, and after it (`vitals.py`). The
thresholds are in `catalog/health.toml`. An experiment's record lists the symptoms that the experiment causes
itself (`tolerates`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from pytest_microcloud.boards.plain_text import text
from pytest_microcloud.boards.vitals import UNDER_VOLTAGE, Vitals, VitalsReader
from pytest_microcloud.catalog import threshold
from pytest_microcloud.controller.engine import RUN_LABEL, explained
from pytest_microcloud.errors import BoardError, DeadlineExceeded, LinkError

if TYPE_CHECKING:
    from docker import DockerClient

    from pytest_microcloud.boards.facts import Facts
    from pytest_microcloud.boards.link import Link
    from pytest_microcloud.boards.lock import Lock

POLL_S = 5.0
WINDOW_S = 0.25
"""Before a measurement, checks look for load that the session did not cause. The first check takes this long;
each later check takes twice as long as the check before it."""
SETTLE_S = 20.0
"""Time for the session's own preparations to finish. Load after that time comes from something else."""
RECOVERY_S = 60.0
BUSY = 0.9
"""Above this share of its time, a CPU counts as busy: the governor should run it at the highest frequency."""
SINCE_BOOT = 16
"""The low bits of the firmware's throttling report describe the present. The same bits, shifted left by this
number, describe the time since boot."""
SIGKILLED = "137"
"""The exit code that Docker reports for a container ended by SIGKILL."""
BITS = (
    ("undervoltage", "its supply voltage was too low"),
    ("throttled", "its frequency was capped"),
    ("throttled", "it was throttled"),
    ("throttled", "it reached its soft temperature limit"),
)


@dataclass(frozen=True)
class Finding:
    """A symptom (an id of health.toml) and a description of what was observed."""

    symptom: str
    what: str


class Watched(Protocol):
    """The attributes and methods of a board that `Watch` uses."""

    link: Link
    lock: Lock
    facts: Facts

    @property
    def name(self) -> str:
        """The board's name."""

    @property
    def docker(self) -> DockerClient:
        """The client of the board's engine."""

    def reconnect(self, timeout_s: float, *, leave: bool = False) -> None:
        """Reconnect and retake the lock; see `Board.reconnect`."""


class Watching(Protocol):
    """The part of `Watch` that code outside this module uses."""

    def verdict(self) -> list[str]:
        """Return the reasons why the measurement is invalid; empty if it is valid."""


class Watch:
    """Watches a board's health until the context ends; `verdict` returns the result afterwards.

    `expected` are the symptoms that the experiment causes itself. `settle_s` is how long the board may take
    to become idle before the start (s). Raises BoardError if the board is unreachable at the start or, unless
    "lost" is expected, at the end.
    """

    def __init__(self, board: Watched, expected: Collection[str] = (), *, settle_s: float = SETTLE_S) -> None:
        self._board = board
        self._settle_s = settle_s
        self._expected = expected
        self._cpus = float(board.facts.cpus or 1)
        self._reader: VitalsReader
        self._seen: list[Vitals] = []
        self._load = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def verdict(self) -> list[str]:
        """Return the reasons why the measurement is invalid; empty if it is valid."""
        found = judged(self._seen)
        if self._load > threshold("load"):
            what = f"it was busy with something else before the start ({self._load:.0%} of its CPUs)"
            found.insert(0, Finding("load", what))
        if not self._board.lock.held:
            found.append(Finding("lost", "its lock was lost, and another session may have used the board"))
        return [finding.what for finding in found if finding.symptom not in self._expected]

    def __enter__(self) -> Watch:
        self._reader = VitalsReader(self._board.link)
        try:
            self._seen.append(self._begin())
        except BaseException:
            self._reader.close()
            raise
        if self._seen[0].changes:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        try:
            if kind is not None:
                self._reader.hang_up()
            if self._thread.ident is not None:
                self._thread.join()
            if kind is None:
                self._finish()
        finally:
            self._reader.close()

    def _begin(self) -> Vitals:
        """Wait (at most `settle_s`) until the board is no longer busy with preparations; return its state."""
        if "load" in self._expected:
            return self._reader.whole()
        before, window_s, started = self._reader.brief(), WINDOW_S, time.monotonic()
        while True:
            time.sleep(window_s)
            now = self._reader.whole()
            cpus = now.cpus or self._cpus
            self._load = (now.busy_s - before.busy_s) / (now.asked_s - before.asked_s) / cpus
            if self._load <= threshold("load") or time.monotonic() - started > self._settle_s:
                return now
            before, window_s = now, 2 * window_s

    def _poll(self) -> None:
        """Read the board's state every POLL_S, until the watch ends or the board is unreachable."""
        while not self._over.wait(POLL_S):
            try:
                self._seen.append(self._reader.brief())
            except BoardError:
                return

    def _finish(self) -> None:
        try:
            last = self._last()
        except BoardError:
            if "lost" in self._expected:
                return
            raise
        if _killed_unseen(self._seen[0], last):
            last = replace(last, oom_kills=(last.oom_kills or 0) + self._kills_reported_by_docker(last))
        self._seen.append(last)

    def _last(self) -> Vitals:
        """Read the board's final state, over a new connection if needed: the board may have rebooted."""
        try:
            return self._reader.whole()
        except (LinkError, DeadlineExceeded):
            self._reader.close()
        try:
            return self._look_again()
        except LinkError:
            if "lost" in self._expected:
                raise
        # `leave`: the measurement still uses its containers and files
        self._board.reconnect(RECOVERY_S, leave=True)
        return self._look_again()

    def _look_again(self) -> Vitals:
        self._reader = VitalsReader(self._board.link)
        try:
            return self._reader.whole()
        except BaseException:
            self._reader.close()
            raise

    def _kills_reported_by_docker(self, last: Vitals) -> int:
        """Return how many of the board's containers had a process OOM-killed.

        On cgroup v1, the kernel counts kills in the container's own cgroup, which disappears with the
        container. The engine may miss the kill, too. A container that died of a SIGKILL that no client of the
        engine requested therefore counts as OOM-killed.
        """
        # The kernel rounds the time of its boot down to whole seconds, so `until` is later than the end
        began, ended = ((v.booted_at_s or 0.0) + v.uptime_s for v in (self._seen[0], last))
        wanted = {"type": "container", "event": ["oom", "kill", "die"]}
        with explained(self._board.name, "reading its engine's events"):
            events = self._board.docker.events(
                since=int(began), until=int(ended) + 2, filters=wanted, decode=True
            )
            return killed_for_memory(events)


def killed_for_memory(events: Iterable[Mapping[str, Any]]) -> int:
    """Count the containers that ran out of memory, from an engine's events (oom, kill, die)."""
    exhausted, asked_for, died = set(), set(), set()
    for event in events:
        container = event["Actor"]["ID"]
        if event["Action"] == "oom":
            exhausted.add(container)
        elif event["Action"] == "kill":
            asked_for.add(container)
        elif event["Actor"]["Attributes"].get("exitCode") == SIGKILLED:
            died.add(container)
    return len(exhausted | (died - asked_for))


def _killed_unseen(first: Vitals, last: Vitals) -> bool:
    if first.oom_kills_of_host is None or last.oom_kills_of_host is None:
        return False
    return last.oom_kills_of_host > first.oom_kills_of_host and last.oom_kills == first.oom_kills


def judged(seen: Sequence[Vitals]) -> list[Finding]:
    """Return the symptoms that a board showed. `seen` are its states in order of time.

    Only the first and the last state are complete; the others come from `VitalsReader.brief`.
    """
    if len(seen) < 2:
        return []
    first, last = seen[0], seen[-1]
    booted = first.boot != last.boot
    if booted:
        first = replace(first, throttled=0, swapped_pages=0, oom_kills=0, log=())
    found = [Finding("reboot", "it rebooted")] if booted else [*_clock(first, last)]
    found += [*_supply(first, seen[1:]), *_heat(seen), *_frequency(seen), *_memory(first, last)]
    return list(dict.fromkeys(found))


def _clock(first: Vitals, last: Vitals) -> Iterator[Finding]:
    if first.booted_at_s is not None and last.booted_at_s is not None:
        jumped_s = last.booted_at_s - first.booted_at_s
        if abs(jumped_s) > threshold("clock"):
            yield Finding("clock", f"its wall clock jumped by {jumped_s:+.0f} s")
    counted_s = last.uptime_s - first.uptime_s
    least_s, most_s = last.asked_s - first.answered_s, last.answered_s - first.asked_s
    error_s = max(least_s - counted_s, counted_s - most_s)
    if error_s > max(threshold("clock"), threshold("drift") * most_s):
        yield Finding(
            "clock",
            f"its clock counted {counted_s:.1f} s in {most_s:.1f} s of the controller's clock",
        )


def _supply(first: Vitals, later: Sequence[Vitals]) -> Iterator[Finding]:
    """Yield the symptoms that the firmware's throttling bits, the voltage alarm and the kernel log show.

    A bit that describes the time since boot counts only if it was not set when the watch began.
    """
    at_first = next((v.throttled for v in (first, *later) if v.throttled is not None), 0)
    for vitals in (first, *later):
        bits = vitals.throttled or 0
        new = (bits & ~at_first) >> SINCE_BOOT
        for number, (symptom, what) in enumerate(BITS):
            if (bits | new) >> number & 1:
                yield Finding(symptom, f"{what} (vcgencmd get_throttled, bit {number})")
        if vitals.alarm:
            yield Finding("undervoltage", "its supply voltage was too low (hwmon's alarm)")
    known, latest = first.log, later[-1].log if later else None
    for line in latest or ():
        if known is not None and line not in known:
            symptom = "undervoltage" if UNDER_VOLTAGE.search(line) else "oom"
            if symptom == "undervoltage" or later[-1].oom_kills is None:
                yield Finding(symptom, f"its kernel reports: {text(line)}")


def standing(seen: Vitals) -> list[Finding]:
    """Return the symptoms in a board's state: low voltage and throttling since boot, and heat now."""
    bits = (seen.throttled or 0) | (seen.throttled or 0) >> SINCE_BOOT
    texts: dict[str, list[str]] = {}
    for number, (symptom, what) in enumerate(BITS):
        if bits >> number & 1:
            texts.setdefault(symptom, []).append(what)
    found = [Finding(symptom, f"{' and '.join(whats)} since boot") for symptom, whats in texts.items()]
    if seen.alarm and "undervoltage" not in texts:
        found.append(Finding("undervoltage", "its supply voltage was too low (hwmon's alarm)"))
    return [*found, *_heat([seen])]


def _heat(seen: Sequence[Vitals]) -> Iterator[Finding]:
    readings = [(degrees, zone) for vitals in seen for zone, degrees in vitals.zones_c.items()]
    if not readings or max(readings)[0] < threshold("temperature"):
        return
    degrees, zone = max(readings)
    where = f" ({text(zone)})" if len({name for _, name in readings}) > 1 else ""
    yield Finding("temperature", f"it was {degrees:.0f} °C hot{where}")


def _frequency(seen: Sequence[Vitals]) -> Iterator[Finding]:
    """Yield a finding for each CPU clock that was below its expected frequency while its CPUs were busy.

    A reading counts only if the CPUs were busy both before and after the reading.
    """
    for name, due_hz in seen[0].due_hz.items():
        at = [(vitals.asked_s, vitals.clocks[name]) for vitals in seen if name in vitals.clocks]
        busy = [(c.busy_s - b.busy_s) > BUSY * (then - now) for (now, b), (then, c) in pairwise(at)]
        slow = [
            clock.hz
            for (_, clock), before, after in zip(at[1:], busy, busy[1:], strict=False)
            if before and after and clock.hz < due_hz * (1 - threshold("frequency"))
        ]
        if slow:
            which = f" ({text(name)})" if len(seen[0].due_hz) > 1 else ""
            yield Finding(
                "frequency",
                f"it ran at {min(slow) / 1e6:.0f} MHz while busy, "
                f"instead of the expected {due_hz / 1e6:.0f} MHz{which}",
            )


def _memory(first: Vitals, last: Vitals) -> Iterator[Finding]:
    swapped = _more(first.swapped_pages, last.swapped_pages)
    if swapped > threshold("swap"):
        yield Finding("swap", f"it swapped ({swapped} pages)")
    killed = _more(first.oom_kills, last.oom_kills)
    if killed > threshold("oom"):
        processes = "a process" if killed == 1 else f"{killed} processes"
        yield Finding("oom", f"it ran out of memory, and its kernel killed {processes}")


def _more(before: int | None, after: int | None) -> int:
    """Return by how much a counter since boot increased; 0 if one of its readings is missing."""
    return 0 if before is None or after is None else after - before


def unwatched(board: Watched) -> tuple[str, ...]:
    """Describe the aspects of a board's health that cannot be watched, and why. Raises BoardError."""
    with VitalsReader(board.link) as reader:
        return tuple(_unwatched(reader.whole()))


def _unwatched(seen: Vitals) -> Iterator[str]:
    why = "a system container has none of its own" if seen.inside else "the board does not report it"
    missing = {
        "throttling": seen.throttled is None,
        "under-voltage": seen.throttled is None and seen.alarm is None and seen.log is None,
        "temperature": seen.temperature_c is None,
        "CPU frequency": not (seen.clocks.keys() & seen.due_hz.keys()),
        "swap traffic": seen.swapped_pages is None,
        "OOM-killed processes": seen.oom_kills is None and (seen.inside or seen.log is None),
        "jumps of its wall clock": seen.booted_at_s is None,
    }
    if seen.oom_kills_of_host is not None:
        yield "OOM-killed processes of a service that no longer exists (cgroup v1)"
    yield from seen.implausible
    if names := [name for name, is_missing in missing.items() if is_missing]:
        yield f"{', '.join(names)} ({why})"
    hidden = [
        what for number, (_, what) in enumerate(BITS) if (seen.throttled or 0) >> SINCE_BOOT >> number & 1
    ]
    if hidden:
        yield f"new short events of a kind that has already occurred since boot: {', '.join(hidden)}"


def others(board: Watched) -> tuple[str, ...]:
    """Return the names of the board's running containers that no run created. Raises BoardError."""
    with explained(board.name, "listing the running containers"):
        running = board.docker.containers.list(sparse=True)
    theirs = [c for c in running if RUN_LABEL not in (c.attrs.get("Labels") or {})]
    names = (text(", ".join(c.attrs.get("Names") or ()).replace("/", "")) for c in theirs)
    return tuple(sorted(name or "?" for name in names))
