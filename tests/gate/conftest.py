from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.fake_boards import Project
from tests.support.gate_project import KEPT, OPTION, TESTS, Regression, against, with_image


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a board of the image "old"."""
    project = Project(pytester, monkeypatch)
    project.hosts(desk=with_image("old"))
    project.tests(TESTS)
    return project


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
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
