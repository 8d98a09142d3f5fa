"""What suites use: `board`, `host`, `effort`, `deploy`, `serve`, `measure`, `limit`; and to judge claims."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec

import pytest

from pytest_microcloud.errors import InvalidMeasurement, LimitMissed, NotMeasured

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture
    from testinfra.host import Host

    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.boards.rack import Rack
    from pytest_microcloud.catalog import Catalog, Effort, Workload
    from pytest_microcloud.experiments.deploy import Deployment, Server
    from pytest_microcloud.measurement import Measurement
    from pytest_microcloud.report.privacy import Privacy
    from pytest_microcloud.runs import Entry, Run
    from pytest_microcloud.unfinished import Unfinished
    from pytest_microcloud.verdict.claims import Claim
    from pytest_microcloud.verdict.comparison import Comparison
    from pytest_microcloud.verdict.gate import Rules
    from pytest_microcloud.verdict.results import Results

P = ParamSpec("P")
PAUSE_S = 30.0
"""What a board gets to cool down, or somebody else to finish, before what was invalid is measured again."""
ONCE = (
    "measure(...) once a test: use measure.repeat(n, …), "
    "or one test a setting (@pytest.mark.sweep), as each test is one benchmark of the run file"
)


@dataclass
class Session:
    """What a session with boards knows: kept in `config.stash[SESSION]`.

    `announce` shows a rare step of a board; what is invalid is measured again, `retries` times a test.
    `boots` is in how many boots each test that measures runs, and `phases` in which one each board is.
    `entries` are what the tests came to, `confirmations` what the gate's own came to. `gate` is what the run
    is compared with, if it is, and `comparison` what came of it, or `refused` why nothing did.
    """

    catalog: Catalog
    rack: Rack
    effort: Effort
    run_file: Path
    privacy: Privacy
    announce: Callable[[str, str], None]
    retries: int = 0
    boots: int = 1
    entries: list[Entry] = field(default_factory=list)
    confirmations: list[Entry] = field(default_factory=list)
    boards: dict[str, Board] = field(default_factory=dict)
    phases: dict[str, Phase] = field(default_factory=dict)
    resumed: Unfinished | None = None
    gate: Against | None = None
    comparison: Comparison | None = None
    refused: str = ""


@dataclass(frozen=True)
class Against:
    """What a run is compared with; `made_of` tells what the baseline's boards were, by our boards' names."""

    baseline: Run
    rules: Rules
    made_of: dict[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    """A boot of a board, from 1; `stage` is the side that it is of in the gate's confirmation."""

    boot: int = 1
    stage: str = ""

    def __str__(self) -> str:
        return f"boot{self.boot}{f'-{self.stage}' if self.stage else ''}"


OURS = frozenset(("board", "effort", "deploy", "serve", "measure", "limit"))
SESSION: pytest.StashKey[Session] = pytest.StashKey()
ENTRY: pytest.StashKey[Entry] = pytest.StashKey()
DOUBTED: pytest.StashKey[list[Measurement]] = pytest.StashKey()
CLAIMS: pytest.StashKey[list[Claim]] = pytest.StashKey()
UNMEASURED = ("claim", "not measured")
"""The property, in JUnit's XML too, of a claim's test that no run has the figures for."""
PHASE = "microcloud_phase"
"""The parameter of a test that says in which boot it runs, if there are several."""


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
    from pytest_microcloud.runs import Entry

    session = item.config.stash[SESSION]
    entry = item.stash.get(ENTRY, None)
    if entry is None:
        entry = Entry(board_of(item) or "?", experiment_of(item), item.nodeid, verdict)
        entry.boot, entry.stage = boot_of(item), stage_of(item)
        item.stash[ENTRY] = entry
        (session.confirmations if entry.stage else session.entries).append(entry)
    entry.verdict, entry.reason = verdict, session.privacy.anywhere(reason)
    if measurements is not None:
        entry.measurements = measurements


def doubt(item: pytest.Item, reason: str) -> None:
    """Let nothing that a test measured be trusted: it stays in the run, as invalid, and is no benchmark."""
    _distrust(item.stash[ENTRY].measurements if ENTRY in item.stash else (), reason)
    if benchmark := getattr(item, "funcargs", {}).get("benchmark"):
        benchmark.has_error = True


def _distrust(measurements: Iterable[Measurement], reason: str) -> None:
    for m in measurements:
        if m.verdict != "invalid":
            m.verdict, m.reason, m.limit = "invalid", reason, None


def uses(item: pytest.Item, names: Collection[str]) -> bool:
    """Tell whether a test uses fixtures of those names and they are ours, or a user's that wrap ours."""
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})  # private to pytest
    return any(_is_ours(name, definitions.get(name, ())) for name in names)


def _is_ours(name: str, definitions: Sequence[pytest.FixtureDef[Any]]) -> bool:
    for definition in reversed(definitions):  # the nearest first
        if getattr(definition.func, "__module__", None) == __name__:
            return True
        if name not in definition.argnames:
            return False
    return False


def tolerated(item: pytest.Item) -> tuple[str, ...]:
    """Return the symptoms that a test brings about itself, by its mark, and its experiment by the catalog."""
    mark = item.get_closest_marker("experiment")
    own = mark.kwargs.get("tolerates", ()) if mark else ()
    known = item.config.stash[SESSION].catalog.experiments.get(experiment_of(item))
    return (*own, *(known.tolerates if known else ()))


def host_of(item: pytest.Item) -> Host | None:
    """Return the testinfra host that a test runs against, if it runs against one."""
    host: Host | None = _parameters(item).get("_testinfra_host")
    return host


def board_of(item: pytest.Item) -> str | None:
    """Return the inventory name of the board that a test runs against, if it runs against one."""
    host = host_of(item)
    return None if host is None else board_name(host)


def phase_of(item: pytest.Item) -> Phase | None:
    """Return the boot that a test is to run in, if it is not all the same."""
    phase = _parameters(item).get(PHASE)
    return phase if isinstance(phase, Phase) else None


def boot_of(item: pytest.Item) -> int:
    """Return which boot a test runs in: of several that were asked for, else of the board's own."""
    if phase := phase_of(item):
        return phase.boot
    board = item.config.stash[SESSION].boards.get(board_of(item) or "")
    return max(1, board.boot) if board is not None else 1


def stage_of(item: pytest.Item) -> str:
    """Return the side that a test measures in the gate's confirmation; empty for any other test."""
    phase = phase_of(item)
    return phase.stage if phase else ""


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return getattr(getattr(item, "callspec", None), "params", {})


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
    """`limit(measurements)` judges them by the limits of the board's model; a limit missed fails the test.

    What the gate measures again has been judged, or is the baseline's: only the comparison counts.
    """
    from pytest_microcloud.verdict.limits import judge

    def keep(measurements: list[Measurement]) -> None:
        __tracebackhide__ = True
        if stage_of(request.node):
            return
        missed = judge(measurements, board.model.id, request.config.stash[SESSION].catalog)
        if ENTRY in request.node.stash:
            _store(request.node, request.getfixturevalue("benchmark"), board)
        if missed:
            note(request.node, "infeasible", "; ".join(missed))
            raise LimitMissed("\n".join(missed))

    return keep


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Results:
    """All that the runs in the reports' directory measured, and this session so far; it takes no board."""
    from pytest_microcloud import options, runs
    from pytest_microcloud.verdict.results import Results

    there = runs.every(options.path(request.config, "reports") / "runs")
    return Results(run for run in there if isinstance(run, runs.Run))


@pytest.fixture
def judge_claim(request: pytest.FixtureRequest) -> Callable[[Claim], None]:
    """`judge_claim(claim)` keeps what came of a claim for the summary; one not measured is counted as such.

    One that does not hold is a finding: with --microcloud-claims=strict it fails the test.
    """
    from pytest_microcloud import options
    from pytest_microcloud.verdict.claims import FAILS, NOT_MEASURED

    strict = options.strict_claims(request.config)

    def judge(claim: Claim) -> None:
        __tracebackhide__ = True
        request.config.stash.setdefault(CLAIMS, []).append(claim)
        if claim.verdict == NOT_MEASURED:
            request.node.user_properties.append(UNMEASURED)
            pytest.skip(f"not measured: {'; '.join(claim.missing)}")
        if strict and claim.verdict == FAILS:
            pytest.fail(f"{claim.says}: does not hold: {'; '.join(claim.numbers)}", pytrace=False)

    return judge


class Measure:
    """Wraps pytest-benchmark: a round is one run of the experiment, timed in board time.

    The benchmark's own time is the first measurement that is a time, the median of its samples in each round.
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
        """Run the experiment `rounds` times and return its measurements, samples pooled."""
        __tracebackhide__ = True
        from pytest_microcloud.measurement import pooled

        if not self._benchmark.enabled:
            raise pytest.UsageError("measurements need pytest-benchmark: run without --benchmark-disable")
        if self.used:
            raise pytest.UsageError(ONCE)
        self.used = True
        mark = self._item.get_closest_marker("benchmark")
        clock: BoardClock = mark.kwargs["timer"] if mark else BoardClock()
        if self._benchmark.params:  # before pytest-benchmark keeps them: a host is no JSON
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
            _distrust(done, f"measured before the test ended in {type(error).__name__}: {error}")
            note(self._item, "not measured", str(error), [*done, *self._doubted])
            raise
        except BaseException:  # pytest.fail, pytest.skip, Ctrl-C: pytest-benchmark looks for exceptions only
            self._benchmark.has_error = True
            raise
        measurements = pooled(seen)
        self._item.config.hook.pytest_microcloud_measured(
            board=self._board, measurements=measurements, item=self._item
        )
        note(self._item, "feasible", "", [*measurements, *self._doubted])
        _store(self._item, self._benchmark, self._board)
        return measurements

    def _trusted(self, experiment: Callable[[], list[Measurement]]) -> list[Measurement]:
        """Run the experiment on a board that is watched; again if it was invalid, as often as is allowed.

        Raises InvalidMeasurement with all reasons.
        """
        from pytest_microcloud.boards import health

        session = self._item.config.stash[SESSION]
        booted = self._board.booted
        while True:
            measurements: list[Measurement] = []
            try:
                with health.Watch(self._board, expected=tolerated(self._item)) as watch:
                    measurements = list(experiment())
                doubts = (m.reason for m in measurements if m.verdict == "invalid")
                if reasons := [*watch.verdict(), *dict.fromkeys(doubts)]:
                    raise InvalidMeasurement(f"{self._board.name}: {'; '.join(reasons)}")
                return measurements
            except InvalidMeasurement as invalid:
                _distrust(measurements, str(invalid))
                self._doubted += measurements
                if self._repeated >= session.retries or self._board.booted != booted:
                    raise  # after a reboot, what was set up to be measured is not there any more
                self._repeated += 1
                turn = f"{self._repeated} of {session.retries}"
                session.announce(
                    self._board.name, f"invalid: {invalid}; measured again in {PAUSE_S:.0f} s ({turn})"
                )
            time.sleep(PAUSE_S)


def _store(item: pytest.Item, benchmark: BenchmarkFixture, board: Board) -> None:
    """Put what the test measured into the benchmark, as it is judged by now."""
    from pytest_microcloud.runs import SCHEMA

    benchmark.extra_info["microcloud"] = {
        "schema": SCHEMA,
        "board": board.name,
        "model": board.model.id,
        "driver": board.driver.name,
        "boot": boot.boot if (boot := phase_of(item)) else board.boot,
        **({"stage": boot.stage} if boot and boot.stage else {}),
        "experiment": experiment_of(item),
        "measurements": [m.as_dict() for m in item.stash[ENTRY].measurements],
    }


def _plain(value: Any) -> Any:
    if hasattr(value, "backend"):
        return board_name(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _workload(request: pytest.FixtureRequest, name: str) -> Workload:
    return request.config.stash[SESSION].catalog.workload(name)
