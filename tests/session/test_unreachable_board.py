"""A board that cannot be reached: an error of its tests, reported once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.outcome_project import RunAgainst


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
