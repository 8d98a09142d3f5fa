from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.fake_boards import CONFTEST
from tests.support.outcome_project import ENDS, MEASURED, TESTS, RunAgainst, RunFake


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's runtime directory, of a name that is short enough for sockets in it."""
    with tempfile.TemporaryDirectory(prefix="mc-") as directory:
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        yield Path(directory)


@pytest.fixture
def run_against(pytester: pytest.Pytester, runtime: Path) -> RunAgainst:
    """Run tests of a board that should be on that port of this machine, and one of no board."""
    del runtime
    pytester.makeini("[pytest]\nfilterwarnings = error")
    pytester.makepyfile(test_desk=TESTS)

    def run(port: int, *arguments: str) -> pytest.RunResult:
        (pytester.path / "hosts.ini").write_text(
            f"[pi3b]\ndesk microcloud_driver=ssh ansible_host=127.0.0.1 ansible_port={port} ansible_user=pi\n"
        )
        return pytester.runpytest_subprocess("--hosts=pi3b", *arguments)

    return run


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@pytest.fixture
def run_fake(pytester: pytest.Pytester, runtime: Path) -> RunFake:
    """Run tests on a fake board."""
    del runtime
    pytester.makeini("[pytest]\nfilterwarnings = error")
    pytester.makeconftest(CONFTEST)
    (pytester.path / "hosts.ini").write_text("[pi3b]\ndesk microcloud_driver=fake\n")
    return partial(pytester.runpytest_subprocess, "--hosts=pi3b")


@pytest.fixture
def outcomes(run_fake: RunFake, pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Run tests on a fake board; `found` is what the watch finds in each measurement."""

    def run(
        tests: str, *arguments: str, found: Sequence[Sequence[str]] = (), first: str = ""
    ) -> pytest.RunResult:
        findings = f"FakeBoard.findings = {[list(reasons) for reasons in found]}"
        hurry = "from pytest_microcloud.session import measuring; measuring.PAUSE_S = 0.0"
        pytester.makeconftest(f"{CONFTEST}\n{findings}\n{hurry}\n{first}\n")
        pytester.makepyfile(test_desk=f"{dedent(MEASURED)}\n{dedent(tests)}")
        return run_fake(*arguments)

    return run


@pytest.fixture
def ends(run_fake: RunFake, pytester: pytest.Pytester) -> pytest.RunResult:
    """Run tests that end in every way, on a fake board: nothing is connected."""
    pytester.makepyfile(test_desk=ENDS)
    (pytester.path / "mine.toml").write_text(
        '[limits.pi3b.io]\nmemory_time = { max = 1000.0, source = "my patience" }\n'
    )
    return run_fake("-v", "--junitxml=junit.xml", "-o", "microcloud_catalog=mine.toml")
