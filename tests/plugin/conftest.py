from __future__ import annotations

from textwrap import dedent

import pytest

from tests.support.plugin_project import HOSTS, WITH_BOARD, Run


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with two boards, a test that needs one, and no Docker engine; warnings are errors."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(pytester.path / "runtime"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{pytester.path}/docker.sock")
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers -p no:cacheprovider")
    (pytester.path / "hosts.ini").write_text(dedent(HOSTS))
    pytester.makepyfile(test_board=WITH_BOARD)
    return pytester


@pytest.fixture
def run(project: pytest.Pytester) -> Run:
    return project.runpytest_subprocess
