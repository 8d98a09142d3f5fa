"""Interrupted sessions, and --microcloud-resume: what was measured is kept, and the rest is done."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_microcloud import runs
from pytest_microcloud.runs.writer import Writer, is_being_written
from tests.support.fake_boards import Project, said

HALF_WAY = """\
    from pytest_microcloud.session.items import note

    GO_ON = Path("go on").exists()

    def test_first(measure, board):
        measure(took, board, place="first")

    def test_limited(measure, limit, board):
        limit(measure(took, board, 5.0, place="limited"))

    def test_skips(measure, request):
        note(request.node, "not measured", "there is no such image")  # as `deploy` does
        pytest.skip("there is no such image")

    def test_breaks(measure, board):
        if not GO_ON:
            raise BoardError(board.name, "the wire was cut")
        measure(took, board, place="breaks")

    def test_doubts(measure, board):
        measure(took, board, place="doubts")
        if not GO_ON:
            raise InvalidMeasurement("clouds")

    def test_interrupted(measure, board):
        if not GO_ON:
            os.kill(os.getpid(), 9)
        measure(took, board, place="interrupted")

    def test_last(measure, board):
        measure(took, board, place="last")
    """
TESTS = [line.split("(")[0].split()[1] for line in HALF_WAY.splitlines() if "def test_" in line]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(pytester, monkeypatch)
    project.tests(HALF_WAY)
    return project


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "reports"


@pytest.fixture
def killed(project: Project, kept: Path) -> Project:
    """A project whose session was killed in the midst of a test; that is done once for all tests."""
    reports = project.path / "reports"
    if not kept.exists():
        project.run()
        reports.rename(kept)
    shutil.copytree(kept, reports)
    (project.path / "go on").touch()
    return project


def outcomes(project: Project) -> dict[str, str]:
    ours = project.document()["machine_info"]["microcloud"]
    return {re.split(r"::|\[", o["test"])[1]: o["verdict"] for o in ours["outcomes"]}


def test_a_killed_session_leaves_every_finished_test_in_a_readable_run_file(killed: Project) -> None:
    (file,) = killed.files()
    run = runs.load(file)
    assert [m.labels["place"] for _, m in run.trusted()] == ["first", "limited"]
    assert list(outcomes(killed).items()) == [
        ("test_first", "feasible"),
        ("test_limited", "feasible"),
        ("test_skips", "not measured"),
        ("test_breaks", "error"),
        ("test_doubts", "invalid"),
    ]
    assert len(run.plan.tests) == len(TESTS)


def test_what_is_finished_is_taken_over_and_the_rest_is_done(killed: Project) -> None:
    before = killed.document()
    result = killed.run("--microcloud-resume", "-v")
    assert result.parseoutcomes() == {"passed": 4, "deselected": 3}
    assert result.ret == pytest.ExitCode.OK
    assert f"resumes run {killed.files()[0].stem}; 3 finished tests are taken over" in said(result)
    (file,) = killed.files()
    places = [m.labels["place"] for _, m in runs.load(file).trusted()]
    assert places == ["first", "limited", "breaks", "doubts", "interrupted", "last"]
    assert set(outcomes(killed).values()) == {"feasible", "not measured"}
    assert killed.document()["benchmarks"][:2] == before["benchmarks"]


def test_a_session_that_is_cut_off_says_how_it_goes_on(project: Project) -> None:
    result = project.run("-x", "--deselect", "test_desk.py::test_interrupted")
    assert "2 planned tests have not run yet: to resume, add --microcloud-resume" in said(result)
    assert "not run yet" not in said(project.run("--deselect", "test_desk.py::test_interrupted"))


def test_what_was_taken_over_is_in_the_closing_table(killed: Project) -> None:
    result = killed.run("--microcloud-resume", "--deselect", "test_desk.py::test_interrupted")
    assert result.ret == pytest.ExitCode.OK
    table = said(result).partition("micro-cloud verdicts")[2]
    assert "desk      feasible      memory time (first) 1 s; no limit judged" in table


def test_a_limit_that_was_missed_before_fails_the_session_that_goes_on(project: Project) -> None:
    (project.path / "mine.toml").write_text(
        '[limits.pi3b.io]\nmemory_time = { max = 2.0, source = "my patience" }\n'
    )
    limits = ("-o", "microcloud_catalog=mine.toml")
    project.run(*limits)
    (project.path / "go on").touch()
    result = project.run(*limits, "--microcloud-resume")
    assert result.parseoutcomes() == {"passed": 4, "deselected": 3}
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "my patience" in said(result)


def test_the_boot_that_was_interrupted_is_gone_on_with(project: Project) -> None:
    project.tests(
        """
        GO_ON = Path("go on").exists()

        @pytest.mark.parametrize("place", ["first", "second"])
        def test_it(measure, board, place, request):
            if not GO_ON and "second-boot2" in request.node.name:
                os.kill(os.getpid(), 9)
            measure(took, board, place=place)
        """
    )
    project.run("--microcloud-boots=3")
    (project.path / "go on").touch()
    project.run("--microcloud-boots=3", "--microcloud-resume").assert_outcomes(passed=3, deselected=3)
    assert project.done() == ["desk on", "desk boots", "desk off"]
    run = runs.load(project.files()[-1])
    boots = [(m.labels["place"], e.boot) for e, m in run.trusted()]
    assert sorted(boots) == [(place, boot) for place in ("first", "second") for boot in (1, 2, 3)]


def test_a_session_that_was_killed_before_its_first_test_ended_can_be_gone_on_with(project: Project) -> None:
    project.tests(
        """
        def test_it(measure, board):
            if not Path("go on").exists():
                os.kill(os.getpid(), 9)
            measure(took, board)
        """
    )
    project.run()
    (project.path / "go on").touch()
    project.run("--microcloud-resume").assert_outcomes(passed=1)
    assert len(project.files()) == 1


def test_going_on_may_be_interrupted_too(killed: Project) -> None:
    (killed.path / "go on").unlink()
    killed.run("--microcloud-resume")
    (killed.path / "go on").touch()
    result = killed.run("--microcloud-resume")
    assert result.parseoutcomes() == {"passed": 4, "deselected": 3}
    assert len(killed.files()) == 1
    assert len(killed.document()["benchmarks"]) == 6


@pytest.mark.parametrize(
    "other", [["--microcloud-effort=quick"], ["--microcloud-boots=2"]], ids=["effort", "boots"]
)
def test_a_run_of_another_make_is_not_gone_on_with(killed: Project, other: list[str]) -> None:
    result = killed.run("--microcloud-resume", *other)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = said(result)
    assert "has no unfinished run with this plan (desk; " in text
    assert f"Runs in this directory: {killed.files()[0].stem} (desk; standard; 1 boot; unfinished)" in text


def test_a_board_with_another_system_is_not_measured_into_the_same_run(killed: Project) -> None:
    killed.hosts(desk={"microcloud_image": "Trixie"})
    before = outcomes(killed)
    result = killed.run("--microcloud-resume")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes()["errors"] == len(TESTS) - 3
    why = "has changed since the interrupted run: os_release is Trixie, but was Raspbian"
    assert why in said(result)
    (facts,) = killed.document()["machine_info"]["microcloud"]["boards"].values()
    assert facts["os_release"] == "Raspbian"
    assert {test: outcomes(killed)[test] for test in TESTS[:3]} == {test: before[test] for test in TESTS[:3]}


def test_a_plan_of_what_is_left_changes_nothing(killed: Project) -> None:
    (file,) = killed.files()
    before = file.read_bytes()
    (half_written := file.with_name(f".{file.name}.1")).touch()
    result = killed.run("--microcloud-resume", "--microcloud-plan")
    assert result.ret == pytest.ExitCode.OK
    assert "about" in said(result)
    assert (file.read_bytes(), half_written.exists()) == (before, True)
    assert not (killed.path / "reports" / "generations.html").exists()


def test_a_run_of_other_hosts_is_not_gone_on_with(killed: Project) -> None:
    killed.hosts(desk={}, shelf={})
    result = killed.run("--microcloud-resume")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "has no unfinished run with this plan (desk, shelf; standard; 1 boot)" in said(result)


def test_a_finished_run_is_not_gone_on_with_and_without_runs_it_says_so(project: Project) -> None:
    project.tests("def test_it(measure, board):\n    measure(took, board)")
    result = project.run("--microcloud-resume")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "Runs in this directory: none" in said(result)
    project.run().assert_outcomes(passed=1)
    result = project.run("--microcloud-resume")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "(desk; standard; 1 boot; finished)" in said(result)


def test_a_run_that_is_still_going_on_is_left_alone(killed: Project) -> None:
    (file,) = killed.files()
    writer = Writer(file)
    writer.take()
    result = killed.run("--microcloud-resume")
    writer.close()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "(desk; standard; 1 boot; still running)" in said(result)


def test_a_session_holds_its_run_for_others_with_any_temporary_directory(project: Project) -> None:
    project.tests(
        """\
        import subprocess
        import sys

        def test_first(measure, board):
            measure(took, board)

        def test_other_session(tmp_path):
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "--hosts=all", "--microcloud-resume"],
                env={**os.environ, "TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
                capture_output=True,
                text=True,
            )
            assert "(desk; standard; 1 boot; still running)" in done.stderr, done.stdout + done.stderr
            assert done.returncode == pytest.ExitCode.USAGE_ERROR
        """
    )
    project.run().assert_outcomes(passed=2)
    (file,) = project.files()
    assert not is_being_written(file)


def test_what_was_being_written_when_the_session_was_killed_is_removed(killed: Project) -> None:
    (file,) = killed.files()
    half = file.with_name(f".{file.name}.4711")
    half.write_text('{"half": ')
    killed.run("--microcloud-resume").assert_outcomes(passed=4, deselected=3)
    assert not half.exists()
    assert killed.files() == [file]


def test_a_broken_file_among_the_runs_does_no_harm(killed: Project) -> None:
    (killed.path / "reports" / "runs" / "99999999T000000-ffff.json").write_text('{"half": ')
    killed.run("--microcloud-resume").assert_outcomes(passed=4, deselected=3)


def test_pytest_benchmark_reads_a_run_that_was_gone_on_with(killed: Project) -> None:
    killed.run("--microcloud-resume")
    command = [str(Path(sys.executable).parent / "pytest-benchmark"), "compare", str(killed.files()[0])]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "test_first" in done.stdout
    assert "test_last" in done.stdout


MANY = """\
    import time

    @pytest.mark.parametrize("number", range(8))
    def test_it(measure, board, number, request):
        time.sleep(0.02)
        measure.repeat(50, took, board, number=number)
        with Path("finished").open("a") as file:
            file.write(f"{request.node.nodeid}\\n")
    """


def killed_after(project: Project, tests: int, then_s: float, *arguments: str) -> None:
    """Run the tests, and kill the session so long after that many more of them have finished."""
    command = [sys.executable, "-m", "pytest", "-q", "--hosts=all", *arguments]
    wanted = len(finished(project)) + tests
    process = subprocess.Popen(
        command,
        cwd=project.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None and len(finished(project)) < wanted:
        time.sleep(0.002)
    time.sleep(then_s)
    with contextlib.suppress(ProcessLookupError):  # it came to its end before
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def finished(project: Project) -> list[str]:
    """Return the tests that have come to their own end, by their node ids."""
    file = project.path / "finished"
    return file.read_text().split() if file.exists() else []


@pytest.mark.parametrize(
    "rounds", [3, pytest.param(20, marks=pytest.mark.long)], ids=lambda rounds: f"{rounds}rounds"
)
def test_killed_at_any_moment_every_finished_test_is_kept_and_the_run_can_be_completed(
    project: Project, rounds: int
) -> None:
    project.tests(MANY)
    chance = random.Random(rounds)
    for _ in range(rounds):
        going_on = ["--microcloud-resume"] if project.files() else []
        killed_after(project, chance.randint(0, 5), chance.uniform(0, 0.2), "--microcloud-boots=2", *going_on)
        ended = set(finished(project))
        kept = {e.test for file in project.files() for e, _ in runs.load(file).trusted()}
        # The one that was killed between its end and the writing of its outcome has not ended to pytest.
        assert len(ended - kept) <= 1
        if len(kept) == 16:
            for file in (*project.files(), project.path / "finished"):
                file.unlink()
    going_on = ["--microcloud-resume"] if project.files() else []
    assert project.run("--microcloud-boots=2", *going_on).ret == pytest.ExitCode.OK
    document: dict[str, Any] = json.loads(project.files()[0].read_text())
    numbers = sorted(
        (b["extra_info"]["microcloud"]["boot"], b["params"]["number"]) for b in document["benchmarks"]
    )
    assert numbers == [(boot, number) for boot in (1, 2) for number in range(8)]


def test_a_planned_test_that_the_suite_no_longer_has_is_named_and_not_waited_for(killed: Project) -> None:
    suite = (killed.path / "test_desk.py").read_text()
    (killed.path / "test_desk.py").write_text(suite.replace("def test_last(", "def test_renamed("))
    result = killed.run("--microcloud-resume")
    assert "1 planned test is no longer in the suite (test_desk.py::test_last[ssh://desk])" in said(result)
    assert "not run yet" not in said(result)
    result = killed.run("--microcloud-resume")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "finished" in said(result)


def test_a_run_whose_remaining_tests_are_all_gone_is_complete(project: Project) -> None:
    project.tests("def test_first(measure, board):\n    measure(took, board)")
    project.tests("def test_kill(measure, board):\n    os.kill(os.getpid(), 9)", "test_later")
    project.run()
    (project.path / "test_later.py").unlink()
    result = project.run("--microcloud-resume")
    assert result.ret == pytest.ExitCode.OK, said(result)
    assert "1 planned test is no longer in the suite (test_later.py::test_kill[ssh://desk])" in said(result)
    assert "not run yet" not in said(result)
    again = project.run("--microcloud-resume")
    assert "(desk; standard; 1 boot; finished)" in said(again)


@pytest.mark.parametrize(
    "only", [["test_desk.py::test_first"], ["-k", "first"], ["--lf"]], ids=["::", "-k", "--lf"]
)
def test_tests_that_were_not_selected_are_not_taken_for_gone(killed: Project, only: list[str]) -> None:
    result = killed.run("--microcloud-resume", "-p", "cacheprovider", *only)
    assert "no longer in the suite" not in said(result)
    planned = killed.document()["machine_info"]["microcloud"]["plan"]["tests"]
    assert "test_desk.py::test_last[ssh://desk]" in planned
