"""The gate at the end of a session: suspects are confirmed on fresh boots of both sides."""

from __future__ import annotations

import pytest

from pytest_microcloud.verdict import gate
from tests.support.fake_boards import Project, said
from tests.support.gate_project import (
    BOOTS,
    FRESH,
    ONLY_AT_FIRST,
    OPTION,
    TESTS,
    Regression,
    against,
    judged,
    with_image,
)

# What is suspect is measured again


def test_a_regression_that_is_confirmed_fails_the_session(project: Project, baseline: str) -> None:
    result = against(project, baseline, "new")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes() == {"passed": 2 * BOOTS + 2 * FRESH}
    text = said(result)
    assert f"micro-cloud gate against {baseline}" in text
    assert "desk   io.memory_time" in text
    assert "+30 % (+30 to +30 %)" in text
    assert "no evidence of a change in 1 metric" in text
    assert "regressed, confirmed on fresh boots of both sides: " in text
    assert judged(project)["io.memory_time"]["verdict"] == "regressed"
    assert judged(project)["io.disk_read_time"]["verdict"] == "no evidence"


def test_fresh_boots_of_both_sides_alternate_and_the_candidate_comes_last(regression: Regression) -> None:
    assert regression.done == [
        "desk on",
        *["desk boots"] * (BOOTS - 1),
        *["desk is old", "desk is new"] * FRESH,
        "desk off",
    ]


def test_only_the_tests_that_raised_the_suspicion_are_run_again_and_bear_their_side(
    regression: Regression,
) -> None:
    again = [line.split()[0] for line in regression.lines if "e] PASSED" in line.replace("candidate]", "e]")]
    assert again[:2] == [
        "test_desk.py::test_time[ssh://desk-plain-boot1-baseline]",
        "test_desk.py::test_time[ssh://desk-plain-boot1-candidate]",
    ]
    run = regression.run
    assert {e.stage: len([x for x in run.entries if x.stage == e.stage]) for e in run.entries} == {
        "": 2 * BOOTS,
        "baseline": FRESH,
        "candidate": FRESH,
    }
    sides = {stage: gate.series(run, stage) for stage in ("baseline", "candidate")}
    assert [{key[1]: len(s.values) for key, s in side.items()} for side in sides.values()] == [
        {"io.memory_time": FRESH}
    ] * 2


def test_the_fingerprint_stays_that_of_the_candidate(regression: Regression) -> None:
    (facts,) = regression.run.boards.values()
    assert (facts.os_release, facts.made_of) == ("new", {"image": "new"})


def test_a_suspect_that_is_not_confirmed_fails_nothing(project: Project) -> None:
    project.tests(ONLY_AT_FIRST)
    project.run(OPTION)
    (project.path / "noisy").touch()
    result = against(project, project.files()[0].stem, "new-but-alike")
    assert result.ret == pytest.ExitCode.OK
    finding = judged(project)["io.memory_time"]
    assert finding["verdict"] == "no evidence"
    assert finding["reason"].startswith("was suspect (p 0.00")
    assert finding["reason"].endswith("), not confirmed on fresh boots")


def test_where_the_board_cannot_boot_the_baseline_the_one_look_has_to_do_and_it_is_said(
    project: Project, baseline: str
) -> None:
    result = against(project, baseline, "new", microcloud_flash="")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes() == {"passed": 2 * BOOTS}
    stored = said(result)
    assert "suspects were not measured again (desk: there is no command that flashes the board" in stored
    assert "confirmed" not in stored
    assert project.done() == ["desk on", *["desk boots"] * (BOOTS - 1), "desk off"]


def test_a_side_that_cannot_be_booted_leaves_the_verdict_and_fails_the_tests(
    project: Project, baseline: str
) -> None:
    (project.path / "broken").write_text("desk is old")
    result = against(project, baseline, "new")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes()["errors"] == 2 * FRESH
    reason = judged(project)["io.memory_time"]["reason"]
    assert reason.endswith("too few fresh boots could be measured for a confirmation")
    assert "confirmed on fresh boots" not in said(result)
    assert judged(project)["io.memory_time"]["verdict"] == "regressed"


def test_a_board_gets_its_own_image_back_when_the_confirmation_is_interrupted(
    project: Project, baseline: str
) -> None:
    project.tests(
        TESTS.replace(
            "if kind ==",
            "if 'baseline]' in os.environ['PYTEST_CURRENT_TEST']:\n"
            "            raise KeyboardInterrupt\n        if kind ==",
        ).replace("baseline]'", "-baseline]'")
    )
    result = against(project, baseline, "new")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert project.done()[-3:] == ["desk is old", "desk is new", "desk off"]
    assert "note: the confirmation was interrupted: the single-stage rule applies" in said(result)
    assert "desk   io.memory_time" in said(result)
    assert "gate" not in project.document()["machine_info"]["microcloud"]


# The outcome


def test_the_same_system_again_passes_and_nothing_is_measured_twice(project: Project, baseline: str) -> None:
    result = against(project, baseline, "old")
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes() == {"passed": 2 * BOOTS}
    assert "no evidence of a change in 2 metrics" in said(result)
    assert f"no evidence: {project.files()[-1].stem} against {baseline}" in said(result)


def test_what_improved_is_shown_and_passes(project: Project) -> None:
    project.hosts(desk=with_image("slow"))
    project.run(OPTION)
    result = against(project, project.files()[0].stem, "old")
    assert result.ret == pytest.ExitCode.OK
    assert judged(project)["io.memory_time"]["verdict"] == "improved"
    assert "-50 %" in said(result)


def test_with_v_every_metric_has_its_line(regression: Regression) -> None:
    table = "\n".join(regression.lines).partition("micro-cloud gate against")[2]
    assert "regressed    desk   io.memory_time" in table
    assert "no evidence  desk   io.disk_read_time" in table


def test_a_baseline_may_be_named_by_its_system(project: Project, baseline: str) -> None:
    result = against(project, "old", "new", "-k", "steady")
    assert result.ret == pytest.ExitCode.OK
    assert f"micro-cloud gate against {baseline}" in said(result)


def test_rules_of_ones_own_count(project: Project, baseline: str) -> None:
    (project.path / "gate.toml").write_text('["io.memory_time"]\nreport_only = true\n')
    result = against(project, baseline, "new", "-o", "microcloud_gate=gate.toml")
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes() == {"passed": 2 * BOOTS}
    assert "regressed (report only)" in said(result)


def test_a_confirmation_is_not_judged_by_limits(project: Project) -> None:
    (project.path / "mine.toml").write_text(
        '[limits.pi3b.io]\nmemory_time = { max = 1.5, source = "my patience" }\n'
    )
    limits = ("-o", "microcloud_catalog=mine.toml")
    project.tests(
        TESTS.replace(
            "took, board)", "took, board, 1.7 if 'e]' in os.environ['PYTEST_CURRENT_TEST'] else 1.1)"
        )
    )
    project.run(OPTION, *limits)
    result = against(project, project.files()[0].stem, "new", *limits)
    assert result.parseoutcomes() == {"passed": 2 * BOOTS + 2 * FRESH}


def test_too_few_boots_are_said_to_be_too_few(project: Project) -> None:
    project.run()
    project.hosts(desk=with_image("new"))
    result = project.run(f"--microcloud-baseline={project.files()[0].stem}")
    assert result.ret == pytest.ExitCode.OK
    assert {f["verdict"] for f in judged(project).values()} == {"too few samples"}
    assert "boots per side for" in said(result)
    assert "gate: inconclusive with 1 boot: needs 5 boots per side, and more for many metrics" in said(result)
