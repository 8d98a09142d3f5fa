"""The gate's result in JUnit's XML, in a step summary, on the page and in the run file."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.fake_boards import Project, said
from tests.support.gate_project import BOOTS, FRESH, KEPT, Regression, against

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


def test_a_step_summary_that_cannot_be_written_is_reported(
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


def test_a_comparison_is_stored_as_the_command_prints_it(regression: Regression) -> None:
    stored = regression.document["machine_info"]["microcloud"]["gate"]
    assert json.loads(json.dumps(stored)) == stored
    assert (stored["verdict"], stored["baseline"], stored["confirmed"]) == (
        "regressed",
        Path(KEPT).stem,
        True,
    )
    assert regression.run.id == stored["candidate"]
