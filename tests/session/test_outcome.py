"""The outcome of a test on the terminal, the run file, JUnit's XML and the page: error, failure, invalid."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from html import unescape
from pathlib import Path
from textwrap import dedent
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.support.said_to_be_up import Project

RunAgainst = Callable[..., pytest.RunResult]
TESTS = """\
    def test_first(board): ...
    def test_second(host): ...
    def test_of_no_board(): ...
    """


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's runtime directory, of a name that is short enough for sockets in it."""
    with tempfile.TemporaryDirectory(prefix="mc-") as directory:
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # pytest-benchmark would switch itself off
        yield Path(directory)


@pytest.fixture
def run_against(pytester: pytest.Pytester, runtime: Path) -> RunAgainst:
    """Run tests of a board that should be on that port of this machine, and one of no board."""
    del runtime
    pytester.makeini("[pytest]\nfilterwarnings = error")
    pytester.makepyfile(test_desk=TESTS)

    def run(port: int, *arguments: str) -> pytest.RunResult:
        (pytester.path / "hosts.ini").write_text(
            f"[pi3b]\ndesk microcloud_driver=ssh ansible_host=127.0.0.1 ansible_port={port} ansible_user=pi\n"
        )
        return pytester.runpytest_subprocess("--hosts=pi3b", *arguments)

    return run


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@pytest.fixture
def hanging_up() -> Iterator[tuple[int, list[int]]]:
    """Listen on a port, hang up on whoever calls, and keep the callers."""
    server = socket.create_server(("127.0.0.1", 0))
    callers: list[int] = []

    def answer() -> None:
        while True:
            try:
                connection, (_, port) = server.accept()
            except OSError:
                return
            callers.append(port)
            connection.close()

    thread = threading.Thread(target=answer)
    with closing(server):
        thread.start()
        yield server.getsockname()[1], callers
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_it_is_an_error_of_the_test_and_no_failure(run_against: RunAgainst, closed_port: int) -> None:
    result = run_against(closed_port)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(errors=2, passed=1)


def test_it_is_reported_in_one_line_with_the_boards_name_and_no_traceback(
    run_against: RunAgainst, closed_port: int
) -> None:
    result = run_against(closed_port)
    text = "\n".join([*result.outlines, *result.errlines])
    assert any(
        line.startswith(f"LinkError: desk: 127.0.0.1 refuses SSH at port {closed_port}: ")
        for line in result.outlines
    )
    for noise in ("Traceback", "INTERNALERROR", ".py:", "KeyError"):
        assert noise not in text.replace("test_desk.py::", "")


def test_the_closing_table_tells_that_the_board_never_came_up_and_why_once(
    run_against: RunAgainst, closed_port: int
) -> None:
    lines = run_against(closed_port).outlines
    table = lines[next(n for n, line in enumerate(lines) if "micro-cloud verdicts" in line) :]
    assert table[1] == "desk: never came up"
    assert sum(line.startswith("    desk: 127.0.0.1 refuses SSH ") for line in table) == 1


def test_the_page_has_the_error_too(
    run_against: RunAgainst, closed_port: int, pytester: pytest.Pytester
) -> None:
    run_against(closed_port)
    page = (pytester.path / "reports" / "feasibility.html").read_text()
    assert "never came up" in page
    assert '<td class="mc-error"><b>error</b>' in page


def test_a_board_that_hangs_up_is_called_once_in_a_session_not_once_a_test(
    run_against: RunAgainst, hanging_up: tuple[int, list[int]]
) -> None:
    port, callers = hanging_up
    result = run_against(port)
    result.assert_outcomes(errors=2, passed=1)
    assert len(callers) == 1


def test_nothing_of_the_session_is_left_in_the_runtime_directory(
    run_against: RunAgainst, closed_port: int, runtime: Path
) -> None:
    run_against(closed_port)
    assert list((runtime / "microcloud").iterdir()) == []


def test_with_exitfirst_the_session_stops_at_the_board(
    run_against: RunAgainst, closed_port: int, pytester: pytest.Pytester
) -> None:
    pytester.makeini("[pytest]\naddopts = -x")
    result = run_against(closed_port)
    result.assert_outcomes(errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_test_that_is_skipped_by_a_mark_needs_no_board(
    run_against: RunAgainst, hanging_up: tuple[int, list[int]], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(
        test_desk="""
        import pytest

        @pytest.mark.skip(reason="not today")
        def test_skipped(board): ...

        @pytest.mark.skipif(True, reason="nor so")
        def test_skipped_too(host): ...

        @pytest.mark.xfail(run=False)
        def test_not_run(board): ...
        """
    )
    port, callers = hanging_up
    run_against(port).assert_outcomes(skipped=2, xfailed=1)
    assert callers == []


def test_a_board_is_powered_on_before_fixtures_and_they_are_taken_down_after_its_error(
    run_against: RunAgainst, closed_port: int, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(
        test_desk="""
        import pytest

        @pytest.fixture(scope="module", autouse=True)
        def of_module():
            yield
            print("module taken down")

        @pytest.fixture
        def early():
            print("too early")

        def test_before(): ...
        def test_board(early, board): ...
        """
    )
    result = run_against(closed_port, "-s")
    result.assert_outcomes(passed=1, errors=1)
    assert "too early" not in result.stdout.str()
    assert result.stdout.str().count("module taken down") == 1


UP = """\
    from pathlib import Path
    import pytest
    from pytest_microcloud.boards import health
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.controller.progress import Progress, Steps
    from pytest_microcloud.boards.facts import Facts
    from pytest_microcloud.boards.rack import Rack

    def board(rack, name):
        target = rack.targets[name]
        steps, model = Steps(Progress(), "desk"), rack.catalog.model("pi3b")
        board = Board(target, model, rack._driver(target, model, steps), "run", 1, Path(), steps)
        board.facts = Facts("Raspbian", "6.1", "aarch64", 4, 10**9, "b", "27.1", "overlay2", "2")
        board.gaps = ()
        return board

    Rack.board = board

    class Watch:
        found = []  # what it is to find, once each

        def __init__(self, board, expected=()):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def verdict(self):
            return self.found.pop(0) if self.found else []

    health.Watch = Watch
    health.unwatched = health.others = lambda board: ()
    """
ENDS = """\
    import pytest
    from pytest_microcloud import BoardError, InvalidMeasurement
    from pytest_microcloud.measurement import Measurement

    def took(seconds):
        return [Measurement("io.memory_time", [seconds], {"size": "4KiB"})]

    def saturated():
        raise InvalidMeasurement("the load generator was saturated")

    @pytest.mark.experiment("crash")
    def test_crash(board):
        {}["key"]

    @pytest.mark.experiment("assertion")
    def test_assertion(board):
        assert board.name == "shelf", "wrong board\\nin this room"

    @pytest.mark.experiment("fail")
    def test_fail(board):
        pytest.fail("smoke")

    @pytest.mark.experiment("wire")
    def test_wire(board):
        raise BoardError(board.name, "the wire was cut")

    @pytest.mark.experiment("doubt")
    def test_doubt(measure):
        measure(saturated)

    @pytest.mark.experiment("missed")
    def test_missed(measure, limit):
        limit(measure(took, 1e9))

    @pytest.mark.experiment("unjudged")
    def test_unjudged(measure):
        measure(took, 1.0)

    @pytest.mark.experiment("twice")
    def test_twice(measure):
        measure(took, 1.0)
        measure(took, 2.0)

    @pytest.fixture
    def broken():
        yield
        raise RuntimeError("no way back")

    @pytest.mark.experiment("teardown")
    def test_teardown(broken, board): ...

    def test_of_no_board():
        raise RuntimeError("not ours")
    """


@pytest.fixture
def ends(run_against: RunAgainst, closed_port: int, pytester: pytest.Pytester) -> pytest.RunResult:
    """Run tests that end in every way, on a fake board: nothing is connected."""
    pytester.makeconftest(UP)
    pytester.makepyfile(test_desk=ENDS)
    (pytester.path / "mine.toml").write_text(
        '[limits.pi3b.io]\nmemory_time = { max = 1000.0, source = "my patience" }\n'
    )
    return run_against(closed_port, "-v", "--junitxml=junit.xml", "-o", "microcloud_catalog=mine.toml")


def verdicts(result: pytest.RunResult) -> dict[str, tuple[str, list[str]]]:
    """Return experiment -> verdict with what stands beside it, and the reasons below it."""
    lines = result.outlines
    table = lines[next(n for n, line in enumerate(lines) if "micro-cloud verdicts" in line) + 1 :]
    found: dict[str, tuple[str, list[str]]] = {}
    name = ""
    for line in table:
        if line.startswith("    "):
            found[name][1].append(line.strip())
        elif line.startswith("  "):
            name, _, rest = line.strip().partition(" ")
            found[name] = (rest.strip(), [])
    return found


def test_every_end_of_a_test_has_its_place_in_the_matrix_with_its_reason(ends: pytest.RunResult) -> None:
    found = verdicts(ends)
    assert found["crash"] == ("error         –", ["KeyError: 'key'"])
    assert found["assertion"] == ("infeasible    –", ["AssertionError: wrong board"])
    assert found["fail"] == ("infeasible    –", ["Failed: smoke"])
    assert found["wire"] == ("error         –", ["desk: the wire was cut"])
    assert found["doubt"] == ("invalid       –", ["the load generator was saturated"])
    assert found["teardown"] == ("error         –", ["RuntimeError: no way back"])
    missed, reasons = found["missed"]
    assert missed.startswith("infeasible")
    assert len(reasons) == 1
    assert "my patience" in reasons[0]
    assert not any("not ours" in reason for _, reasons in found.values() for reason in reasons)


def test_what_no_limit_was_judged_on_says_so_in_the_table_the_page_and_the_run_file(
    ends: pytest.RunResult, pytester: pytest.Pytester
) -> None:
    assert verdicts(ends)["unjudged"][0] == "feasible      memory time (4KiB) 1 s; no limit judged"
    page = (pytester.path / "reports" / "feasibility.html").read_text()
    assert '<td class="mc-unjudged"><b>feasible</b><br>memory time (4KiB) 1 s<small>no limit judged' in page
    (run_file,) = (pytester.path / "reports" / "runs").iterdir()
    held = {
        b["name"]: b["extra_info"].get("microcloud") for b in json.loads(run_file.read_text())["benchmarks"]
    }
    (unjudged,) = next(ours["measurements"] for name, ours in held.items() if "unjudged" in name)
    assert (unjudged["verdict"], unjudged["reason"]) == ("feasible", "no limit is set")


def test_measuring_twice_in_a_test_is_refused_with_what_to_do_instead(ends: pytest.RunResult) -> None:
    verdict, (reason,) = verdicts(ends)["twice"]
    assert verdict.startswith("error")
    assert "measure(...) once a test: use measure.repeat(n, …), or one test a setting" in reason
    assert "FixtureAlreadyUsed" not in ends.stdout.str()


def test_a_board_that_breaks_in_a_test_is_counted_as_an_error_and_doubt_as_invalid(
    ends: pytest.RunResult,
) -> None:
    ends.stdout.fnmatch_lines(["*::test_wire*desk* ERROR *", "*::test_doubt*desk* INVALID *"])
    counts = ends.parseoutcomes()
    assert (ends.ret, counts["errors"], counts["invalid"]) == (pytest.ExitCode.TESTS_FAILED, 2, 1)
    ends.stdout.fnmatch_lines(["BoardError: desk: the wire was cut"])
    ends.stdout.fnmatch_lines(["INVALID test_desk.py::test_doubt*"])


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ("BoardError(board.name, 'cut')", {"errors": 1}),
        ("InvalidMeasurement('saturated')", {"invalid": 1}),
    ],
)
def test_neither_a_broken_board_nor_doubt_lets_a_session_exit_with_0(
    run_against: RunAgainst,
    closed_port: int,
    pytester: pytest.Pytester,
    test: str,
    outcome: dict[str, int],
) -> None:
    pytester.makeconftest(UP)
    pytester.makepyfile(
        test_desk=f"from pytest_microcloud import *\n\ndef test_it(board):\n    raise {test}\n"
    )
    result = run_against(closed_port)
    assert (result.ret, result.parseoutcomes()) == (pytest.ExitCode.TESTS_FAILED, outcome)


def test_junit_has_what_each_test_came_to_as_a_property(
    ends: pytest.RunResult, pytester: pytest.Pytester
) -> None:
    del ends
    cases = ElementTree.parse(pytester.path / "junit.xml").iter("testcase")  # noqa: S314 - pytest wrote it
    properties = {
        case.get("name", "").partition("[")[0]: case.find("properties/property[@name='microcloud']")
        for case in cases
    }
    values = {name: None if found is None else found.get("value") for name, found in properties.items()}
    assert (values["test_wire"], values["test_doubt"], values["test_crash"]) == ("error", "invalid", None)


@pytest.fixture
def outcomes(
    run_against: RunAgainst, closed_port: int, pytester: pytest.Pytester
) -> Callable[..., pytest.RunResult]:
    """Run tests on a fake board; `found` is what the watch finds in each measurement."""

    def run(
        tests: str, *arguments: str, found: Sequence[Sequence[str]] = (), first: str = ""
    ) -> pytest.RunResult:
        watch = f"health.Watch.found = {[list(reasons) for reasons in found]}"
        hurry = "from pytest_microcloud.session import measuring; measuring.PAUSE_S = 0.0"
        pytester.makeconftest(f"{dedent(UP)}\n{watch}\n{hurry}\n{first}\n")
        pytester.makepyfile(test_desk=f"{dedent(MEASURED)}\n{dedent(tests)}")
        return run_against(closed_port, *arguments)

    return run


MEASURED = """\
    import pytest
    from itertools import count
    from pytest_microcloud import BoardError, InvalidMeasurement
    from pytest_microcloud.measurement import Measurement

    turns = count(1)

    def took():
        return [Measurement("startup.ready_time", [float(next(turns))])]
    """
BOOT = "def test_boot(measure):\n    measure.repeat(3, took)\n"
HOT = ["it was 81 °C hot"]


def run_of(pytester: pytest.Pytester) -> dict[str, Any]:
    (file,) = (pytester.path / "reports" / "runs").iterdir()
    document: dict[str, Any] = json.loads(file.read_text())
    return document


def samples_and_verdicts(measurements: list[dict[str, Any]]) -> list[tuple[list[float], str]]:
    return [(m["samples"], m["verdict"]) for m in measurements]


def test_what_is_measured_on_a_board_that_was_not_well_is_invalid_with_the_reason(
    outcomes: Callable[..., pytest.RunResult],
) -> None:
    result = outcomes(BOOT, found=[HOT])
    assert (result.ret, result.parseoutcomes()) == (pytest.ExitCode.TESTS_FAILED, {"invalid": 1})
    assert verdicts(result)["desk"] == ("invalid       –", ["desk: it was 81 °C hot"])
    result.stdout.fnmatch_lines(["I *100%]", "INVALID test_desk.py::test_boot* - desk: it was 81 °C hot"])


def test_what_is_invalid_is_in_the_run_file_but_no_benchmark_of_it(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    outcomes(BOOT + "def test_well(measure):\n    measure(took)\n", found=[[], HOT])
    run = run_of(pytester)
    assert [b["name"] for b in run["benchmarks"]] == ["test_well[ssh://desk]"]
    kept, well = run["machine_info"]["microcloud"]["outcomes"]
    assert (well["test"], well["verdict"]) == ("test_desk.py::test_well[ssh://desk]", "feasible")
    assert kept["test"] == "test_desk.py::test_boot[ssh://desk]"
    assert (kept["board"], kept["experiment"]) == ("desk", "desk")
    assert (kept["verdict"], kept["reason"]) == ("invalid", "desk: it was 81 °C hot")
    assert samples_and_verdicts(kept["measurements"]) == [([1.0], "invalid"), ([2.0], "invalid")]


def test_limits_are_not_asked_about_what_is_invalid(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    (pytester.path / "mine.toml").write_text(
        '[limits.pi3b.startup]\nready_time = { max = 0.1, source = "my patience" }\n'
    )
    tests = "def test_boot(measure, limit):\n    limit(measure(took))\n"
    result = outcomes(tests, "-o", "microcloud_catalog=mine.toml", found=[HOT])
    assert result.parseoutcomes() == {"invalid": 1}
    (kept,) = run_of(pytester)["machine_info"]["microcloud"]["outcomes"]
    assert [(m["verdict"], m["limit"]) for m in kept["measurements"]] == [("invalid", None)]


def test_doubt_after_a_measurement_takes_it_out_of_the_benchmarks(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    outcomes("def test_boot(measure):\n    measure(took)\n    raise InvalidMeasurement('clouds')\n")
    run = run_of(pytester)
    assert run["benchmarks"] == []
    (kept,) = run["machine_info"]["microcloud"]["outcomes"]
    assert [(m["verdict"], m["reason"]) for m in kept["measurements"]] == [("invalid", "clouds")]


def test_what_is_invalid_is_measured_again_as_often_as_is_asked_for(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    result = outcomes(BOOT, "--microcloud-retry-invalid=2", found=[[], HOT, HOT])
    assert (result.ret, result.parseoutcomes()) == (pytest.ExitCode.OK, {"passed": 1})
    result.stdout.fnmatch_lines(
        [
            "  desk: invalid: desk: it was 81 °C hot; retried in 0 s (1 of 2)",
            "  desk: invalid: desk: it was 81 °C hot; retried in 0 s (2 of 2)",
        ]
    )
    (benchmark,) = run_of(pytester)["benchmarks"]
    assert benchmark["stats"]["data"] == [1.0, 4.0, 5.0]
    assert samples_and_verdicts(benchmark["extra_info"]["microcloud"]["measurements"]) == [
        ([1.0, 4.0, 5.0], "feasible"),
        ([2.0], "invalid"),
        ([3.0], "invalid"),
    ]


def test_what_stays_invalid_is_given_up_after_that(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    result = outcomes(BOOT, "-o", "microcloud_retry_invalid=1", found=[HOT, HOT, HOT])
    assert result.parseoutcomes() == {"invalid": 1}
    (kept,) = run_of(pytester)["machine_info"]["microcloud"]["outcomes"]
    assert samples_and_verdicts(kept["measurements"]) == [([1.0], "invalid"), ([2.0], "invalid")]


def test_a_wrong_call_is_an_error_of_its_test_without_a_traceback(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    call = "serving.load(server, clients=100, requests=50)"
    tests = (
        "from pytest_microcloud.experiments import serving\n"
        f"def test_load(board, measure):\n    server = None\n    measure(lambda: {call})\n"
    )
    result = outcomes(tests)
    assert (result.ret, result.parseoutcomes()) == (pytest.ExitCode.TESTS_FAILED, {"errors": 1})
    result.stdout.fnmatch_lines(["UserMistake: requests=50, clients=100: each client needs at least one *"])
    result.stdout.no_fnmatch_line("*Traceback*")
    (kept,) = run_of(pytester)["machine_info"]["microcloud"]["outcomes"]
    assert kept["verdict"] == "error"


def test_a_number_of_repetitions_below_0_is_refused(outcomes: Callable[..., pytest.RunResult]) -> None:
    result = outcomes(BOOT, "--microcloud-retry-invalid=-1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--microcloud-retry-invalid=-1: give 0 or more"])


def test_a_board_that_breaks_between_rounds_leaves_those_that_were_made_in_the_run_file(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    outcomes(
        """
        def dying():
            if (measured := took())[0].samples == [3.0]:
                raise BoardError("desk", "the wire was cut")
            return measured

        def test_boot(measure):
            measure.repeat(5, dying)
        """
    )
    (kept,) = run_of(pytester)["machine_info"]["microcloud"]["outcomes"]
    assert (kept["verdict"], kept["reason"]) == ("error", "desk: the wire was cut")
    assert samples_and_verdicts(kept["measurements"]) == [([1.0, 2.0], "invalid")]


def test_what_is_not_measured_is_in_the_run_file_with_the_reason(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    outcomes(
        """
        from pytest_microcloud import NotMeasured
        from pytest_microcloud.experiments import deploy as deploying

        def none(board, workload):
            raise NotMeasured(f"no registry has {workload.id}")

        deploying.deploy = none

        def test_image(deploy):
            deploy("jenkins")
        """
    )
    (kept,) = run_of(pytester)["machine_info"]["microcloud"]["outcomes"]
    assert (kept["verdict"], kept["reason"]) == ("not measured", "no registry has jenkins")
    assert kept["measurements"] == []


@pytest.mark.parametrize("found", [[HOT], [[], [], [], HOT]])
def test_pytest_benchmark_reads_a_run_with_invalid_tests(
    outcomes: Callable[..., pytest.RunResult],
    pytester: pytest.Pytester,
    tmp_path: Path,
    found: list[list[str]],
) -> None:
    outcomes(BOOT + "def test_again(measure):\n    measure.repeat(2, took)\n" * (len(found) > 1), found=found)
    (file,) = (pytester.path / "reports" / "runs").iterdir()
    compare = [str(Path(sys.executable).with_name("pytest-benchmark")), "compare", str(file)]
    done = subprocess.run(compare, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert ("test_boot" in done.stdout) == (len(found) > 1)
    assert "test_again" not in done.stdout


@pytest.mark.parametrize(
    ("mark", "counts"),
    [
        ("xfail(reason='slow')", {"invalid": 1}),
        ("xfail(reason='slow', strict=True)", {"invalid": 1}),
        ("xfail(raises=AssertionError)", {"invalid": 1}),
        ("xfail(raises=InvalidMeasurement)", {"xfailed": 1}),
    ],
)
def test_a_test_that_should_fail_is_invalid_unless_its_mark_says_that_it_should_be(
    outcomes: Callable[..., pytest.RunResult], mark: str, counts: dict[str, int]
) -> None:
    result = outcomes(f"@pytest.mark.{mark}\n{BOOT}", found=[HOT])
    assert result.parseoutcomes() == counts
    assert (result.ret == pytest.ExitCode.OK) == ("xfailed" in counts)


THREE = "".join(f"def test_{name}(measure):\n    measure(took)\n" for name in ("a", "b", "c"))


@pytest.mark.parametrize(("option", "ran"), [("-x", 1), ("--maxfail=2", 2), ("--maxfail=3", 3)])
def test_invalid_tests_count_as_failures_for_stopping_early(
    outcomes: Callable[..., pytest.RunResult], option: str, ran: int
) -> None:
    assert outcomes(THREE, option, found=[HOT] * 3).parseoutcomes() == {"invalid": ran}


def test_invalid_tests_are_among_those_that_failed_last(outcomes: Callable[..., pytest.RunResult]) -> None:
    outcomes(THREE, found=[[], HOT])
    again = outcomes(THREE, "--lf", "-v")
    assert again.parseoutcomes()["passed"] == 1
    again.stdout.fnmatch_lines(["*::test_b*PASSED*"])


def test_junit_has_errors_for_what_is_invalid_and_for_boards_that_broke(
    ends: pytest.RunResult, pytester: pytest.Pytester
) -> None:
    del ends
    tree = ElementTree.parse(pytester.path / "junit.xml")  # noqa: S314 - pytest wrote it
    found = {
        case.get("name", "").partition("[")[0]: [(child.tag, child.get("type")) for child in case]
        for case in tree.iter("testcase")
    }
    assert found["test_doubt"] == [("properties", None), ("error", "invalid")]
    assert found["test_wire"] == [("properties", None), ("error", None)]
    assert found["test_missed"] == [("failure", None)]
    (suite,) = tree.iter("testsuite")
    for tag, count in (("failure", "failures"), ("error", "errors")):
        assert suite.get(count) == str(len(list(suite.iter(tag)))), tag


def test_junit_tells_doubt_in_a_test_from_an_error_at_its_teardown(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    outcomes(
        """
        @pytest.fixture
        def broken():
            yield
            raise RuntimeError("no way back")

        def test_both(broken, measure):
            measure(took)
        """,
        "--junitxml=junit.xml",
        found=[HOT],
    )
    tree = ElementTree.parse(pytester.path / "junit.xml")  # noqa: S314 - pytest wrote it
    errors = {error.get("message", "")[:20]: error.get("type") for error in tree.iter("error")}
    assert errors == {"InvalidMeasurement: ": "invalid", "failed on teardown w": None}
    (suite,) = tree.iter("testsuite")
    assert (suite.get("failures"), suite.get("errors")) == ("0", "2")


def rows(page: str) -> dict[str, str]:
    """Return test -> outcome in pytest-html's table, and outcome -> what stands beside its filter."""
    blob = re.search(r'data-jsonblob="([^"]*)"', page)
    assert blob
    tests = json.loads(unescape(blob[1]))["tests"]
    results = {node.partition("[")[0]: tests[node][0]["result"] for node in tests}
    filters = re.findall(r'<span class="(\w+)">(\d+ [\w ]+)', page)
    return {node.rpartition("::")[2]: result for node, result in results.items()} | dict(filters)


def test_the_page_has_invalid_as_an_outcome_of_its_own_with_a_filter(
    ends: pytest.RunResult, pytester: pytest.Pytester
) -> None:
    del ends
    page = (pytester.path / "reports" / "feasibility.html").read_text()
    shown = rows(page)
    assert (shown["test_doubt"], shown["test_wire"], shown["test_missed"]) == ("Invalid", "Error", "Failed")
    assert (shown["invalid"], shown["failed"], shown["error"]) == ("1 Invalid", "6 Failed", "2 Errors")
    assert page.count("const possibleFilters = ['invalid', ") == 1
    assert "span.invalid, .invalid .col-result {" in page
    assert re.search(r'<input checked="true" class="filter"[^>]*data-test-result="invalid"\s*>', page)


def test_a_page_that_is_written_after_every_test_knows_the_outcome_too(
    outcomes: Callable[..., pytest.RunResult],
) -> None:
    look = """
        def test_look():
            page = open("reports/feasibility.html", encoding="utf-8")
            with page:
                assert page.read().count("const possibleFilters = ['invalid', ") == 1
        """
    result = outcomes(BOOT + dedent(look), "-o", "generate_report_on_test=true", found=[HOT])
    assert result.parseoutcomes() == {"invalid": 1, "passed": 1}


def test_another_pytest_html_shows_what_is_invalid_as_failed_rather_than_not_at_all(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    other = "from pytest_microcloud.report import rows; rows.FILTERS = 'const otherFilters = ['"
    outcomes(BOOT, found=[HOT], first=other)
    shown = rows((pytester.path / "reports" / "feasibility.html").read_text())
    assert (shown["test_boot"], shown["failed"]) == ("Failed", "1 Failed")


@pytest.mark.parametrize(
    ("test", "mistake"),
    [
        ("measure(lambda: None)", "it should return a list of Measurement, not None"),
        (
            "limit(measure(took)[0])",
            r"limit\(…\) takes the list that measure\(…\) returns, not Meas",
        ),
    ],
    ids=["experiment", "limit"],
)
def test_a_mistake_in_a_test_is_reported_in_a_sentence(
    outcomes: Callable[..., pytest.RunResult], test: str, mistake: str
) -> None:
    result = outcomes(f"def test_mistaken(measure, limit):\n    {test}\n")
    result.assert_outcomes(failed=1)
    assert re.search(mistake, result.stdout.str())


def test_a_session_that_asks_no_board_for_anything_keeps_the_page_of_the_one_before(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    outcomes(BOOT)
    page = pytester.path / "reports" / "feasibility.html"
    measured = page.read_bytes()
    result = outcomes("def test_nothing():\n    pass\n")
    assert page.read_bytes() == measured
    result.stdout.fnmatch_lines("no board was used: the page is that of the previous session")
    outcomes(BOOT)
    assert page.read_bytes() != measured


OTHERS = """
    import time
    import pytest

    @pytest.mark.timeout(0.3)
    def test_slow(board):
        time.sleep(20)

    @pytest.fixture
    def slow():
        time.sleep(20)

    @pytest.mark.timeout(0.3)
    def test_slow_fixture(board, slow): ...

    @pytest.fixture
    def wrong():
        assert 1 == 2, "no such file"

    def test_wrong_fixture(board, wrong): ...

    def test_conftest_fails(board, judge): judge()

    def test_own(board):
        pytest.fail("smoke")
    """


def test_a_timeout_and_what_fails_in_a_fixture_are_errors_and_no_verdict_on_the_board(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(pytester, monkeypatch)
    conftest = pytester.path / "conftest.py"
    conftest.write_text(
        conftest.read_text()
        + "\nimport pytest\n@pytest.fixture\ndef judge():\n    return lambda: pytest.fail('too slow')\n"
    )
    project.tests(OTHERS)
    project.run()
    outcomes = project.document()["machine_info"]["microcloud"]["outcomes"]
    verdicts = {o["test"].partition("::test_")[2].partition("[")[0]: o["verdict"] for o in outcomes}
    assert verdicts == {
        "slow": "error",
        "slow_fixture": "error",
        "wrong_fixture": "error",
        "conftest_fails": "infeasible",
        "own": "infeasible",
    }
