"""Projects of users with fake boards (`fake_board.py`).

A board's measurements depend on the image that its inventory line names. ansible-inventory is not run.
"""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.support import fake_board

LISTING = """
import shlex
from pytest_microcloud.inventory import ansible

def listing(file):
    "Of one group; Ansible takes longer to read it than all the rest takes."
    (head, *hosts) = (shlex.split(line) for line in file.read_text().splitlines())
    group = head[0].strip("[]")
    variables = {name: dict(word.split("=", 1) for word in words) for name, *words in hosts}
    return {
        "_meta": {"hostvars": variables}, "all": {"children": [group]}, group: {"hosts": list(variables)}
    }

ansible._listing = listing
"""
CONFTEST = Path(fake_board.__file__).read_text(encoding="utf-8") + LISTING
FAKE: dict[str, object] = {"microcloud_driver": "fake"}
PREAMBLE = """\
    import itertools
    import os
    import pytest
    from pathlib import Path
    from pytest_microcloud import BoardError, InvalidMeasurement
    from pytest_microcloud.measurement import Measurement

    COUNT = itertools.count()
    IMAGES = {"slow": 2.0, "new": 1.3}

    def took(board, seconds=1.0, **labels):
        "By the image that the board has, and a little more each time."
        factor = IMAGES.get(board.driver.made_of().get("image"), 1.0)
        return [Measurement("io.memory_time", [seconds * factor * (1 + next(COUNT) / 1e4)], labels)]

    """


class Project:
    """A user's project with fake boards."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self._pytester = pytester
        self.path = pytester.path
        runtime = tempfile.mkdtemp(prefix="mc-")  # a path short enough for sockets
        pytester._request.addfinalizer(lambda: shutil.rmtree(runtime))
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
        pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = -p no:cacheprovider")
        pytester.makeconftest(CONFTEST)
        self.hosts(desk={})

    def hosts(self, **boards: Mapping[str, object]) -> None:
        """Write the inventory: these boards with their variables."""
        lines = [
            " ".join([name, *(f"{k}={shlex.quote(str(v))}" for k, v in (FAKE | dict(v_)).items())])
            for name, v_ in boards.items()
        ]
        (self.path / "hosts.ini").write_text("\n".join(["[pi3b]", *lines, ""]))

    def tests(self, tests: str, name: str = "test_desk") -> None:
        """Write the tests."""
        self._pytester.makepyfile(**{name: dedent(PREAMBLE) + dedent(tests)})

    def add_to_conftest(self, text: str) -> None:
        """Add hooks of the user's."""
        with (self.path / "conftest.py").open("a") as file:
            file.write(dedent(text))

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run them on all boards."""
        (self.path / "done").unlink(missing_ok=True)
        return self._pytester.runpytest_subprocess("--hosts=all", *arguments)

    def done(self) -> list[str]:
        """Return what was done to boards in the last session."""
        file = self.path / "done"
        return file.read_text().splitlines() if file.exists() else []

    def files(self) -> list[Path]:
        """Return the run files, the oldest first, also of those that began in the same second."""
        there = (self.path / "reports" / "runs").glob("*.json")
        return sorted(there, key=lambda file: (file.name.partition("-")[0], file.stat().st_mtime_ns))

    def document(self) -> dict[str, Any]:
        """Return the newest run file."""
        document: dict[str, Any] = json.loads(self.files()[-1].read_text())
        return document


def said(result: pytest.RunResult) -> str:
    return "\n".join([*result.outlines, *result.errlines])
