"""The page over all runs, as a session writes it."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.support import stored

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium")


@pytest.fixture
def session(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Run a session of one test with a board that nobody answers for."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pytester.makeini("[pytest]\n")
    line = f"desk ansible_host=127.0.0.1 ansible_port={port} microcloud_driver=ssh"
    (pytester.path / "hosts.ini").write_text(f"[pi3b]\n{line}\n")
    pytester.makepyfile(
        "from pytest_microcloud.measurement import Measurement\n"
        "def test_io(measure):\n    measure(lambda: [Measurement('io.memory_time', [0.1])])\n"
    )
    return lambda *arguments: pytester.runpytest_subprocess("--hosts=desk", *arguments)


def test_a_session_writes_the_page_over_all_runs_and_says_where(
    session: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    stored.write(pytester.path / "reports" / "runs", "20200101T000000-0000", "pi2b", boots=2)
    result = session()
    page = pytester.path / "reports" / "generations.html"
    assert page.is_file()
    assert "pi2b-emulated" in page.read_text(), "of an earlier run"
    place = result.outlines.index(f"page of all runs: {page.as_uri()}")
    assert "Generated html report" in result.outlines[place + 1]


@pytest.mark.parametrize("only", ["--microcloud-plan", "--collect-only"])
def test_a_session_that_measures_nothing_writes_no_page(
    session: Callable[..., pytest.RunResult], pytester: pytest.Pytester, only: str
) -> None:
    session(only)
    assert not (pytester.path / "reports").exists()


def test_a_page_that_cannot_be_written_is_named(
    session: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    (pytester.path / "reports" / "generations.html").mkdir(parents=True)
    result = session()
    result.stdout.fnmatch_lines(["*generations.html was not written: *"])
    assert "all runs:" not in result.stdout.str()
