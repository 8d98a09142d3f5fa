"""A report that cannot be written is lost by itself, and named."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.support.fake_boards import Project, said

REPORTS = {"--junitxml": "junit.xml", "--html": "page.html", "--benchmark-json": "benchmark.json"}


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(pytester, monkeypatch)
    project.tests("def test_it(measure, board):\n    measure(took, board)")
    return project


@pytest.mark.parametrize("lost", sorted(REPORTS))
def test_a_report_that_cannot_be_written_takes_no_other_with_it(project: Project, lost: str) -> None:
    wanted = {**REPORTS, lost: "/dev/full"}
    result = project.run(*(f"{option}={file}" for option, file in wanted.items()), "--self-contained-html")
    output = said(result)
    assert result.ret == pytest.ExitCode.TESTS_FAILED, output
    assert "/dev/full was not written: No space left on device" in output
    assert output.count("was not written") == 1
    assert "generated xml file: /dev/full" not in output
    assert "Generated html report: file:///dev/full" not in output
    assert "micro-cloud verdicts" in output
    assert "INTERNALERROR" not in output
    for option, file in REPORTS.items():
        assert (project.path / file).exists() == (option != lost)
    assert (project.path / "reports" / "generations.html").exists()
    assert len(project.document()["benchmarks"]) == 1
    if lost != "--junitxml":
        assert ET.parse(project.path / "junit.xml").getroot().find(".//testcase") is not None  # noqa: S314


def test_several_reports_that_cannot_be_written_are_all_named(project: Project) -> None:
    blocked = Path("taken/deeper.xml")
    (project.path / "taken").touch()
    result = project.run(f"--junitxml={blocked}", "--html=/dev/full", "--self-contained-html")
    output = said(result)
    assert "deeper.xml was not written: " in output
    assert "/dev/full was not written: No space left on device" in output
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_report_that_is_written_into_a_device_is_left_as_it_is(project: Project) -> None:
    result = project.run("--junitxml=/dev/null", "--html=/dev/null", "--self-contained-html")
    assert result.ret == pytest.ExitCode.OK, said(result)
