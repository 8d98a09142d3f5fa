"""What a person sees: progress on a terminal and in a log, the plan, the closing table."""

from __future__ import annotations

import io
import re
from contextlib import nullcontext
from types import SimpleNamespace
from typing import cast

import pytest
from _pytest.terminal import TerminalReporter

from pytest_microcloud.inventory.target import Target
from pytest_microcloud.runs import WORST_FIRST
from pytest_microcloud.session import progress as progress_module
from pytest_microcloud.session import terminal
from pytest_microcloud.session.progress import Shown
from pytest_microcloud.session.terminal import shown_time
from pytest_microcloud.verdict.matrix import Cell

COLUMNS = 60


class Screen(io.StringIO):
    """A terminal: what is written to it, and what stands on it then."""

    def isatty(self) -> bool:
        return True

    def shown(self) -> tuple[list[str], tuple[int, int]]:
        """Return its rows, and where the cursor is: row and column."""
        rows, row, column = [""], 0, 0
        for plain, escape in re.findall(r"([^\x1b]+)|(\x1b\[\d*[A-Zm])", self.getvalue()):
            for character in plain:
                if character == "\n":
                    row, column = row + 1, 0
                    rows += [""] * (row + 1 - len(rows))
                elif character == "\r":
                    column = 0
                else:
                    rows[row] = rows[row][:column].ljust(column) + character + rows[row][column + 1 :]
                    column += 1
            if escape.endswith("K"):
                rows[row] = rows[row][:column]
            elif escape.endswith("A"):
                row -= 1
            elif escape.endswith("C"):
                column += int(escape[2:-1])
        assert max(map(len, rows)) <= COLUMNS, "a line wraps"
        return rows, (row, column)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    return Screen()


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock that progress looks at: `now` is set by the test, which cannot wait for minutes."""
    hand = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=lambda: hand.now))
    return hand


def reporter(config: pytest.Config, file: io.StringIO) -> TerminalReporter:
    return TerminalReporter(config, file)


def progress(config: pytest.Config, file: io.StringIO) -> Shown:
    shown = Shown()
    shown.attach(reporter(config, file), nullcontext)
    return shown


def fill(shown: Shown, clock: SimpleNamespace, seconds: int, *boards: str) -> None:
    """Show a container more on each board every second."""
    for second in range(1, seconds + 1):
        clock.now = 1000.0 + second
        for board in boards:
            shown.update(board, f"{second} containers")


def test_long_steps_before_there_is_a_terminal_are_shown_later(pytestconfig: pytest.Config) -> None:
    shown, file = Shown(str.upper), io.StringIO()
    shown.announce("desk", "waits")
    shown.update("desk", "5 containers")
    shown.attach(reporter(pytestconfig, file), nullcontext)
    assert file.getvalue() == "  desk: WAITS\n"


def test_on_a_terminal_one_line_is_updated(pytestconfig: pytest.Config, screen: Screen) -> None:
    shown = progress(pytestconfig, screen)
    for containers in range(1, 58):
        shown.update("desk", f"hosting ruby: {containers} containers")
    assert screen.shown()[0] == ["", "desk: hosting ruby: 57 containers"]


def test_on_a_terminal_a_shorter_line_leaves_nothing_of_a_longer_one(
    pytestconfig: pytest.Config, screen: Screen
) -> None:
    shown = progress(pytestconfig, screen)
    shown.update("desk", "hosting ruby: 57 containers, 142 MB free")
    shown.update("desk", "done")
    assert screen.shown()[0][-1] == "desk: done"


def test_on_a_terminal_a_long_line_is_cut_and_does_not_wrap(
    pytestconfig: pytest.Config, screen: Screen
) -> None:
    shown = progress(pytestconfig, screen)
    shown.announce("desk", "x" * 500)
    (_, line), _ = screen.shown()
    assert line == ("desk: " + "x" * 500)[: COLUMNS - 1]


def test_on_a_terminal_clearing_gives_pytest_its_place_back(
    pytestconfig: pytest.Config, screen: Screen
) -> None:
    on_terminal = reporter(pytestconfig, screen)
    on_terminal.write("suites/test_io.py ..")
    before = screen.shown()
    shown = Shown()
    shown.attach(on_terminal, nullcontext)
    shown.announce("desk", "powering on")
    shown.update("desk", "io disk read 4KiB: 1 of 5")
    assert screen.shown() != before
    shown.clear()
    rows, cursor = screen.shown()
    assert ([row for row in rows if row], cursor) == (before[0], before[1])
    on_terminal.write("F")
    assert screen.shown()[0][0] == "suites/test_io.py ..F"


def test_on_a_terminal_clearing_twice_or_without_a_line_writes_nothing(
    pytestconfig: pytest.Config, screen: Screen
) -> None:
    shown = progress(pytestconfig, screen)
    shown.clear()
    assert screen.getvalue() == ""
    shown.update("desk", "…")
    shown.clear()
    once = screen.getvalue()
    shown.clear()
    assert screen.getvalue() == once


def test_boards_side_by_side_have_a_line_each_until_their_test_ends(
    pytestconfig: pytest.Config, screen: Screen
) -> None:
    on_terminal = reporter(pytestconfig, screen)
    on_terminal.write("..")
    shown = Shown(side_by_side=True)
    shown.attach(on_terminal, nullcontext)
    for second in range(3):
        for board in ("desk", "shelf", "attic"):
            shown.update(board, f"{second} containers")
    lines = [f"{board}: 2 containers" for board in ("desk", "shelf", "attic")]
    assert screen.shown()[0] == ["..", *lines]
    report = SimpleNamespace(microcloud={"board": "shelf"})
    ending = shown.pytest_runtest_logreport(cast("pytest.TestReport", report))
    next(ending)
    assert [row for row in screen.shown()[0] if row] == [".."]
    on_terminal.write("F")
    with pytest.raises(StopIteration):
        ending.send(None)
    assert [row for row in screen.shown()[0] if row] == ["..F", lines[0], lines[2]]


def test_more_boards_than_a_terminal_has_rows_are_counted(
    pytestconfig: pytest.Config, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINES", "8")
    shown = Shown(side_by_side=True)
    shown.attach(reporter(pytestconfig, screen), nullcontext)
    for number in range(20):
        shown.update(f"desk{number}", "powering on")
    rows = screen.shown()[0]
    assert rows == ["", *(f"desk{number}: powering on" for number in range(5)), "and 15 more"]


def test_in_a_log_each_board_has_a_line_every_ten_seconds(
    pytestconfig: pytest.Config, log: io.StringIO, clock: SimpleNamespace
) -> None:
    fill(progress(pytestconfig, log), clock, 12, "desk", "shelf")
    assert log.getvalue().splitlines() == ["  desk: 10 containers", "  shelf: 10 containers"]


def test_in_a_log_progress_is_a_line_every_ten_seconds_and_not_more(
    pytestconfig: pytest.Config, log: io.StringIO, clock: SimpleNamespace
) -> None:
    fill(progress(pytestconfig, log), clock, 35, "desk")
    assert log.getvalue().splitlines() == [
        "  desk: 10 containers",
        "  desk: 20 containers",
        "  desk: 30 containers",
    ]


def test_in_a_log_a_rare_step_is_shown_at_once_and_progress_waits_for_it(
    pytestconfig: pytest.Config, log: io.StringIO, clock: SimpleNamespace
) -> None:
    shown = progress(pytestconfig, log)
    clock.now += 9
    shown.announce("desk", "powering on")
    clock.now += 9
    shown.update("desk", "1 container")
    shown.announce("shelf", "powering on")
    assert log.getvalue().splitlines() == ["  desk: powering on", "  shelf: powering on"]


def test_lines_that_stay_are_written_as_they_are(pytestconfig: pytest.Config, log: io.StringIO) -> None:
    shown = progress(pytestconfig, log)
    shown.keep(["desk: Raspberry Pi 3", "  not emulated: heat"])
    assert log.getvalue().splitlines() == ["desk: Raspberry Pi 3", "  not emulated: heat"]


def test_in_a_log_there_is_neither_an_escape_nor_a_cut(
    pytestconfig: pytest.Config, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    shown = progress(pytestconfig, log)
    shown.announce("desk", "x" * 200)
    shown.clear()
    assert log.getvalue() == f"  desk: {'x' * 200}\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (2.6, "3 s"),
        (59.9, "60 s"),
        (89, "89 s"),
        (90, "2 min"),
        (600, "10 min"),
        (5399, "90 min"),
        (5400, "1.5 h"),
        (36_000, "10.0 h"),
    ],
)
def test_durations_are_shown_as_people_say_them(seconds: float, text: str) -> None:
    assert shown_time(seconds) == text


def test_the_header_names_every_board_with_model_and_driver_and_the_effort() -> None:
    targets = [Target("desk", "pi3b", "ssh"), Target("vm", "t2_small", "container")]
    lines = terminal.header(targets, "20261123T101500-3fa9", "quick", "three minutes a board")
    assert lines == [
        "microcloud: run 20261123T101500-3fa9, effort quick (three minutes a board)",
        "boards: desk (pi3b, ssh), vm (t2_small, container)",
    ]


def test_the_plan_adds_the_steps_and_the_power_on_of_all_boards(
    pytestconfig: pytest.Config, log: io.StringIO
) -> None:
    steps = {"desk": [("test_io.py::test_disk", 30.0), ("test_io.py::test_memory", 600.0)], "shelf": []}
    terminal.plan(reporter(pytestconfig, log), steps, 15.0)
    _, *lines = log.getvalue().strip().splitlines()
    assert lines == [
        "desk: power on (about 15 s; minutes the first time on a host)",
        "      30 s  test_io.py::test_disk",
        "    10 min  test_io.py::test_memory",
        "shelf: power on (about 15 s; minutes the first time on a host)",
        "about 11 min in all; nothing was touched",
    ]


def test_a_real_board_is_on_already(pytestconfig: pytest.Config, log: io.StringIO) -> None:
    steps = {"desk": [("test_io.py::test_disk", 30.0)], "vm": []}
    terminal.plan(reporter(pytestconfig, log), steps, 15.0, real=["desk"])
    _, *lines = log.getvalue().strip().splitlines()
    assert lines == [
        "desk: connect",
        "      30 s  test_io.py::test_disk",
        "vm: power on (about 15 s; minutes the first time on a host)",
        "about 45 s in all; nothing was touched",
    ]


def test_a_reason_that_holds_for_several_experiments_is_shown_once(
    pytestconfig: pytest.Config, log: io.StringIO
) -> None:
    broken = Cell("error", "–", ("desk: no SSH connection\nto the board",))
    terminal.closing_table(reporter(pytestconfig, log), {"desk": {"serving": broken, "io": broken}}, {})
    _, *lines = log.getvalue().strip().splitlines()
    assert lines == [
        "desk: never came up",
        "  serving   error         –",
        "    desk: no SSH connection",
        "    to the board",
        "  io        error         –",
        "    as above",
    ]


def test_the_closing_table_tells_verdict_number_and_reasons_of_a_board_that_never_came_up(
    pytestconfig: pytest.Config, log: io.StringIO
) -> None:
    cells = {
        "serving": Cell("error", "–", ("desk: no SSH connection\nto the board",)),
        "hosting": Cell("not measured", "–", ()),
    }
    terminal.closing_table(reporter(pytestconfig, log), {"desk": cells}, {})
    _, *lines = log.getvalue().strip().splitlines()
    assert lines == [
        "desk: never came up",
        "  serving   error         –",
        "    desk: no SSH connection",
        "    to the board",
        "  hosting   not measured  –",
    ]


def test_a_verdict_without_a_limit_behind_it_has_its_remark_and_no_colour(
    pytestconfig: pytest.Config, screen: Screen
) -> None:
    on_terminal = reporter(pytestconfig, screen)
    on_terminal._tw.hasmarkup = True
    cells = {"io": Cell("feasible", "1 s", (), judged=False), "heat": Cell("feasible", "2 s", ())}
    terminal.closing_table(on_terminal, {"desk": cells}, {})
    _, _, io_line, heat_line = screen.getvalue().strip().splitlines()
    assert io_line == "  io        feasible      1 s; no limit judged"
    assert "\x1b[32mfeasible" in heat_line


def test_every_verdict_has_its_colour() -> None:
    assert set(terminal.COLOURS) == set(WORST_FIRST)
