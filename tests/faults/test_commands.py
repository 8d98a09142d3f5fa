"""testinfra's own commands on a board, in a session: a command that does not end, and a broken connection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from tests.support.ended import started

if TYPE_CHECKING:
    from tests.conftest import NewRealBoard

pytestmark = [pytest.mark.engine, pytest.mark.slow]

Outcome = Callable[[str], tuple[int, str]]

SUITE = """\
    def test_plainly(host):
        assert host.check_output("[[ a == %s ]] && id -un", "a") == "pirate"  # by the login shell, as usual
        with host.sudo():
            assert host.check_output("id -un") == "root"

    def test_endless(host):
        host.run("echo started; sleep %s", "600")

    def test_endless_as_root(host):
        with host.sudo():
            host.run("sleep %s", "601")

    def test_failing(host):
        assert host.run("exit 124").rc == 124

    def test_cut_off(host):
        with host.sudo():
            host.run("pkill -9 -x sshd; pkill -9 -f 'sshd: pirate'; sleep 5")
    """


@pytest.fixture
def outcome(tmp_path: Path, new_real_board: NewRealBoard) -> Outcome:
    """Run a test against a board whose commands get two seconds."""
    desk = new_real_board("desk", user="pirate")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmicrocloud_command_timeout = 2\n")
    (tmp_path / "hosts.ini").write_text(f"[pi3b]\n{desk.inventory_line()}\n")
    (tmp_path / "test_suite.py").write_text(dedent(SUITE))

    def run(test: str) -> tuple[int, str]:
        with started(tmp_path, "desk", test) as run:
            status = run.wait()
        assert "sleep 60" not in desk.shell("ps -eo args", check=False)
        return status, run.output

    return run


def test_a_command_that_does_not_end_is_ended_and_an_error_that_quotes_it(outcome: Outcome) -> None:
    status, message = outcome("endless")
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "2 errors in" in message
    assert (
        "desk: did not finish `echo started; sleep 600` within 2 s (--microcloud-command-timeout" in message
    )
    assert "desk: did not finish `sleep 601` within 2 s" in message


def test_a_command_that_ends_has_testinfras_usual_result(outcome: Outcome) -> None:
    status, message = outcome("plainly or failing")
    assert (status, "2 passed" in message) == (pytest.ExitCode.OK, True), message


def test_a_connection_that_breaks_during_a_command_is_an_error_and_not_a_failure(outcome: Outcome) -> None:
    status, message = outcome("cut_off")
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "1 error in" in message
    assert "Traceback" not in message
    assert "RuntimeError" not in message
