"""Other people's plugins left out with `-p no:…`: the session works, or says in one line what it needs."""

from __future__ import annotations

import pytest

from tests.support.fake_boards import Project, said


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    found = Project(pytester, monkeypatch)
    found.tests(
        """
        def test_it(measure, board):
            measure(took, board)
        """
    )
    return found


@pytest.mark.parametrize(
    "plugin",
    [
        *("capture", "terminal", "junitxml", "cacheprovider", "logging", "stepwise", "warnings"),
        *("faulthandler", "recwarn", "unraisableexception", "threadexception", "doctest", "unittest"),
        *("html", "metadata", "xdist", "timeout", "reports", "tmpdir", "setupplan", "pastebin", "debugging"),
    ],
)
def test_a_session_measures_without(project: Project, plugin: str) -> None:
    result = project.run("-p", f"no:{plugin}")
    text = said(result)
    assert "INTERNALERROR" not in text
    assert "Traceback" not in text
    assert result.ret == pytest.ExitCode.OK, text
    (benchmark,) = project.document()["benchmarks"]
    assert benchmark["extra_info"]["microcloud"]["measurements"]


@pytest.mark.parametrize(
    ("plugin", "arguments", "named"),
    [
        ("benchmark", [], "no:benchmark"),
        ("metadata", ["--html=page.html"], "no:metadata"),
        ("pytest11.testinfra", [], "unrecognized arguments: --hosts=all"),  # it is testinfra's option
    ],
)
def test_a_session_that_needs_a_plugin_names_it(
    project: Project, plugin: str, arguments: list[str], named: str
) -> None:
    result = project.run("-p", f"no:{plugin}", *arguments)
    text = said(result)
    assert "INTERNALERROR" not in text
    assert "Traceback" not in text
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert named in text
