"""`--microcloud-any=N`: a session uses N free boards of those that --hosts names."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.ended import PYTEST
from tests.support.fake_boards import Project, said

BOARDS = ("desk", "shelf", "attic")
QUICK = """
from pytest_microcloud.boards import free
free.POLL_S, free.RACE_S, free.SAY_EVERY_S = 0.2, 5.0, 1.0
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(pytester, monkeypatch)
    project.hosts(**{name: {} for name in BOARDS})
    project.tests("def test_first(measure, board):\n    measure(took, board)")
    project.add_to_conftest(QUICK)
    return project


def hold(project: Project, *boards: str) -> None:
    for board in boards:
        (project.path / f"{board}.lock").write_text("another-run")


def locks(project: Project) -> list[str]:
    return sorted(file.stem for file in project.path.glob("*.lock"))


def used(project: Project) -> list[str]:
    """Return the boards that the newest run used, which it had planned."""
    ours = project.document()["machine_info"]["microcloud"]
    assert ours["plan"]["hosts"] == list(ours["boards"])
    return list(ours["boards"])


@pytest.mark.parametrize("workers", [(), ("-n", "auto"), ("-n", "1")], ids=" ".join)
def test_the_first_free_boards_are_used(project: Project, workers: tuple[str, ...]) -> None:
    hold(project, "desk")
    result = project.run("--microcloud-any=2", *workers)
    result.assert_outcomes(passed=2)
    assert used(project) == ["shelf", "attic"]
    assert any(
        line.startswith("not used: desk: is in use by anna@lab (run another-run) since")
        for line in result.outlines
    )
    assert locks(project) == ["desk"]
    assert "desk on" not in project.done()


def test_boards_that_are_not_needed_are_not_connected(project: Project) -> None:
    project.run("--microcloud-any=1").assert_outcomes(passed=1)
    assert used(project) == ["desk"]
    assert project.done() == ["desk seen", "desk reserved", "desk on", "desk off", "desk cancelled"]


def test_the_number_of_boards_can_be_set_in_the_ini_file(project: Project) -> None:
    project.run("-o", "microcloud_any=2", "-n", "auto").assert_outcomes(passed=2)
    assert used(project) == ["desk", "shelf"]


def test_an_unreachable_board_is_not_free(project: Project) -> None:
    (project.path / "broken").write_text("desk seen")
    result = project.run("--microcloud-any=2")
    result.assert_outcomes(passed=2)
    assert used(project) == ["shelf", "attic"]
    assert "not used: desk: stays dark" in result.outlines


def test_too_few_free_boards_are_a_usage_error_that_names_the_holders(project: Project) -> None:
    hold(project, "desk", "attic")
    result = project.run("--microcloud-any=2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (error,) = (line for line in result.errlines if line.startswith("ERROR: "))
    assert error.startswith("ERROR: --microcloud-any=2: 1 of 3 boards is free. desk: is in use by anna@lab ")
    assert "for `pytest suites/`; attic: is in use by anna@lab" in error
    assert "To wait for boards, use --microcloud-wait=SECONDS" in error
    assert locks(project) == ["attic", "desk"]
    assert "shelf reserved" not in project.done()


def test_more_boards_than_there_are_are_a_usage_error(project: Project) -> None:
    project.hosts(desk={}, shelf={"microcloud_out_of_service": "card dies"}, attic={})
    result = project.run("--microcloud-any=3", "-n", "auto")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert (
        "--microcloud-any=3: --hosts=all names 2 boards (desk, attic; shelf is out of service (card dies))"
        in said(result)
    )
    assert project.done() == []


def test_the_plan_is_for_the_first_boards_and_connects_to_none(project: Project) -> None:
    hold(project, "desk")
    result = project.run("--microcloud-any=2", "--microcloud-plan", "-n", "auto")
    assert "boards: desk (pi3b, fake), shelf (pi3b, fake)" in result.outlines
    assert "--microcloud-any=2: the plan is for the first of desk, shelf, attic" in result.outlines
    assert project.done() == []


def test_a_usage_error_after_the_choice_releases_the_boards(project: Project) -> None:
    result = project.run("--microcloud-any=2", "--microcloud-baseline=none")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert project.done()[-2:] == ["desk cancelled", "shelf cancelled"]
    assert locks(project) == []


def test_boards_without_selected_tests_are_released(project: Project) -> None:
    for workers in ((), ("-n", "auto")):
        assert project.run("--microcloud-any=2", "-k", "not shelf", *workers).ret == pytest.ExitCode.OK
        assert "shelf cancelled" in project.done()
        assert locks(project) == []


def test_a_session_that_waits_names_the_holders_every_minute(project: Project) -> None:
    hold(project, *BOARDS)
    command = [sys.executable, "-c", PYTEST, "--hosts=all", "--microcloud-any=2", "--microcloud-wait=60"]
    with subprocess.Popen(command, cwd=project.path, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr
        first, second = waiting.stderr.readline(), waiting.stderr.readline()
        for board in ("desk", "attic"):
            (project.path / f"{board}.lock").unlink()
        assert waiting.wait(60) == 0
    assert first.startswith("microcloud: waiting for 2 free boards for 0 s, at most 60 s: desk is in use by ")
    assert "; shelf is in use by anna@lab (run another-run) since " in first
    assert second.startswith("microcloud: waiting for 2 free boards for 1 s, at most 60 s: ")
    assert used(project) == ["desk", "attic"]


def test_a_session_that_waited_in_vain_has_taken_no_board(project: Project) -> None:
    hold(project, "desk", "shelf")
    result = project.run("--microcloud-any=2", "--microcloud-wait=1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "attic reserved" not in project.done()


def test_a_resumed_run_continues_on_its_boards(project: Project) -> None:
    project.tests(
        """
        def test_first(measure, board):
            measure(took, board)

        def test_second(measure, board):
            if not Path("go").exists():
                raise KeyboardInterrupt
            measure(took, board)
        """
    )
    hold(project, "desk")
    project.run("--microcloud-any=2")
    (project.path / "desk.lock").unlink()
    (project.path / "go").touch()
    result = project.run("--microcloud-any=2", "--microcloud-resume")
    assert result.ret == 0, said(result)
    assert len(project.files()) == 1
    assert used(project) == ["shelf", "attic"]
    assert locks(project) == []


def test_sessions_at_once_never_get_the_same_board(project: Project) -> None:
    project.tests(
        """
        import time

        def test_first(board):
            time.sleep(8)
        """
    )
    command = [sys.executable, "-c", PYTEST, "--hosts=all", "--microcloud-any=1"]
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, f"--microcloud-reports=reports-{number}"],
                    cwd=project.path,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(3)
        ]
        outputs = [session.communicate(timeout=120)[0] for session in running]
    assert [session.returncode for session in running] == [0, 0, 0], "\n".join(outputs)
    ups = [line for line in project.done() if line.endswith(" on")]
    assert sorted(ups) == sorted(f"{board} on" for board in BOARDS)
    assert locks(project) == []
    assert not list(Path(project.path).glob("*.lock"))
