"""The fixtures of suites.

`board`, `effort`, `deploy`, `serve`, `measure` and `limit` are for measuring, `results` and `judge_claim` for
claims; `host` is testinfra's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_microcloud.errors import LimitMissed, NotMeasured
from pytest_microcloud.session.claims import CLAIM, UNMEASURED
from pytest_microcloud.session.items import ENTRY, board_name, note, stage_of
from pytest_microcloud.session.measuring import Measure, store
from pytest_microcloud.session.state import SESSION

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture
    from testinfra.host import Host

    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.catalog import Effort, Workload
    from pytest_microcloud.experiments.deploy import Deployment, Server
    from pytest_microcloud.measurement import Measurement
    from pytest_microcloud.verdict.claims import Claim
    from pytest_microcloud.verdict.results import Results

OURS = frozenset(("board", "effort", "deploy", "serve", "measure", "limit"))


def uses(item: pytest.Item, names: Collection[str]) -> bool:
    """Return whether a test uses one of our fixtures in `names`, or a user's override that requests ours."""
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})  # private to pytest
    return any(_is_ours(name, definitions.get(name, ())) for name in names)


def _is_ours(name: str, definitions: Sequence[pytest.FixtureDef[Any]]) -> bool:
    for definition in reversed(definitions):  # the innermost override first
        if getattr(definition.func, "__module__", None) == __name__:
            return True
        if name not in definition.argnames:
            return False
    return False


@pytest.fixture
def board(request: pytest.FixtureRequest, host: Host) -> Board:
    """Return the board that the test runs against: powered on, with its facts, Docker client and SSH link."""
    return request.config.stash[SESSION].rack.board(board_name(host))


@pytest.fixture
def effort(request: pytest.FixtureRequest) -> Effort:
    """Return the effort that --microcloud-effort chooses: the number of repetitions of each experiment."""
    return request.config.stash[SESSION].effort


@pytest.fixture
def deploy(request: pytest.FixtureRequest, board: Board) -> Callable[[str], Deployment]:
    """`deploy("httpd")` brings a workload's image to the board. If there is no image, the test is skipped."""
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
    """`serve("httpd", "docker")` or `serve("httpd", "native")` runs a web server until the test ends."""
    from pytest_microcloud.experiments.deploy import docker_server, native_server

    with ExitStack() as stack:

        def on_board(workload: str, setting: Literal["native", "docker"] | str) -> Server:
            if setting == "native":
                return stack.enter_context(native_server(board, _workload(request, workload)))
            if setting == "docker":
                return stack.enter_context(docker_server(deploy(workload)))
            raise pytest.UsageError(
                f'serve(workload, setting): setting must be "native" or "docker", not {setting!r}'
            )

        yield on_board


@pytest.fixture
def measure(request: pytest.FixtureRequest, board: Board, benchmark: BenchmarkFixture) -> Iterator[Measure]:
    """`measure(experiment, …)` runs an experiment and stores its measurements; call it once per test."""
    measure = Measure(request.node, board, benchmark)
    yield measure
    if not measure.used:
        benchmark.skipped = True  # else pytest-benchmark warns that its fixture was not used


@pytest.fixture
def limit(request: pytest.FixtureRequest, board: Board) -> Callable[[list[Measurement]], None]:
    """`limit(measurements)` judges measurements by the limits of the board's model.

    A missed limit fails the test. Limits do not apply to measurements for the gate's confirmation, because
    the gate only compares them.
    """
    from pytest_microcloud.verdict.limits import judge

    def keep(measurements: list[Measurement]) -> None:
        __tracebackhide__ = True
        if not isinstance(measurements, list | tuple):
            raise pytest.UsageError(f"limit(…) takes the list that measure(…) returns, not {measurements!r}")
        if stage_of(request.node):
            return
        missed = judge(measurements, board.model.id, request.config.stash[SESSION].catalog)
        if ENTRY in request.node.stash:
            store(request.node, request.getfixturevalue("benchmark"), board)
        if missed:
            note(request.node, "infeasible", "; ".join(missed))
            raise LimitMissed("\n".join(missed))

    return keep


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Results:
    """Return the measurements of all runs in the reports directory, including this session so far."""
    from pytest_microcloud import options, runs
    from pytest_microcloud.verdict.results import Results

    there = runs.every(options.path(request.config, "reports") / "runs")
    return Results(run for run in there if isinstance(run, runs.Run))


@pytest.fixture
def judge_claim(request: pytest.FixtureRequest) -> Callable[[Claim], None]:
    """`judge_claim(claim)` records a judged claim for the summary.

    A claim without figures is counted as unmeasured. With --microcloud-claims=strict, a claim that does not
    hold fails its test.
    """
    from pytest_microcloud import options
    from pytest_microcloud.verdict.claims import FAILS, NOT_MEASURED

    strict = options.strict_claims(request.config)

    def judge(claim: Claim) -> None:
        __tracebackhide__ = True
        request.node.stash[CLAIM] = claim
        if claim.verdict == NOT_MEASURED:
            request.node.user_properties.append(UNMEASURED)
            pytest.skip(f"not measured: {'; '.join(claim.missing)}")
        if strict and claim.verdict == FAILS:
            pytest.fail(f"{claim.says}: does not hold: {'; '.join(claim.numbers)}", pytrace=False)

    return judge


def _workload(request: pytest.FixtureRequest, name: str) -> Workload:
    return request.config.stash[SESSION].catalog.workload(name)
