"""Projects of users that compare a session with a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_microcloud import runs
from tests.support.fake_boards import Project

BOOTS = 6
"""As many as are needed for a conclusion, among two metrics."""
FRESH = 7
"""Boots of each side in a confirmation: as few as are conclusive, and two more."""
OPTION = f"--microcloud-boots={BOOTS}"
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


def against(project: Project, baseline: str, image: str, *arguments: str, **more: object) -> pytest.RunResult:
    """Run a session with a board of that image against a baseline."""
    project.hosts(desk=with_image(image, **more))
    return project.run(OPTION, f"--microcloud-baseline={baseline}", *arguments)


def judged(project: Project) -> dict[str, dict[str, Any]]:
    """Return the findings of the newest run by metric."""
    stored = project.document()["machine_info"]["microcloud"]["gate"]
    return {finding["metric"]: finding for finding in stored["metrics"]}
