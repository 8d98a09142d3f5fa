"""The gate at the end of a session: --microcloud-baseline, in projects of users."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

import platformdirs
import pytest

from pytest_microcloud import runs
from pytest_microcloud.boards.drivers.container.driver import BOARD_LABEL
from pytest_microcloud.redaction import Redactor
from pytest_microcloud.report import comparison_table as report
from pytest_microcloud.verdict import gate
from pytest_microcloud.verdict.comparison import Comparison
from tests.support.said_to_be_up import Project, said

if TYPE_CHECKING:
    from docker import DockerClient

BOOTS = 6
"""As many as are needed for a conclusion, among two metrics."""
FRESH = 7
"""Boots of each side in a confirmation: as few as are conclusive, and two more."""
OPTION = f"--microcloud-boots={BOOTS}"
CACHE = platformdirs.user_cache_path()
KEPT = "20261123T101500-3fa9.json"
TESTS = """\
    @pytest.mark.parametrize("kind", ["plain", "steady"])
    def test_time(measure, limit, board, kind):
        if kind == "steady":
            limit(measure(lambda: [Measurement("io.disk_read_time", [1 + next(COUNT) % 3 / 1e3])]))
        else:
            limit(measure(took, board))
    """
ONLY_AT_FIRST = """\
    def test_time(measure, board, microcloud_phase_of):
        measure(took, board, 1.3 if Path("noisy").exists() and not microcloud_phase_of.stage else 1.0)

    @pytest.fixture
    def microcloud_phase_of(request):
        return request.node.callspec.params["microcloud_phase"]
    """


class Regression(NamedTuple):
    """What is left of a session: its directory, what the terminal said, what was done, and the run file."""

    path: Path
    lines: list[str]
    done: list[str]
    document: dict[str, Any]

    @property
    def run(self) -> runs.Run:
        (file,) = {*(self.path / "reports" / "runs").glob("*.json")} - {self.path / "reports" / "runs" / KEPT}
        return runs.load(file)


def with_image(image: str, **more: object) -> dict[str, object]:
    return {"microcloud_image": image, "microcloud_flash": "true", **more}


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a board of the image "old"."""
    project = Project(pytester, monkeypatch)
    project.hosts(desk=with_image("old"))
    project.tests(TESTS)
    return project


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / KEPT


@pytest.fixture
def baseline(project: Project, kept: Path) -> str:
    """The id of a baseline run with some boots of the image "old"; it is measured once for all tests."""
    directory = project.path / "reports" / "runs"
    if not kept.exists():
        assert project.run(OPTION).ret == pytest.ExitCode.OK
        project.files()[0].rename(kept)
    directory.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(kept, directory)).stem


def against(project: Project, baseline: str, image: str, *arguments: str, **more: object) -> pytest.RunResult:
    """Run a session with a board of that image against a baseline."""
    project.hosts(desk=with_image(image, **more))
    return project.run(OPTION, f"--microcloud-baseline={baseline}", *arguments)


@pytest.fixture(scope="module")
def sessions() -> list[Regression]:
    return []


@pytest.fixture
def regression(
    project: Project, baseline: str, sessions: list[Regression], monkeypatch: pytest.MonkeyPatch
) -> Regression:
    """A session with a confirmed regression, with all its files: one for all tests that look at it."""
    if not sessions:
        (project.path / "summary.md").write_text("# Build\n")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "summary.md"))
        result = against(project, baseline, "new", "-v", "--junitxml=junit.xml")
        sessions.append(Regression(project.path, result.outlines, project.done(), project.document()))
    return sessions[0]


def judged(project: Project) -> dict[str, dict[str, Any]]:
    """Return the findings of the newest run by metric."""
    stored = project.document()["machine_info"]["microcloud"]["gate"]
    return {finding["metric"]: finding for finding in stored["metrics"]}


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
    assert "suspects were not measured again (desk: there is no command that flashes it" in stored
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
    assert reason.endswith("too few fresh boots could be measured to confirm it")
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
    assert "mind: the confirmation was interrupted: the single-stage rule applies" in said(result)
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
    assert "boots per side among" in said(result)
    assert "gate: inconclusive with 1 boot: needs 5 boots per side, and more among many metrics" in said(
        result
    )


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
    assert 'gate.toml: key "default.effct": there are only q, effect' in said(result)


def test_runs_that_cannot_be_compared_are_refused_at_the_end_and_nothing_is_lost(
    project: Project, baseline: str
) -> None:
    inventory = project.path / "hosts.ini"
    inventory.write_text(inventory.read_text().replace("pi3b", "pi2b"))
    result = project.run(f"--microcloud-baseline={baseline}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes() == {"passed": 2}
    assert f"cannot be compared with {baseline}: desk: another model: pi2b" in said(result)
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
    assert "they have no metric in common that was measured and can be trusted" in said(result)


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


def test_a_run_that_goes_on_is_compared_as_a_whole(project: Project, baseline: str) -> None:
    project.tests(
        TESTS.replace(
            "if kind ==",
            "if 'steady-boot4' in os.environ['PYTEST_CURRENT_TEST'] and not Path('go on').exists():\n"
            "            os.kill(os.getpid(), 9)\n        if kind ==",
        )
    )
    against(project, baseline, "new")
    (project.path / "go on").touch()
    result = against(project, baseline, "new", "--microcloud-resume")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes() == {"deselected": 7, "passed": 2 * BOOTS - 7 + 2 * FRESH}
    finding = judged(project)["io.memory_time"]
    assert (finding["verdict"], finding["boots"]) == ("regressed", [FRESH, FRESH])
    assert len(project.files()) == 2


def test_a_confirmation_that_was_killed_is_made_again(project: Project, baseline: str) -> None:
    project.tests(
        TESTS.replace(
            "if kind ==",
            "if 'boot2-candidate' in os.environ['PYTEST_CURRENT_TEST'] and not Path('go on').exists():\n"
            "            os.kill(os.getpid(), 9)\n        if kind ==",
        )
    )
    against(project, baseline, "new")
    (project.path / "go on").touch()
    result = against(project, baseline, "new", "--microcloud-resume")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes() == {"deselected": 2 * BOOTS, "passed": 2 * FRESH}
    assert judged(project)["io.memory_time"]["verdict"] == "regressed"
    run = runs.load(project.files()[-1])
    assert [sum(e.stage == stage for e in run.entries) for stage in ("", "baseline")] == [2 * BOOTS, FRESH]


# Where it is reported


def test_junit_has_a_test_of_the_gate_for_each_board(regression: Regression) -> None:
    suite = ElementTree.parse(regression.path / "junit.xml").find(".//testsuite")  # noqa: S314
    assert suite is not None
    (case,) = (c for c in suite.iter("testcase") if c.get("classname") == "microcloud.gate")
    tests = 2 * BOOTS + 2 * FRESH + 1
    assert (case.get("name"), suite.get("tests"), suite.get("failures")) == ("desk", str(tests), "1")
    failure, table = case.find("failure"), case.findtext("system-out")
    assert failure is not None
    assert failure.get("message") == "regressed: io.memory_time: +30.0%"
    assert "io.disk_read_time" in str(table)


def test_a_forges_step_summary_gets_the_table(regression: Regression) -> None:
    stored = (regression.path / "summary.md").read_text()
    assert stored.startswith("# Build\n### Micro-cloud gate: regressed, confirmed")
    assert "| verdict | board | metric |" in stored
    assert "| regressed | desk | io.memory\\_time |" in stored


def test_a_step_summary_that_cannot_be_written_is_told(
    project: Project, baseline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "nowhere" / "summary.md"))
    result = against(project, baseline, "old")
    assert "summary.md was not written: No such file or directory" in said(result)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_the_page_has_the_table(regression: Regression) -> None:
    page = (regression.path / "reports" / "feasibility.html").read_text()
    table = page.partition('class="mc-gate"')[2].partition("</section>")[0]
    assert "Gate: regressed, confirmed on fresh boots of both sides" in table
    assert '<tr class="mc-regressed"><td>regressed</td><td>desk</td><td>io.memory_time</td>' in table


def finding(verdict: str, **more: Any) -> gate.Finding:
    stored: dict[str, Any] = {
        "board": "desk",
        "metric": "serving.page_time",
        "labels": {"clients": "50"},
        "verdict": verdict,
        "ratio": 1.213,
        "interval": (1.15, 1.28),
        "p": 0.001,
        "boots": (10, 10),
        "reason": "+21.3%",
    }
    return gate.Finding(**(stored | more))


def test_the_table_has_what_regressed_first_and_is_aligned() -> None:
    found = [
        finding("no evidence"),
        finding("improved", ratio=0.5, interval=(0.4, 0.6)),
        finding("regressed"),
    ]
    lines = report.text(
        Comparison("old", "new", found, warnings=["desk: it was warm"]), verbose=True
    ).splitlines()
    assert lines[0] == "mind: desk: it was warm"
    assert [line.split("  ")[0] for line in lines[2:5]] == ["regressed", "improved", "no evidence"]
    assert {line.index("serving.page_time") for line in lines[2:5]} == {lines[1].index("metric")}
    assert "+21 % (+15 to +28 %)" in lines[2]
    assert "-50 % (-60 to -40 %)" in lines[3]


def test_a_baseline_of_zero_has_no_change_in_per_cent() -> None:
    found = [finding("regressed", ratio=None, interval=None)]
    assert "  –  " in report.text(Comparison("old", "new", found))


def test_hostile_labels_stay_text_on_the_page_and_in_markdown() -> None:
    hostile = {"workload": "<img src=x onerror=alert(1)>|[a](javascript:b)"}
    comparison = Comparison("old", "new", [finding("regressed", labels=hostile)])
    page = report.html(comparison, Redactor())
    assert "<img" not in page
    assert "mc-regressed" in page
    assert "<img" not in report.markdown(comparison).replace("\\<", "")
    assert report.markdown(comparison).splitlines()[-1].count(" | ") == len(report.HEADS) - 1


def test_addresses_are_masked_on_the_page() -> None:
    page = report.html(Comparison("old", "new", [], refused=["desk: 203.0.113.7 is gone"]), Redactor())
    assert "203.0.113.7" not in page


def test_a_comparison_is_stored_as_the_command_prints_it(regression: Regression) -> None:
    stored = regression.document["machine_info"]["microcloud"]["gate"]
    assert json.loads(json.dumps(stored)) == stored
    assert (stored["verdict"], stored["baseline"], stored["confirmed"]) == (
        "regressed",
        Path(KEPT).stem,
        True,
    )
    assert regression.run.id == stored["candidate"]


SPIN = """\
    import time
    from pytest_microcloud.measurement import Measurement

    SPINS = "i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done"

    def spin(board):
        started = time.monotonic()
        board.link.run(SPINS)
        return [Measurement("io.memory_time", [time.monotonic() - started])]

    def count(board):
        cpus = int(board.link.run("nproc").stdout)
        return [Measurement("io.disk_read_time", [float(cpus)])]

    def test_spin(measure, board):
        measure.repeat(3, spin, board)

    def test_count(measure, board):
        measure(count, board)
    """


@pytest.mark.engine
@pytest.mark.long
def test_an_emulated_board_with_half_its_cpu_is_a_confirmed_regression(
    pytester: pytest.Pytester, host_engine: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE))  # pytester's home has no calibration
    pytester.makepyfile(test_desk=SPIN)
    inventory = pytester.path / "hosts.ini"
    inventory.write_text("[pi3b]\ndesk microcloud_driver=container\n")
    assert pytester.runpytest_subprocess("--hosts=desk", OPTION).ret == pytest.ExitCode.OK
    (baseline,) = (pytester.path / "reports" / "runs").glob("*.json")
    inventory.write_text("[pi3b]\ndesk microcloud_driver=container microcloud_cpu_share=0.5\n")
    result = pytester.runpytest_subprocess("--hosts=desk", OPTION, f"--microcloud-baseline={baseline.stem}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes() == {"passed": 2 * BOOTS + 2 * FRESH}
    (candidate,) = {*(pytester.path / "reports" / "runs").glob("*.json")} - {baseline}
    stored = json.loads(candidate.read_text())["machine_info"]["microcloud"]["gate"]
    verdicts = {finding["metric"]: finding["verdict"] for finding in stored["metrics"]}
    assert verdicts == {"io.memory_time": "regressed", "io.disk_read_time": "no evidence"}
    assert stored["confirmed"]
    assert any("CPU: 0.5 of the model's" in warning for warning in stored["warnings"])
    labels: dict[str, str | list[str] | bool] = {"label": f"{BOARD_LABEL}=desk"}
    assert host_engine.containers.list(all=True, filters=labels) == []
