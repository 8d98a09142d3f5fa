"""Projects of users with fake boards: nothing is connected, and every step is recorded.

The rack and the drivers are the real ones. Nothing goes over SSH, and ansible-inventory is not run. A board's
measurements depend on the image that its inventory line names.
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

CONFTEST = """
import shlex
from pathlib import Path
from pytest_microcloud.inventory import ansible
from pytest_microcloud.boards import health
from pytest_microcloud.boards.board import Board
from pytest_microcloud.boards.logs import Logs
from pytest_microcloud.boards.facts import Facts
from pytest_microcloud.boards.rack import Rack
from pytest_microcloud.controller.progress import Steps
from pytest_microcloud.errors import BoardError

def listing(file):
    "Of one group; Ansible takes longer to read it than all the rest takes."
    (head, *hosts) = (shlex.split(line) for line in file.read_text().splitlines())
    group = head[0].strip("[]")
    variables = {name: dict(word.split("=", 1) for word in words) for name, *words in hosts}
    return {
        "_meta": {"hostvars": variables}, "all": {"children": [group]}, group: {"hosts": list(variables)}
    }

ansible._listing = listing

def done(board, what):
    with Path("done").open("a") as file:
        file.write(f"{board.name} {what}\\n")
    if f"{board.name} {what}" in (Path("broken").read_text() if Path("broken").exists() else ""):
        raise BoardError(board.name, "stays dark")

def learn(board):
    image = board.driver.made_of().get("image", "Raspbian")
    board.facts = Facts(image, "6.1", "aarch64", 4, 10**9, "b", "27.1", "overlay2", "2")

def power_on(rack, target):
    model = rack.catalog.model(target.model)
    steps = Steps(rack._progress, target.name)
    driver = rack._driver(target, model, steps)
    number = len(rack.boards)
    board = Board(target, model, driver, "run", number, Path(), steps)
    board.boot = 1
    learn(board)
    done(board, "on")
    rack._original[target.name] = driver.made_of()
    return board

def reboot_and_settle(board):
    done(board, "boots")

def exchange(board, driver):
    board.driver = driver
    learn(board)
    done(board, f"is {driver.made_of()['image']}")

Rack._power_on = power_on
Board.reboot_and_settle = reboot_and_settle
Board.exchange = exchange
Board.power_off = lambda board, keep=False: done(board, "off")
Board.trouble = lambda board: ""
Logs.log = lambda logs: "nothing happened"

class Watch:
    def __init__(self, board, expected=()): ...
    def __enter__(self):
        return self
    def __exit__(self, *_): ...
    def verdict(self):
        return []

health.Watch = Watch
health.unwatched = health.others = lambda board: ()
"""
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
            " ".join([name, *(f"{k}={shlex.quote(str(v))}" for k, v in v_.items())])
            for name, v_ in boards.items()
        ]
        (self.path / "hosts.ini").write_text("\n".join(["[pi3b]", *lines, ""]))

    def tests(self, tests: str, name: str = "test_desk") -> None:
        """Write the tests."""
        self._pytester.makepyfile(**{name: dedent(PREAMBLE) + dedent(tests)})

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
