"""Comparisons that cannot be made, and sessions that were stopped or resumed."""

from __future__ import annotations

import json

import pytest

from pytest_microcloud import runs
from tests.support.fake_boards import Project, said
from tests.support.gate_project import BOOTS, FRESH, OPTION, TESTS, against, judged, with_image

# What cannot be compared


def test_an_unknown_baseline_is_a_usage_error_before_anything_is_touched(
    project: Project, baseline: str
) -> None:
    result = against(project, baseline[:-1], "new")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"is named '{baseline[:-1]}' or is of that OS release; did you mean '{baseline}'" in said(result)
    assert project.done() == []


def test_wrong_rules_are_a_usage_error_that_names_file_and_key(project: Project, baseline: str) -> None:
    (project.path / "gate.toml").write_text("[default]\neffct = 0.1\n")
    result = against(project, baseline, "new", "-o", "microcloud_gate=gate.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert 'gate.toml: key "default.effct": expected one of q, effect' in said(result)


def test_runs_that_cannot_be_compared_are_refused_at_the_end_and_nothing_is_lost(
    project: Project, baseline: str
) -> None:
    inventory = project.path / "hosts.ini"
    inventory.write_text(inventory.read_text().replace("pi3b", "pi2b"))
    result = project.run(f"--microcloud-baseline={baseline}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes() == {"passed": 2}
    assert f"cannot be compared with {baseline}: desk: the model is pi2b" in said(result)
    assert len(project.document()["benchmarks"]) == 2


def test_a_session_that_is_stopped_is_not_compared_and_says_so(project: Project, baseline: str) -> None:
    project.tests("def test_it(measure, board):\n    measure(took, board)\n    assert False")
    result = against(project, baseline, "new", "-x")
    assert result.ret != pytest.ExitCode.OK
    assert "the session was stopped before its run could be compared" in said(result)


def test_a_session_without_a_metric_of_the_baseline_fails(project: Project, baseline: str) -> None:
    project.tests("def test_own(measure):\n    measure(lambda: [Measurement('startup.ready_time', [9.0])])")
    project.hosts(desk=with_image("new"))
    result = project.run(OPTION, f"--microcloud-baseline={baseline}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "no metric has valid measurements in both runs" in said(result)


def test_a_plan_says_nothing_of_a_comparison(project: Project, baseline: str) -> None:
    result = against(project, baseline, "new", "--microcloud-plan")
    assert result.ret == pytest.ExitCode.OK
    assert "micro-cloud gate" not in said(result)
    assert project.done() == []


def test_a_regression_of_a_run_with_nothing_left_to_do_fails_the_session(
    project: Project, baseline: str
) -> None:
    against(project, baseline, "new", "-k", "plain", microcloud_flash="")
    newest = project.files()[-1]
    document = json.loads(newest.read_text())
    del document["machine_info"]["microcloud"]["gate"]  # as of a run that could not be compared then
    newest.write_text(json.dumps(document))
    result = against(project, baseline, "new", "-k", "plain", "--microcloud-resume", microcloud_flash="")
    assert "regressed" in said(result)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def killed_once_at(words: str) -> str:
    """Return the tests; one with these words in its name kills its session unless "go on" exists."""
    kills = (
        f"if {words!r} in os.environ['PYTEST_CURRENT_TEST'] and not Path('go on').exists():\n"
        "            os.kill(os.getpid(), 9)\n        if kind =="
    )
    return TESTS.replace("if kind ==", kills)


def test_a_run_that_goes_on_is_compared_as_a_whole(project: Project, baseline: str) -> None:
    project.tests(killed_once_at("steady-boot4"))
    against(project, baseline, "new")
    (project.path / "go on").touch()
    result = against(project, baseline, "new", "--microcloud-resume")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes() == {"deselected": 7, "passed": 2 * BOOTS - 7 + 2 * FRESH}
    finding = judged(project)["io.memory_time"]
    assert (finding["verdict"], finding["boots"]) == ("regressed", [FRESH, FRESH])
    assert len(project.files()) == 2


def test_a_confirmation_that_was_killed_is_made_again(project: Project, baseline: str) -> None:
    project.tests(killed_once_at("boot2-candidate"))
    against(project, baseline, "new")
    (project.path / "go on").touch()
    result = against(project, baseline, "new", "--microcloud-resume")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes() == {"deselected": 2 * BOOTS, "passed": 2 * FRESH}
    assert judged(project)["io.memory_time"]["verdict"] == "regressed"
    run = runs.load(project.files()[-1])
    assert [sum(e.stage == stage for e in run.entries) for stage in ("", "baseline")] == [2 * BOOTS, FRESH]
