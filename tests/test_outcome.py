"""What a test comes to: an unreachable board is an error, told once; a crash, a missed limit, no limit."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import pytest

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


def test_it_is_told_in_one_line_with_the_boards_name_and_no_traceback(
    run_against: RunAgainst, closed_port: int
) -> None:
    result = run_against(closed_port)
    text = "\n".join([*result.outlines, *result.errlines])
    refused = (
        f"desk: no SSH connection: ssh: connect to host 127.0.0.1 port {closed_port}: Connection refused"
    )
    assert f"LinkError: {refused}" in result.outlines
    for noise in ("Traceback", "INTERNALERROR", ".py:", "KeyError"):
        assert noise not in text.replace("test_desk.py::", "")


def test_the_closing_table_tells_that_the_board_never_came_up_and_why_once(
    run_against: RunAgainst, closed_port: int
) -> None:
    lines = run_against(closed_port).outlines
    table = lines[next(n for n, line in enumerate(lines) if "micro-cloud verdicts" in line) :]
    assert table[1] == "desk: never came up"
    assert sum(line.startswith("    desk: no SSH connection: ") for line in table) == 1


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
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.boards.drivers.ssh import SshDriver
    from pytest_microcloud.boards.facts import Facts
    from pytest_microcloud.boards.rack import Rack

    def board(rack, name):
        target = rack.targets[name]
        board = Board(target, rack.catalog.model("pi3b"), SshDriver(target), "run", 1, Path(), lambda _: None)
        board.facts = Facts("Raspbian", "6.1", "aarch64", 4, 10**9, "b", "27.1", "overlay2", "2")
        board.gaps = ()
        return board

    Rack.board = board
    """
ENDS = """\
    import pytest
    from pytest_microcloud import BoardError, InvalidMeasurement
    from pytest_microcloud.experiments.measurement import Measurement

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
    """Run tests that end in every way, on a board that is said to be up: nothing is connected."""
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


def test_measuring_twice_in_a_test_is_told_with_what_to_do_instead(ends: pytest.RunResult) -> None:
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
    ends.stdout.fnmatch_lines(["BoardError: desk: the wire was cut", "INVALID test_desk.py::test_doubt*"])


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
    told = {
        case.get("name", "").partition("[")[0]: case.find("properties/property[@name='microcloud']")
        for case in cases
    }
    values = {name: None if found is None else found.get("value") for name, found in told.items()}
    assert (values["test_wire"], values["test_doubt"], values["test_crash"]) == ("error", "invalid", None)
