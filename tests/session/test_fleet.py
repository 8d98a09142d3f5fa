"""Boards that are measured side by side, one pytest-xdist worker a board."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest

from tests.support.ended import PYTEST
from tests.support.fake_boards import Project, said

BOARDS = ("desk", "shelf", "attic")
TESTS = """
    def test_first(measure, board):
        measure(took, board)

    @pytest.mark.parametrize("size", [1, 2])
    def test_second(measure, board, size, limit):
        limit(measure(took, board, size * 1.0, size=f"{size}KiB"))

    def test_plain(board):
        assert board.name != "shelf", "not this one"

    def test_without_a_board(): ...
    """


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(pytester, monkeypatch)
    project.hosts(**{name: {} for name in BOARDS})
    project.tests(TESTS)
    return project


def outcomes(document: dict[str, Any]) -> dict[str, tuple[str, str]]:
    entries = document["machine_info"]["microcloud"]["outcomes"]
    return {entry["test"]: (entry["board"], entry["verdict"]) for entry in entries}


def test_a_distributed_session_has_the_outcomes_of_a_serial_one(project: Project) -> None:
    serial = project.run()
    alone = project.document()
    fleet = project.run("-n", "auto")
    together = project.document()
    assert (serial.ret, fleet.ret) == (1, 1), said(fleet)
    assert len(project.files()) == 2
    assert list(outcomes(together).items()) == list(outcomes(alone).items())
    assert {b["fullname"] for b in together["benchmarks"]} == {b["fullname"] for b in alone["benchmarks"]}
    ours, theirs = (document["machine_info"]["microcloud"] for document in (together, alone))
    assert ours["plan"]["tests"] == theirs["plan"]["tests"]
    assert list(ours["boards"]) == list(theirs["boards"]) == list(BOARDS)
    assert fleet.parseoutcomes() == serial.parseoutcomes()
    assert "3 workers" in said(fleet)
    for board in BOARDS:
        assert Counter(project.done())[f"{board} on"] == 1
        assert Counter(project.done())[f"{board} off"] == 1


def test_fewer_workers_than_boards_take_the_next_board_when_they_have_finished_one(project: Project) -> None:
    result = project.run("-n", "2", "--benchmark-json=out.json")
    assert len(outcomes(project.document())) == 10, said(result)
    ups = [line for line in project.done() if line.endswith(" on")]
    assert sorted(ups) == sorted(f"{board} on" for board in BOARDS)
    benchmarks = json.loads((project.path / "out.json").read_text())["benchmarks"]
    assert len(benchmarks) == 9


def test_results_are_read_after_all_boards_have_finished(project: Project) -> None:
    project.tests(
        """
        import time

        def test_first(measure, board):
            time.sleep(1.5 if board.name == "shelf" else 0)
            measure(took, board)
        """,
        "test_boards",
    )
    (project.path / "test_desk.py").unlink()
    project.tests(
        """
        def test_claim(results):
            (run_file,) = Path("reports/runs").glob("*.json")
            assert run_file.read_text().count('"name": "test_first') == 3

        def test_other_claim(results): ...
        """,
        "test_a_claims",
    )
    result = project.run("-n", "auto", "test_a_claims.py", "test_boards.py")
    result.assert_outcomes(passed=5)


def test_a_worker_that_is_killed_loses_its_test_alone(project: Project) -> None:
    project.tests(
        """
        def test_first(measure, board):
            measure(took, board)

        def test_killed(board):
            if board.name == "shelf":
                os.kill(os.getpid(), 9)

        def test_third(measure, board):
            measure(took, board)
        """
    )
    result = project.run("-n", "auto")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = outcomes(project.document())
    verdicts = {test: verdict for test, (_, verdict) in found.items()}
    assert verdicts.pop("test_desk.py::test_killed[ssh://shelf]") == "error"
    assert len(verdicts) == 6, said(result)
    assert set(verdicts.values()) == {"feasible"}
    assert "crashed while running" in said(result)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_distributed_session_that_is_interrupted_releases_its_boards(
    project: Project, number: signal.Signals
) -> None:
    project.tests(
        """
        import time

        def test_first(measure, board):
            measure(took, board)

        def test_long(measure, board):
            Path(f"long-{board.name}").touch()
            time.sleep(60)
        """
    )
    started = time.monotonic()
    command = [sys.executable, "-c", PYTEST, "--hosts=all", "-n", "auto"]
    with subprocess.Popen(command, cwd=project.path, start_new_session=True) as process:
        while not all((project.path / f"long-{board}").exists() for board in BOARDS):
            assert process.poll() is None
            assert time.monotonic() < started + 120
            time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(120) == pytest.ExitCode.INTERRUPTED
    assert sorted(line for line in project.done() if line.endswith(" off")) == sorted(
        f"{board} off" for board in BOARDS
    )
    assert len(project.document()["benchmarks"]) == 3
    resumed = project.run("-n", "auto", "--microcloud-resume", "-k", "first")
    assert "3 finished tests are taken over" in said(resumed)


def test_a_distributed_session_stops_after_a_failure_with_x(project: Project) -> None:
    project.tests(
        """
        import time

        def test_fails(board):
            assert board.name != "desk"
            time.sleep(3)

        def test_later(measure, board):
            measure(took, board)
        """
    )
    result = project.run("-n", "auto", "-x")
    assert "stopping after 1 failures" in said(result)
    assert result.ret == pytest.ExitCode.TESTS_FAILED  # as without workers
    assert result.parseoutcomes() == {"failed": 1, "passed": 2}  # test_later was not run
    assert len([line for line in project.done() if line.endswith(" off")]) == 3


def test_a_distribution_mode_without_workers_means_a_serial_session(project: Project) -> None:
    result = project.run("--dist=loadfile", "-k", "first")
    result.assert_outcomes(passed=3, deselected=10)


def test_a_worker_that_dies_while_it_collects_is_replaced(project: Project) -> None:
    project.tests(
        """
        import time

        if os.environ.get("PYTEST_XDIST_WORKER") == "gw1":
            time.sleep(2)  # the other workers have collected
            os.kill(os.getpid(), 9)

        def test_first(measure, board):
            measure(took, board)
        """
    )
    result = project.run("-n", "auto", "-v")
    result.assert_outcomes(passed=3)
    workers = {line.split()[0] for line in result.outlines if line.startswith("[gw") and "PASSED" in line}
    assert workers == {"[gw0]", "[gw2]", "[gw3]"}


def test_a_session_that_ends_early_on_the_controller_ends_its_workers(project: Project) -> None:
    project.add_to_conftest(
        """
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logreport(report):
            if hasattr(report, "node") and report.when == "teardown":
                pytest.exit("enough", returncode=7)
        """
    )
    project.tests(
        """
        import time

        def test_first(measure, board):
            measure(took, board)

        def test_long(measure, board):
            time.sleep(100)
        """
    )
    started = time.monotonic()
    result = project.run("-n", "auto")
    assert result.ret == 7
    assert time.monotonic() < started + 60
    assert len([line for line in project.done() if line.endswith(" off")]) == 3


def test_boots_of_several_boards_are_made_by_their_workers(project: Project) -> None:
    project.tests("def test_first(measure, board):\n    measure(took, board)")
    result = project.run("-n", "auto", "--microcloud-boots=2")
    result.assert_outcomes(passed=6)
    boots = [(e["board"], e["boot"]) for e in project.document()["machine_info"]["microcloud"]["outcomes"]]
    assert sorted(boots) == sorted((board, boot) for board in BOARDS for boot in (1, 2))
    assert Counter(project.done()) == Counter(
        f"{board} {what}" for board in BOARDS for what in ("on", "boots", "off")
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("-n2", "--dist=loadfile"), "--dist=loadfile is not supported, because all tests"),
        (("-n2", "--benchmark-autosave"), "--benchmark-autosave: pytest-benchmark has no measurements"),
        (("-n2", "--benchmark-compare-fail=mean:5%"), "--benchmark-compare-fail: pytest-benchmark has no"),
    ],
)
def test_what_a_distributed_session_cannot_do_is_refused(
    project: Project, arguments: tuple[str, ...], why: str
) -> None:
    result = project.run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert why in said(result)
    assert project.done() == []


def test_the_plan_of_a_distributed_session_is_that_of_a_serial_one(project: Project) -> None:
    serial, fleet = (
        [line for line in project.run("--microcloud-plan", *more).outlines if "test_desk" in line]
        for more in ((), ("-n", "auto"))
    )
    assert fleet == serial
    assert len(serial) == 12


def on_all(project: Project, image: str, **other: str) -> None:
    project.hosts(
        **{name: {"microcloud_image": other.get(name, image), "microcloud_flash": "true"} for name in BOARDS}
    )


def test_suspects_of_each_board_are_measured_again_by_its_worker(project: Project) -> None:
    project.tests("def test_time(measure, board):\n    measure(took, board)")
    on_all(project, "plain")
    project.run("-n", "auto", "--microcloud-boots=8").assert_outcomes(passed=24)
    baseline = project.files()[-1].stem
    on_all(project, "plain", shelf="slow")
    result = project.run("-n", "auto", "--microcloud-boots=8", f"--microcloud-baseline={baseline}")
    gate = project.document()["machine_info"]["microcloud"]["gate"]
    assert gate["confirmed"], said(result)
    verdicts = {finding["board"]: finding["verdict"] for finding in gate["metrics"]}
    assert verdicts["shelf"] == "regressed"
    assert {verdicts["desk"], verdicts["attic"]} == {"no evidence"}
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "shelf is plain" in project.done()
    assert project.done()[-1].endswith(" off")
    staged = [o for o in project.document()["machine_info"]["microcloud"]["outcomes"] if o["stage"]]
    assert {o["board"] for o in staged} == {"shelf"}


def test_the_same_images_on_all_boards_pass_the_gate(project: Project) -> None:
    project.tests("def test_time(measure, board):\n    measure(took, board)")
    on_all(project, "plain")
    project.run("-n", "auto", "--microcloud-boots=8")
    baseline = project.files()[-1].stem
    result = project.run("-n", "auto", "--microcloud-boots=8", f"--microcloud-baseline={baseline}")
    assert result.ret == pytest.ExitCode.OK, said(result)
    assert not [step for step in project.done() if " is " in step]


def test_a_board_that_cannot_boot_the_baseline_is_judged_in_a_single_stage(project: Project) -> None:
    project.tests("def test_time(measure, board):\n    measure(took, board)")
    on_all(project, "plain")
    project.run("-n", "auto", "--microcloud-boots=8")
    baseline = project.files()[-1].stem
    project.hosts(**{name: {"microcloud_image": "slow"} for name in BOARDS})
    result = project.run("-n", "auto", "--microcloud-boots=8", f"--microcloud-baseline={baseline}")
    gate = project.document()["machine_info"]["microcloud"]["gate"]
    assert not gate["confirmed"]
    assert "the single-stage rule applies" in " ".join(gate["warnings"]), said(result)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
