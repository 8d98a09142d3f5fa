"""The fixture `measure`: runs an experiment under pytest-benchmark, and watches the board meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec

import pytest

from pytest_microcloud.errors import InvalidMeasurement
from pytest_microcloud.session.items import ENTRY, board_name, experiment_of, note, phase_of, tolerated
from pytest_microcloud.session.state import SESSION

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.measurement import Measurement

P = ParamSpec("P")
PAUSE_S = 30.0
"""Pause (s) before invalid measurements are retried: the board can cool down, or another user finish."""
ONCE = (
    "call measure(...) once per test, because each test is one benchmark of the run file: "
    "use measure.repeat(n, …), or one test per setting (@pytest.mark.sweep)"
)
DOUBTED: pytest.StashKey[list[Measurement]] = pytest.StashKey()


class BoardClock:
    """pytest-benchmark's timer: board time (s), the sum of the times measured on the board."""

    __name__ = "board_time"

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        """Return the board time so far (s)."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Add the seconds that a measurement took on the board."""
        self._now_s += seconds


class Measure:
    """The object that the fixture `measure` returns: runs an experiment as a benchmark of pytest-benchmark.

    Each round of the benchmark runs the experiment once. The time of a round is the median of the
    experiment's first measurement in seconds.
    """

    def __init__(self, item: pytest.Item, board: Board, benchmark: BenchmarkFixture) -> None:
        self._item = item
        self._board = board
        self._benchmark = benchmark
        self._doubted = item.stash.setdefault(DOUBTED, [])
        self._repeated = 0
        self.used = False

    def __call__(
        self,
        experiment: Callable[P, list[Measurement]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> list[Measurement]:
        """Run the experiment once and return its measurements."""
        return self.repeat(1, experiment, *args, **kwargs)

    def repeat(
        self,
        rounds: int,
        experiment: Callable[P, list[Measurement]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> list[Measurement]:
        """Run the experiment `rounds` times and return its measurements, with pooled samples."""
        __tracebackhide__ = True
        from pytest_microcloud.measurement import pooled

        if not self._benchmark.enabled:
            raise pytest.UsageError("measurements need pytest-benchmark: run without --benchmark-disable")
        if self.used:
            raise pytest.UsageError(ONCE)
        self.used = True
        mark = self._item.get_closest_marker("benchmark")
        clock: BoardClock = mark.kwargs["timer"] if mark else BoardClock()
        if self._benchmark.params:  # stored as JSON, but a testinfra host is not JSON
            self._benchmark.params = {key: _plain(value) for key, value in self._benchmark.params.items()}
        seen: list[list[Measurement]] = []

        def once() -> None:
            measurements = self._trusted(lambda: experiment(*args, **kwargs))
            seen.append(measurements)
            clock.advance(next((m.median for m in measurements if m.unit == "s" and m.samples), 0.0))

        try:
            self._benchmark.pedantic(once, rounds=rounds)
        except Exception as error:
            done = pooled(seen)
            _distrust(done, f"measured before the test ended with {type(error).__name__}: {error}")
            note(self._item, "not measured", str(error), [*done, *self._doubted])
            raise
        except BaseException:  # pytest.fail, pytest.skip, Ctrl-C: pytest-benchmark catches Exception only
            self._benchmark.has_error = True
            raise
        measurements = pooled(seen)
        self._item.config.hook.pytest_microcloud_measured(
            board=self._board, measurements=measurements, item=self._item
        )
        try:
            _measurements(measurements)  # a hook may have changed the measurements
        except pytest.UsageError:
            self._benchmark.has_error = True
            raise
        wrong = [m for m in measurements if m.verdict == "infeasible"]
        reason = "; ".join(f"{m.metric}: {m.reason}" for m in wrong)
        note(self._item, "infeasible" if wrong else "feasible", reason, [*measurements, *self._doubted])
        store(self._item, self._benchmark, self._board)
        return measurements

    def _trusted(self, experiment: Callable[[], list[Measurement]]) -> list[Measurement]:
        """Run the experiment and watch the board; retry invalid measurements up to `retries` times.

        Raises InvalidMeasurement with all reasons if the last attempt is invalid, too.
        """
        session = self._item.config.stash[SESSION]
        booted = self._board.booted
        while True:
            measurements: list[Measurement] = []
            try:
                with self._board.turn(), self._board.watch(tolerated(self._item)) as watch:
                    measurements = _measurements(experiment())
                doubts = (m.reason for m in measurements if m.verdict == "invalid")
                if reasons := [*watch.verdict(), *dict.fromkeys(doubts)]:
                    raise InvalidMeasurement(f"{self._board.name}: {'; '.join(reasons)}")
                return measurements
            except InvalidMeasurement as invalid:
                _distrust(measurements, str(invalid))
                self._doubted += measurements
                if self._repeated >= session.retries or self._board.booted != booted:
                    raise  # after a reboot, the set-up of the measurement is gone
                self._repeated += 1
                turn = f"{self._repeated} of {session.retries}"
                session.progress.announce(
                    self._board.name, f"invalid: {invalid}; retry {turn} in {PAUSE_S:.0f} s"
                )
            time.sleep(PAUSE_S)


def _measurements(found: object) -> list[Measurement]:
    """Return `found` if it is a list of measurements that a run file can store; else raise UsageError."""
    from pytest_microcloud.measurement import Measurement
    from pytest_microcloud.runs import unstorable

    __tracebackhide__ = True
    if not isinstance(found, list | tuple) or not all(isinstance(one, Measurement) for one in found):
        raise pytest.UsageError(
            f"measure(experiment, …): the experiment must return a list of Measurement, not {found!r}"
        )
    for measured in found:
        if reason := unstorable(measured):
            raise pytest.UsageError(f"measure(…): {measured.metric} cannot be stored: {reason}")
    return list(found)


def store(item: pytest.Item, benchmark: BenchmarkFixture, board: Board) -> None:
    """Put the test's measurements, with their current verdicts, into the benchmark's `extra_info`."""
    from pytest_microcloud.runs import SCHEMA

    benchmark.extra_info["microcloud"] = {
        "schema": SCHEMA,
        "board": board.name,
        "model": board.model.id,
        "driver": board.target.driver,
        "boot": boot.boot if (boot := phase_of(item)) else board.boot,
        **({"stage": boot.stage} if boot and boot.stage else {}),
        "experiment": experiment_of(item),
        "measurements": [m.as_dict() for m in item.stash[ENTRY].measurements],
    }


def _plain(value: Any) -> Any:
    if hasattr(value, "backend"):
        return board_name(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def doubt(item: pytest.Item, reason: str) -> None:
    """Mark all measurements of a test as invalid. They stay in the run file, but the benchmark does not."""
    _distrust(item.stash[ENTRY].measurements if ENTRY in item.stash else (), reason)
    if benchmark := getattr(item, "funcargs", {}).get("benchmark"):
        benchmark.has_error = True


def _distrust(measurements: Iterable[Measurement], reason: str) -> None:
    for m in measurements:
        if m.verdict != "invalid":
            m.verdict, m.reason, m.limit = "invalid", reason, None
