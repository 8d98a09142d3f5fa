"""A test's record travels on its report: run file, page and terminal are made from reports alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_boards import Project, said

SUITE = """\
    def test_measures(measure, limit, board):
        limit(measure(took, board, place="here"))

    def test_fails(measure, limit, board):
        measured = measure(took, board, 7.0)
        assert measured[0].median < 1

    def test_doubts(measure, board):
        measure(took, board, place="doubts")
        raise InvalidMeasurement("clouds")

    def test_breaks(measure, board):
        raise BoardError(board.name, "the wire was cut")

    def test_skips(measure):
        pytest.skip("there is no such image")

    def test_plain(host):
        assert host
    """
PASSED_ON = """
import json, os
from _pytest.reports import TestReport

@pytest.hookimpl(wrapper=True)  # before all that read reports
def pytest_runtest_logreport(report):
    plain = json.dumps(report._to_json())
    with Path("reports.jsonl").open("a") as file:
        file.write(plain + "\\n")
    vars(report).clear()
    vars(report).update(vars(TestReport._from_json(json.loads(plain))))
    return (yield)
"""
REPLAYED = """
import json
from _pytest.reports import TestReport

@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    for line in Path("reports.jsonl").read_text().splitlines():
        report = TestReport._from_json(json.loads(line))
        session.config.hook.pytest_runtest_logreport(report=report)
    return True
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(pytester, monkeypatch)
    project.tests(SUITE)
    return project


def run(project: Project, addition: str = "") -> tuple[dict[str, Any], str, str]:
    """Run the suite with an addition to its conftest.py; return run file, verdicts of the terminal, page."""
    conftest = project.path / "conftest.py"
    kept = conftest.read_text()
    conftest.write_text(f"{kept}\nimport pytest\n{addition}")
    result = project.run()
    conftest.write_text(kept)
    text = said(result)
    verdicts = text[text.index("micro-cloud verdicts") : text.index("= short test summary")]
    page = (project.path / "reports" / "feasibility.html").read_text()
    return project.document(), without_time(verdicts), without_time(page)


def without_time(text: str) -> str:
    """Return a text without what differs between two runs of the same: times, run ids, durations."""
    text = re.sub(r"\d{8}T\d{6}-\w+", "RUN", text)
    return re.sub(r"\d+(\.\d+)?( ?m?s\b| seconds)|\d\d:\d\d:\d\d|\d\d-\w{3}-\d{4} at", "TIME", text)


def outcomes(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["machine_info"]["microcloud"]["outcomes"]
    return found


def test_reports_that_were_plain_text_in_between_give_the_same_results(project: Project) -> None:
    direct, verdicts, _ = run(project)
    passed_on, verdicts_passed_on, _ = run(project, PASSED_ON)
    assert [b["fullname"] for b in passed_on["benchmarks"]] == [b["fullname"] for b in direct["benchmarks"]]
    assert [b["extra_info"] for b in passed_on["benchmarks"]] == [
        b["extra_info"] for b in direct["benchmarks"]
    ]
    assert outcomes(passed_on) == outcomes(direct)
    assert {o["verdict"] for o in outcomes(direct)} == {"feasible", "infeasible", "invalid", "error"}
    assert verdicts_passed_on == verdicts


def test_run_file_page_and_terminal_are_made_from_reports_alone(project: Project) -> None:
    made, verdicts, page = run(project, PASSED_ON)
    assert project.done() == ["desk on", "desk off"]
    replayed, verdicts_replayed, page_replayed = run(project, REPLAYED)
    assert project.done() == [], "no board was up"
    for document in (made, replayed):
        for varying in ("datetime", "commit_info"):
            del document[varying]
    assert replayed == made
    assert verdicts_replayed == verdicts
    verdicts_of = re.compile(r"<table.*?</table>", re.DOTALL)
    assert verdicts_of.findall(page_replayed) == verdicts_of.findall(page)
    assert len(verdicts_of.findall(page)) > 1


def test_a_measurement_that_no_run_file_could_hold_is_a_usage_error(project: Project) -> None:
    project.tests(
        """\
        @pytest.mark.parametrize("sample", ["fast", 1e300, None])
        def test_it(measure, board, sample):
            measure(lambda: [Measurement("io.memory_time", [sample], unit="s")])
        """
    )
    result = project.run()
    assert said(result).count("UsageError: measure(…): io.memory_time cannot be stored") >= 3
    assert all(outcome["verdict"] == "error" for outcome in outcomes(project.document()))
    assert isinstance(json.loads(Path(project.files()[-1]).read_text()), dict)


def test_tests_whose_names_look_like_a_secret_keep_their_results_apart(project: Project) -> None:
    project.tests(
        """\
        class TestToken:
            def test_pull(self, measure):
                measure(lambda: [Measurement("io.memory_time", [1.0])])

            def test_push(self, measure):
                measure(lambda: [Measurement("io.memory_time", [2.0])])
        """
    )
    result = project.run()
    result.assert_outcomes(passed=2)
    assert "not run yet" not in said(result)
    document = project.document()
    names = ["test_pull[ssh://desk]", "test_push[ssh://desk]"]
    assert [b["fullname"].rpartition("::")[2] for b in document["benchmarks"]] == names
    assert [o["test"].rpartition("::")[2] for o in outcomes(document)] == names


def test_a_hook_that_makes_a_measurement_unstorable_is_an_error(project: Project) -> None:
    conftest = project.path / "conftest.py"
    hook = "\n\ndef pytest_microcloud_measured(measurements):\n    measurements[0].samples = ['fast']\n"
    conftest.write_text(conftest.read_text() + hook)
    project.tests("def test_it(measure, board):\n    measure(took, board)")
    result = project.run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "UsageError: measure(…): io.memory_time cannot be stored" in said(result)
