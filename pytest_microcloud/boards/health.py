"""Whether a board was well while something was measured on it; if not, the measurement cannot be trusted.

A board is checked before, every few seconds during, and after a measurement (`vitals.py`). The limits are
data (`catalog/health.toml`), and so is what an experiment causes itself (`tolerates` of its record).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pytest_microcloud.boards.plain_text import text
from pytest_microcloud.boards.vitals import UNDER_VOLTAGE, Look, Vitals
from pytest_microcloud.catalog import bearable
from pytest_microcloud.controller.engine import RUN_LABEL, explained
from pytest_microcloud.errors import BoardError, DeadlineExceeded, LinkError

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board

POLL_S = 5.0
WINDOW_S = 0.25
"""How long a board is watched for others' load before the start; twice as long each time there is some."""
SETTLE_S = 20.0
"""Our own preparations get this long to end before load counts as foreign."""
RECOVERY_S = 60.0
BUSY = 0.9
"""Of one CPU: with so much to do, a governor lets the clock run as fast as it may."""
SINCE_BOOT = 16
"""The firmware's bits are of now; shifted up by this, of any time since boot."""
SIGKILLED = "137"
"""What Docker calls the exit code of a container that SIGKILL ended."""
BITS = (
    ("undervoltage", "its supply voltage was too low"),
    ("throttled", "its frequency was capped"),
    ("throttled", "it was throttled"),
    ("throttled", "it reached its soft temperature limit"),
)


@dataclass(frozen=True)
class Finding:
    """A symptom (an id of health.toml), and what was seen, in words."""

    symptom: str
    what: str


class Watch:
    """Watches a board for as long as the context lasts; then `verdict` has the result.

    `expected` are symptoms that what is measured brings about itself. Raises BoardError when the board is out
    of reach, before or afterwards; afterwards not if "lost" is expected.
    """

    def __init__(self, board: Board, expected: Collection[str] = ()) -> None:
        self._board = board
        self._expected = expected
        self._cpus = float(board.facts.cpus or 1)
        self._look: Look
        self._seen: list[Vitals] = []
        self._load = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def verdict(self) -> list[str]:
        """Return why what was measured cannot be trusted, a text for each reason; none if it can."""
        found = judged(self._seen)
        if self._load > bearable("load"):
            what = f"it was busy with something else before the start ({self._load:.0%} of its CPUs)"
            found.insert(0, Finding("load", what))
        if not self._board.lock.held:
            found.append(Finding("lost", "its lock was lost, and another session may have used the board"))
        return [finding.what for finding in found if finding.symptom not in self._expected]

    def __enter__(self) -> Watch:
        self._look = Look(self._board.link)
        try:
            self._seen.append(self._begin())
        except BaseException:
            self._look.close()
            raise
        if self._seen[0].changes:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        try:
            if kind is not None:
                self._look.hang_up()
            if self._thread.ident is not None:
                self._thread.join()
            if kind is None:
                self._finish()
        finally:
            self._look.close()

    def _begin(self) -> Vitals:
        """Look at the board once nothing of our own preparations keeps it busy any more."""
        if "load" in self._expected:
            return self._look.whole()
        before, window_s, started = self._look.brief(), WINDOW_S, time.monotonic()
        while True:
            time.sleep(window_s)
            now = self._look.whole()
            cpus = now.cpus or self._cpus
            self._load = (now.busy_s - before.busy_s) / (now.asked_s - before.asked_s) / cpus
            if self._load <= bearable("load") or time.monotonic() - started > SETTLE_S:
                return now
            before, window_s = now, 2 * window_s

    def _poll(self) -> None:
        """Look now and then, until it is over or the board is out of reach (`_finish` finds out why)."""
        while not self._over.wait(POLL_S):
            try:
                self._seen.append(self._look.brief())
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
            last = replace(last, oom_kills=(last.oom_kills or 0) + self._kills_told_by_docker(last))
        self._seen.append(last)

    def _last(self) -> Vitals:
        """Look once more, over a new connection if need be: a board may have booted meanwhile."""
        try:
            return self._look.whole()
        except (LinkError, DeadlineExceeded):
            self._look.close()
        try:
            return self._look_anew()
        except LinkError:
            if "lost" in self._expected:
                raise
        self._board.reconnect(RECOVERY_S, leave=True)  # what is measured is still in use
        return self._look_anew()

    def _look_anew(self) -> Vitals:
        self._look = Look(self._board.link)
        try:
            return self._look.whole()
        except BaseException:
            self._look.close()
            raise

    def _kills_told_by_docker(self, last: Vitals) -> int:
        """Return how many of its containers had a process OOM-killed.

        On cgroup v1 that is counted in a container's own cgroup, which is gone when the container has ended.
        The engine may have been too late to see the kill there, too: then the container died of SIGKILL,
        and nobody had asked the engine for that.
        """
        # A kernel gives the moment of its boot in whole seconds, rounded down
        began, ended = ((v.booted_at_s or 0.0) + v.uptime_s for v in (self._seen[0], last))
        wanted = {"type": "container", "event": ["oom", "kill", "die"]}
        with explained(self._board.name, "asking its engine for events"):
            events = self._board.docker.events(
                since=int(began), until=int(ended) + 2, filters=wanted, decode=True
            )
            return killed_for_memory(events)


def killed_for_memory(events: Iterable[Mapping[str, Any]]) -> int:
    """Return how many containers ran out of memory, in the events of an engine: oom, kill, die."""
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
    """Return the findings in readings of a board, in their order; the first and the last are whole."""
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
        if abs(jumped_s) > bearable("clock"):
            yield Finding("clock", f"its wall clock jumped by {jumped_s:+.0f} s")
    told_s = last.uptime_s - first.uptime_s
    least_s, most_s = last.asked_s - first.answered_s, last.answered_s - first.asked_s
    wrong_s = max(least_s - told_s, told_s - most_s)
    if wrong_s > max(bearable("clock"), bearable("drift") * most_s):
        yield Finding(
            "clock",
            f"its clock counted {told_s:.1f} s in {most_s:.1f} s of the controller's: it cannot be believed",
        )


def _supply(first: Vitals, later: Sequence[Vitals]) -> Iterator[Finding]:
    """Bits of now count whenever they are seen; those of any time since boot only if they are new."""
    at_first = first.throttled or 0
    for vitals in (first, *later):
        bits = vitals.throttled or 0
        new = (bits & ~at_first) >> SINCE_BOOT
        for number, (symptom, what) in enumerate(BITS):
            if (bits | new) >> number & 1:
                yield Finding(symptom, f"{what} (vcgencmd get_throttled, bit {number})")
        if vitals.alarm:
            yield Finding("undervoltage", "its supply voltage was too low (hwmon's alarm)")
    known = first.log or ()
    for line in (later[-1].log or ()) if later else ():
        if line not in known:
            symptom = "undervoltage" if UNDER_VOLTAGE.search(line) else "oom"
            if symptom == "undervoltage" or later[-1].oom_kills is None:
                yield Finding(symptom, f"its kernel says: {text(line)}")


def _heat(seen: Sequence[Vitals]) -> Iterator[Finding]:
    readings = [(degrees, zone) for vitals in seen for zone, degrees in vitals.zones_c.items()]
    if not readings or max(readings)[0] < bearable("temperature"):
        return
    degrees, zone = max(readings)
    where = f" ({text(zone)})" if len({name for _, name in readings}) > 1 else ""
    yield Finding("temperature", f"it was {degrees:.0f} °C hot{where}")


def _frequency(seen: Sequence[Vitals]) -> Iterator[Finding]:
    """Compare each clock with what it should be, at moments before and after which its CPUs were busy."""
    for name, due_hz in seen[0].due_hz.items():
        at = [(vitals.asked_s, vitals.clocks[name]) for vitals in seen if name in vitals.clocks]
        busy = [(c.busy_s - b.busy_s) > BUSY * (then - now) for (now, b), (then, c) in pairwise(at)]
        slow = [
            clock.hz
            for (_, clock), before, after in zip(at[1:], busy, busy[1:], strict=False)
            if before and after and clock.hz < due_hz * (1 - bearable("frequency"))
        ]
        if slow:
            which = f" ({text(name)})" if len(seen[0].due_hz) > 1 else ""
            yield Finding(
                "frequency",
                f"it ran at {min(slow) / 1e6:.0f} MHz while busy, "
                f"where {due_hz / 1e6:.0f} MHz are due{which}",
            )


def _memory(first: Vitals, last: Vitals) -> Iterator[Finding]:
    swapped = (last.swapped_pages or 0) - (first.swapped_pages or 0)
    if swapped > bearable("swap"):
        yield Finding("swap", f"it swapped ({swapped} pages)")
    killed = (last.oom_kills or 0) - (first.oom_kills or 0)
    if killed > bearable("oom"):
        processes = "a process" if killed == 1 else f"{killed} processes"
        yield Finding("oom", f"it ran out of memory, and its kernel killed {processes}")


def unwatched(board: Board) -> tuple[str, ...]:
    """Return, in words, what of a board's health cannot be watched, and why. Raises BoardError."""
    with Look(board.link) as look:
        return tuple(_unwatched(look.whole()))


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
        yield "OOM-killed processes in a service that is gone with them (cgroup v1)"
    yield from seen.implausible
    if names := [name for name, is_missing in missing.items() if is_missing]:
        yield f"{', '.join(names)} ({why})"
    hidden = [
        what for number, (_, what) in enumerate(BITS) if (seen.throttled or 0) >> SINCE_BOOT >> number & 1
    ]
    if hidden:
        yield f"short new events of what has happened since boot already: {', '.join(hidden)}"


def others(board: Board) -> tuple[str, ...]:
    """Return the names of foreign containers that run on the board. Raises BoardError."""
    with explained(board.name, "listing the containers that run"):
        running = board.docker.containers.list(sparse=True)
    theirs = [c for c in running if RUN_LABEL not in (c.attrs.get("Labels") or {})]
    names = (text(", ".join(c.attrs.get("Names") or ()).replace("/", "")) for c in theirs)
    return tuple(sorted(name or "?" for name in names))
