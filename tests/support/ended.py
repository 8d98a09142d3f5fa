"""Sessions that a test ends: a pytest in a separate process group, as a terminal starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_microcloud.controller import workspace

PATIENCE_S = 240.0
# What a shell starts in the background ignores Ctrl-C, and so do its children; a terminal's does not.
PYTEST = (
    "import signal, sys, pytest; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "sys.exit(pytest.main())"
)


class Run:
    """A session with those hosts, of the tests that match `test`, whose output is in the file `output`.

    Its conftest.py writes into the file `said` what it is at, so that a test can choose the moment.
    """

    def __init__(self, directory: Path, hosts: str, test: str) -> None:
        self._said = directory / "said"
        self._said.unlink(missing_ok=True)
        self._output = directory / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PYTEST, "-p", "no:cacheprovider", f"--hosts={hosts}", "-k", test],
                cwd=directory,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def id(self) -> str:
        found = re.search(r"^microcloud: run (\S+),", self.output, re.MULTILINE)
        assert found, self.output
        return found.group(1)

    @property
    def directory(self) -> Path:
        return workspace.root() / self.id

    def wait_for(self, line: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not (self._said.is_file() and line in self._said.read_text()):
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.02)

    def wait(self) -> int:
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end: {self.output}")


@contextmanager
def started(directory: Path, hosts: str, test: str) -> Iterator[Run]:
    """Start a session, and kill it if it is still running at the end."""
    run = Run(directory, hosts, test)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            os.killpg(run.process.pid, signal.SIGKILL)
            run.process.wait()
