"""What suites use: `board`, `host`, `effort`, `deploy`, `serve`, `measure`, `limit`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec

import pytest

from pytest_microcloud.errors import LimitMissed, NotMeasured

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture
    from testinfra.host import Host

    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.boards.rack import Rack
    from pytest_microcloud.catalog import Catalog, Effort, Workload
    from pytest_microcloud.experiments.deploy import Deployment, Server
    from pytest_microcloud.experiments.measurement import Measurement
    from pytest_microcloud.verdict.matrix import Entry

P = ParamSpec("P")
ONCE = (
    "measure(...) once a test: use measure.repeat(n, …), "
    "or one test a setting (@pytest.mark.sweep), as each test is one benchmark of the run file"
)


@dataclass
class Session:
    """What a session with boards knows: kept in `config.stash[SESSION]`."""

    catalog: Catalog
    rack: Rack
    effort: Effort
    run_file: Path
    entries: list[Entry] = field(default_factory=list)
    boards: dict[str, Board] = field(default_factory=dict)


SESSION: pytest.StashKey[Session] = pytest.StashKey()
ENTRY: pytest.StashKey[Entry] = pytest.StashKey()


class BoardClock:
    """pytest-benchmark's timer: it shows board time (s), the sum of what was measured on the board."""

    __name__ = "board_time"

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        """Return the board time so far."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Let board time pass."""
        self._now_s += seconds


def board_name(host: Host) -> str:
    """Return the inventory name of a testinfra host."""
    return str(host.backend.get_hostname())


def experiment_of(item: pytest.Item) -> str:
    """Return the experiment that a test belongs to: its mark's, else its module's name."""
    mark = item.get_closest_marker("experiment")
    return str(mark.args[0]) if mark and mark.args else item.path.stem.removeprefix("test_")


def note(item: pytest.Item, verdict: str, reason: str, measurements: list[Measurement] | None = None) -> None:
    """Keep what a test came to, for the matrix; a later note of the same test replaces verdict and reason."""
    from pytest_microcloud.verdict.matrix import Entry

    entry = item.stash.get(ENTRY, None)
    if entry is None:
        session = item.config.stash[SESSION]
        entry = Entry(board_of(item) or "?", experiment_of(item), item.name, verdict)
        item.stash[ENTRY] = entry
        session.entries.append(entry)
    entry.verdict, entry.reason = verdict, reason
    if measurements is not None:
        entry.measurements = measurements


def board_of(item: pytest.Item) -> str | None:
    """Return the inventory name of the board that a test runs against, if it runs against one."""
    host = getattr(getattr(item, "callspec", None), "params", {}).get("_testinfra_host")
    return None if host is None else board_name(host)


@pytest.fixture
def board(request: pytest.FixtureRequest, host: Host) -> Board:
    """One boot of one board, powered on: its facts, its Docker client, its link."""
    return request.config.stash[SESSION].rack.board(board_name(host))


@pytest.fixture
def effort(request: pytest.FixtureRequest) -> Effort:
    """How often to repeat, as chosen by --microcloud-effort."""
    return request.config.stash[SESSION].effort


@pytest.fixture
def deploy(request: pytest.FixtureRequest, board: Board) -> Callable[[str], Deployment]:
    """`deploy("httpd")` brings a workload's image to the board; without such an image the test is skipped."""
    from pytest_microcloud.experiments.deploy import deploy as bring

    def to_board(workload: str) -> Deployment:
        try:
            return bring(board, _workload(request, workload))
        except NotMeasured as error:
            note(request.node, "not measured", str(error))
            pytest.skip(str(error))

    return to_board


@pytest.fixture
def serve(
    request: pytest.FixtureRequest, board: Board, deploy: Callable[[str], Deployment]
) -> Iterator[Callable[[str, str], Server]]:
    """`serve("httpd", "docker")`, or "native", runs a web server on the board until the test ends."""
    from pytest_microcloud.experiments.deploy import docker_server, native_server

    with ExitStack() as stack:

        def on_board(workload: str, setting: Literal["native", "docker"] | str) -> Server:
            if setting == "native":
                return stack.enter_context(native_server(board, _workload(request, workload)))
            if setting == "docker":
                return stack.enter_context(docker_server(deploy(workload)))
            raise pytest.UsageError(
                f'serve(workload, setting): setting is "native" or "docker", not {setting!r}'
            )

        yield on_board


@pytest.fixture
def measure(request: pytest.FixtureRequest, board: Board, benchmark: BenchmarkFixture) -> Iterator[Measure]:
    """`measure(experiment, …)` runs an experiment, once a test, and keeps its measurements in the run."""
    measure = Measure(request.node, board, benchmark)
    yield measure
    if not measure.used:
        benchmark.skipped = True  # the test ended before it measured; that is no misuse of pytest-benchmark


@pytest.fixture
def limit(request: pytest.FixtureRequest, board: Board) -> Callable[[list[Measurement]], None]:
    """`limit(measurements)` judges them by the limits of the board's model; a limit missed fails the test."""
    from pytest_microcloud.verdict.limits import judge

    def keep(measurements: list[Measurement]) -> None:
        __tracebackhide__ = True
        missed = judge(measurements, board.model.id, request.config.stash[SESSION].catalog)
        _store(request.node, request.getfixturevalue("benchmark"), board, measurements)
        if missed:
            note(request.node, "infeasible", "; ".join(missed))
            raise LimitMissed("\n".join(missed))

    return keep


class Measure:
    """Wraps pytest-benchmark: a round is one run of the experiment, timed in board time.

    The benchmark's own time is the first measurement that is a time, the median of its samples in each round.
    """

    def __init__(self, item: pytest.Item, board: Board, benchmark: BenchmarkFixture) -> None:
        self._item = item
        self._board = board
        self._benchmark = benchmark
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
        """Run the experiment `rounds` times and return its measurements, samples pooled."""
        __tracebackhide__ = True
        from pytest_microcloud.experiments.measurement import pooled

        if not self._benchmark.enabled:
            raise pytest.UsageError("measurements need pytest-benchmark: run without --benchmark-disable")
        if self.used:
            raise pytest.UsageError(ONCE)
        self.used = True
        mark = self._item.get_closest_marker("benchmark")
        clock: BoardClock = mark.kwargs["timer"] if mark else BoardClock()
        seen: list[list[Measurement]] = []

        def once() -> None:
            measurements = list(experiment(*args, **kwargs))
            seen.append(measurements)
            clock.advance(next((m.median for m in measurements if m.unit == "s" and m.samples), 0.0))

        self._benchmark.pedantic(once, rounds=rounds)
        measurements = pooled(seen)
        self._item.config.hook.pytest_microcloud_measured(
            board=self._board, measurements=measurements, item=self._item
        )
        _store(self._item, self._benchmark, self._board, measurements)
        note(self._item, "feasible", "", measurements)
        return measurements


def _store(
    item: pytest.Item, benchmark: BenchmarkFixture, board: Board, measurements: list[Measurement]
) -> None:
    from pytest_microcloud.runs import SCHEMA

    if benchmark.params:
        benchmark.params = {key: _plain(value) for key, value in benchmark.params.items()}
    benchmark.extra_info["microcloud"] = {
        "schema": SCHEMA,
        "board": board.name,
        "model": board.model.id,
        "driver": board.driver.name,
        "boot": board.boot,
        "experiment": experiment_of(item),
        "measurements": [m.as_dict() for m in measurements],
    }


def _plain(value: Any) -> Any:
    if hasattr(value, "backend"):
        return board_name(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _workload(request: pytest.FixtureRequest, name: str) -> Workload:
    return request.config.stash[SESSION].catalog.workload(name)
