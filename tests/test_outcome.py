"""A board that cannot be reached is pytest's error, told in a line, and waited for once."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

RunAgainst = Callable[[int], pytest.RunResult]
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
        yield Path(directory)


@pytest.fixture
def run_against(pytester: pytest.Pytester, runtime: Path) -> RunAgainst:
    """Run tests of a board that should be on that port of this machine, and one of no board."""
    del runtime
    pytester.makeini("[pytest]\nfilterwarnings = error")
    pytester.makepyfile(test_desk=TESTS)

    def run(port: int) -> pytest.RunResult:
        (pytester.path / "hosts.ini").write_text(
            f"[pi3b]\ndesk microcloud_driver=ssh ansible_host=127.0.0.1 ansible_port={port} ansible_user=pi\n"
        )
        return pytester.runpytest_subprocess("--hosts=pi3b")

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
