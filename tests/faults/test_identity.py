"""A board that differs from hosts.ini: its tests error before anything is started on it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from pytest_microcloud.errors import BoardError, WrongBoard
from tests.support.machines import PI_2

if TYPE_CHECKING:
    from tests.support.real import RealBoard, RealBoards

pytestmark = pytest.mark.engine

PATIENCE_S = 180.0
NAMED = (
    "the inventory says Raspberry Pi 3 Model B (pi3b), but the board is a Raspberry Pi 2 Model B, 1024 MB "
    "(pi2b, by its revision code a01041): put it into the group [pi2b]"
)
SUITE = """\
def test_plain(host):
    assert host.file("/etc/hostname").exists

def test_board(board): ...

def test_serving(serve):
    serve("httpd", "docker")
"""


@pytest.fixture(scope="module")
def pi_2(real_boards: RealBoards) -> Iterator[RealBoard]:
    board = real_boards.new("shelf", cpuinfo=PI_2)
    yield board
    board.remove()


def test_a_pi_2_that_hosts_ini_calls_a_pi3b_is_refused_and_nothing_is_started(
    pi_2: RealBoard, tmp_path: Path
) -> None:
    before = pi_2.state()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "hosts.ini").write_text(f"[pi3b]\n{pi_2.inventory_line()}\n")
    (tmp_path / "test_suite.py").write_text(SUITE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--hosts=pi3b", "--junitxml=junit.xml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    message = done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, message
    assert "3 errors" in message
    assert f"WrongBoard: shelf: {NAMED}" in message
    suite = ElementTree.parse(tmp_path / "junit.xml").find("testsuite")  # noqa: S314 - pytest wrote it
    assert suite is not None
    assert (suite.get("tests"), suite.get("errors"), suite.get("failures")) == ("3", "3", "0")
    assert NAMED in (tmp_path / "reports" / "feasibility.html").read_text().replace("&#x27;", "'")
    assert pi_2.changes_since(before) == []


def test_the_same_board_in_the_right_group_is_accepted_with_its_fingerprint(pi_2: RealBoard) -> None:
    rack = pi_2.in_rack("pi2b")
    facts = rack.board("shelf").facts
    rack.close()
    assert facts.identity is not None
    assert (facts.identity.model, facts.identity.pcb, facts.identity.soc) == ("pi2b", "1.1", "BCM2836")
    assert (facts.revision_code, facts.serial) == ("a01041", "00000000feedface")


def test_a_refused_board_is_refused_again_without_a_connection(pi_2: RealBoard) -> None:
    rack = pi_2.in_rack("pi3b")
    with pytest.raises(WrongBoard):
        rack.board("shelf")
    with pytest.raises(BoardError) as expected:
        rack.board("shelf")
    assert expected.value.what == NAMED
