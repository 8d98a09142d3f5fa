"""Each session reads a control on its boards, and warns of those that drifted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_microcloud import runs
from tests.support.controls import JITTER, control, multiply
from tests.support.fake_boards import Project, said

TESTS = """
    def test_plain(board): ...

    def test_first(measure, board):
        measure(took, board)

    def test_second(measure, board, limit):
        limit(measure(took, board, size="4KiB"))

    def test_last(board): ...
    """
BOARDS = ("desk", "shelf")


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(pytester, monkeypatch)
    project.hosts(**{name: {} for name in BOARDS})
    project.tests(TESTS)
    return project


def ours(project: Project) -> dict[str, Any]:
    stored: dict[str, Any] = project.document()["machine_info"]["microcloud"]
    return stored


def slower(project: Project, **boards: list[float | None]) -> None:
    """Make the loads of each reading that much slower, or none where the control cannot be read."""
    (project.path / "control.json").write_text(json.dumps(boards))


def with_history(project: Project) -> None:
    """Run a session, and put earlier ones like it into the directory."""
    project.run().assert_outcomes(passed=8)
    multiply(project.files()[-1])


@pytest.mark.parametrize("more", [(), ("-n", "auto")], ids=["serial", "fleet"])
def test_the_control_is_read_before_the_first_and_after_the_last_measurement(
    project: Project, more: tuple[str, ...]
) -> None:
    slower(project, shelf=[2, 3])
    project.run(*more).assert_outcomes(passed=8)
    controls = ours(project)["controls"]
    assert list(controls) == list(BOARDS)
    assert controls["desk"] == control(1, 1)
    assert controls["shelf"] == control(2, 3)
    assert runs.load(project.files()[-1]).controls["shelf"].drift == ()


@pytest.mark.parametrize("more", [(), ("-n", "2")], ids=["serial", "fleet"])
def test_a_board_that_drifted_is_warned_of_and_its_measurements_are_marked(
    project: Project, more: tuple[str, ...]
) -> None:
    with_history(project)
    slower(project, shelf=[1, 1.31])
    result = project.run(*more)
    assert result.ret == pytest.ExitCode.OK, said(result)
    result.assert_outcomes(passed=8)
    sentence = "disk control 31 % slower at the end than at the start (usually +0 %, median of 10 sessions, "
    assert f"shelf: {sentence}spread " in said(result)
    assert ": the measurements of this session are marked" in said(result)
    assert "desk: disk control" not in said(result)
    stored = project.document()
    drift = ours(project)["controls"]["shelf"]["drift"]
    assert [each.split(" control ")[0] for each in drift] == ["cpu", "memory", "disk", "loopback"]
    marked = {b["fullname"]: b["extra_info"]["microcloud"].get("drift") for b in stored["benchmarks"]}
    assert len(marked) == 4
    for test, reasons in marked.items():
        assert reasons == (drift if "shelf" in test else None)
    outcomes = {o["test"]: o.get("drift") for o in ours(project)["outcomes"]}
    assert outcomes["test_desk.py::test_first[ssh://shelf]"] == drift
    page = (project.path / "reports" / "feasibility.html").read_text()
    assert "drifted: disk control 31 % slower at the end" in page
    assert page.count("<dt>Drifted</dt>") == 1


def test_a_session_that_is_slower_as_a_whole_is_compared_with_earlier_ones(project: Project) -> None:
    with_history(project)
    slower(project, desk=[1.5, 1.5])
    text = said(project.run())
    assert "desk: cpu control 50 % slower than usual (median of 10 sessions, spread " in text
    assert "shelf: " not in text.partition("cpu control")[0].splitlines()[-1]


def test_too_few_earlier_sessions_are_reported_with_v_alone(project: Project) -> None:
    slower(project, desk=[1, 9])
    line = "desk: drift is not judged: needs 8 earlier sessions, has 0"
    assert line not in said(project.run())
    assert line.replace("has 0", "has 1") in said(project.run("-v"))


def test_a_control_that_cannot_be_read_is_a_warning(project: Project) -> None:
    slower(project, desk=[1, None])
    result = project.run()
    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(passed=8)
    why = "desk: its control (cpu, memory, disk, loopback) could not be read at the end: stays dark"
    assert why in said(result)
    start, end = runs.load(project.files()[-1]).controls["desk"].readings
    assert (set(start.times_s), set(end.times_s)) == ({"cpu", "memory", "disk", "loopback"}, set())


@pytest.mark.parametrize("how", ["option", "ini"])
def test_the_control_can_be_left_out(project: Project, how: str) -> None:
    slower(project, desk=[None], shelf=[None])
    arguments = ["--microcloud-no-control"] if how == "option" else ["-o", "microcloud_no_control=true"]
    assert "could not be read" not in said(project.run(*arguments))
    assert "controls" not in ours(project)


def test_boards_that_are_not_measured_have_no_control(project: Project) -> None:
    slower(project, desk=[None], shelf=[None])
    result = project.run("-k", "plain or last or (first and not shelf)")
    assert "desk: its control" in said(result)
    assert "shelf: its control" not in said(result)


def test_a_board_with_several_boots_is_read_in_the_first_and_the_last(project: Project) -> None:
    project.tests("def test_first(measure, board):\n    measure(took, board)")
    project.run("--microcloud-boots=2").assert_outcomes(passed=4)
    assert [r["at"] for r in ours(project)["controls"]["desk"]["readings"]] == ["start", "end"]


INTERRUPTED = """
    def test_first(measure, board):
        measure(took, board)

    def test_second(measure, board):
        if not Path("go").exists():
            raise BoardError(board.name, "broke")
        measure(took, board)
    """


@pytest.mark.parametrize("more", [(), ("-n", "auto")], ids=["serial", "fleet"])
def test_a_resumed_run_has_the_readings_of_both_sessions_and_is_marked_as_a_whole(
    project: Project, more: tuple[str, ...]
) -> None:
    with_history(project)
    project.tests(INTERRUPTED)
    assert project.run("-x").ret == pytest.ExitCode.TESTS_FAILED
    (project.path / "go").touch()
    slower(project, desk=[3, 3])
    result = project.run("--microcloud-resume", *more)
    readings = ours(project)["controls"]["desk"]["readings"]
    assert [(r["at"], r["times_s"]["disk"]) for r in readings] == [
        ("start", 0.1),
        ("end", 0.1),
        ("start", pytest.approx(0.3)),
        ("end", pytest.approx(0.3)),
    ], said(result)
    marked = {
        benchmark["fullname"]: bool(benchmark["extra_info"]["microcloud"].get("drift"))
        for benchmark in project.document()["benchmarks"]
    }
    assert marked == {
        f"test_desk.py::test_{which}[ssh://{board}]": board == "desk"
        for which in ("first", "second")
        for board in BOARDS
    }


def test_a_suspect_beside_drift_is_said_to_be_so(project: Project) -> None:
    project.hosts(desk={"microcloud_image": "plain"})
    project.tests("def test_time(measure, board):\n    measure(took, board)")
    project.run("--microcloud-boots=6").assert_outcomes(passed=6)
    baseline = project.files()[-1]
    multiply(baseline, JITTER)
    project.hosts(desk={"microcloud_image": "slow"})
    slower(project, desk=[1, 1.5])
    for file in project.files()[:-1]:  # the history of a board with the image of the candidate
        document = json.loads(file.read_text())
        document["machine_info"]["microcloud"]["boards"]["desk"]["os_release"] = "slow"
        file.write_text(json.dumps(document))
    result = project.run("--microcloud-boots=6", f"--microcloud-baseline={baseline.stem}")
    gate = ours(project)["gate"]
    (finding,) = gate["metrics"]
    assert (finding["verdict"], finding["drifted"]) == ("regressed", True)
    assert "the control of the board drifted, too" in finding["reason"]
    assert any(
        warning.startswith(
            "desk: drifted while the candidate was measured: cpu control 50 % slower at the end"
        )
        for warning in gate["warnings"]
    )
    assert "the control of the board drifted, too" in said(result)
