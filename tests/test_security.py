"""Hostile text becomes no markup, and no secret is shown: a whole run against a real board."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from tests.support.machines import PI_2

if TYPE_CHECKING:
    from tests.support.real import RealBoard, RealBoards

pytestmark = pytest.mark.engine

PATIENCE_S = 240.0
OWN = "document.documentElement.dataset.owned=1"
HOSTILE = f"""</td></script><script>{OWN}</script><img src=x onerror="{OWN}"><svg onload="{OWN}">"'&amp;"""
IN_A_NAME = f"<img src=x onerror={OWN}>"
OS_RELEASE = f"PRETTY_NAME='{HOSTILE.replace(chr(39), '')}'\nHYPRIOT_IMAGE_VERSION='<script>'\n"
CPUINFO = PI_2.replace("a01041", "<script>")
SERIAL = "00000000feedface"
SECRETS = {
    "ansible_password": "horse-battery-1",
    "ansible_become_password": "horse-battery-2",
    "gateway_private_key": "-----BEGIN OPENSSH PRIVATE KEY----- horse-battery-3",
    "pdu_token": "horse4",
}
POWER = "curl -u admin:horse-battery-5 --token horse-battery-6 http://me:horse-battery-7@127.0.0.1:1/"
ENVIRONMENT = {
    "SSHPASS": "horse-battery-8",
    "API_TOKEN": "horse9",
    "GIT_URL": "https://ci:horse-battery-10@git.example.org/boards.git",
    "CI_COMMIT_REF_NAME": HOSTILE,
}
HORSES = re.compile(r"horse(-battery-)?\d+")
HOSTILE_SUITE = f"""\
    import logging
    import pytest
    from pytest_microcloud import BoardError
    from pytest_microcloud.measurement import Measurement

    HOSTILE = {HOSTILE!r}

    @pytest.mark.parametrize("text", [{IN_A_NAME!r}, HOSTILE])
    def test_of_a_name(board, text):
        print(HOSTILE)
        logging.getLogger(HOSTILE).error(HOSTILE)

    def test_that_fails(board):
        assert HOSTILE == "harmless", HOSTILE

    def test_that_is_skipped(board):
        pytest.skip(HOSTILE)

    def test_of_a_board_that_breaks(board):
        raise BoardError(board.name, HOSTILE + "\\x1b]0;owned\\x07")

    def test_of_what_the_board_says(host):
        host.run("logger of serial {SERIAL} from 192.0.2.77")
        assert not host.run("cat /etc/os-release").stdout

    def test_that_measures(measure):
        measure(lambda: [Measurement("io.memory_time", [0.1], {{HOSTILE: HOSTILE}}, reason=HOSTILE)])

    @pytest.fixture
    def teardown():
        yield
        print(HOSTILE, "192.0.2.77")
        raise RuntimeError(HOSTILE)

    def test_of_a_teardown(teardown, board): ...
    """
TELLING_SUITE = """\
    import dataclasses
    import os
    import pytest
    from pytest_microcloud import BoardError
    from pytest_microcloud.measurement import Measurement

    def test_that_shows_its_locals(board):
        target = board.target
        variables = dict(target.variables)
        environment = {name: os.environ[name] for name in ("SSHPASS", "API_TOKEN", "GIT_URL")}
        power = target.power_cycle
        raise RuntimeError(str(variables))

    def test_that_compares(board):
        assert board.target == dataclasses.replace(board.target, variables={})

    def test_that_says(board):
        print(board.target, dict(board.target.variables), board.target.power_cycle)
        pytest.fail(os.environ["SSHPASS"])

    def test_that_is_skipped(board):
        pytest.skip(os.environ["API_TOKEN"])

    def test_of_a_board_that_breaks(board):
        raise BoardError(board.name, f"`{board.target.power_cycle}` exited with 7")

    def test_that_cuts_the_power(board):
        board.reboot()

    def test_that_measures(board, measure):
        secret = board.target.variables["ansible_password"]
        measure(lambda: [Measurement("io.memory_time", [0.1], reason=secret)])
    """


class Page(HTMLParser):
    """The elements of a page and the names of their attributes."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.blob = ""
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attributes}
        self.blob = next((value or "" for name, value in attributes if name == "data-jsonblob"), self.blob)


@pytest.fixture(scope="module")
def hostile(real_boards: RealBoards) -> Iterator[RealBoard]:
    board = real_boards.new("hostile", os_release=OS_RELEASE, cpuinfo=CPUINFO)
    yield board
    board.remove()


def run(project: Path, board: RealBoard, suite: str, *arguments: str, **variables: str) -> str:
    """Run a suite against the board with all that is hostile or secret around it; return what pytest said."""
    (project / "pytest.ini").write_text("[pytest]\nmicrocloud_catalog = own.toml\n")
    (project / "own.toml").write_text(f'[boards.mine]\nname = {json.dumps(HOSTILE)}\nlike = "pi3b"\n')
    (project / "hosts.ini").write_text(f"[mine]\n{board.inventory_line(**variables)}\n")
    (project / "test_suite.py").write_text(dedent(suite))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--hosts=mine", "-vv", "-rA", "--junitxml=junit.xml", *arguments],
        cwd=project,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, said
    assert "INTERNALERROR" not in said
    return said


@pytest.fixture(scope="module")
def of_the_hostile(hostile: RealBoard, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    project = tmp_path_factory.mktemp("hostile")
    return project, run(project, hostile, HOSTILE_SUITE)


@pytest.fixture(scope="module")
def of_the_secretive(hostile: RealBoard, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    project = tmp_path_factory.mktemp("secretive")
    return project, run(
        project, hostile, TELLING_SUITE, "--showlocals", **SECRETS, microcloud_power_cycle=POWER
    )


def page_of(project: Path) -> Path:
    return project / "reports" / "feasibility.html"


def shown_on_the_page(project: Path) -> str:
    """Return the page as it stands, as a browser reads it, and what is attached to it."""
    blob = Page(page_of(project)).blob
    attached = [base64.b64decode(text).decode() for text in re.findall(r";base64,([\w+/=]+)", blob)]
    return "\n".join([page_of(project).read_text(), blob, *attached])


def everything(project: Path) -> str:
    """Return all that a run wrote into its project."""
    wrote = [file for file in (project / "reports" / "runs").rglob("*") if file.is_file()]
    texts = [file.read_text() for file in (*wrote, project / "junit.xml")]
    return "\n".join([*texts, shown_on_the_page(project)])


def browsed(page: Path, directory: Path) -> str:
    """Return the page as a browser has it once its scripts have run."""
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom")
    done = subprocess.run(
        ["chromium", *options, f"--user-data-dir={directory / 'profile'}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return done.stdout


def owned(dom: str) -> bool:
    return re.search(r"<html[^>]*data-owned", dom) is not None


def test_hostile_text_becomes_no_markup_in_the_page(of_the_hostile: tuple[Path, str]) -> None:
    project, _ = of_the_hostile
    page = Page(page_of(project))
    assert page.elements.count("script") == 4, "pytest-html's own, and three that draw the figure"
    assert "svg" not in page.elements
    assert {"onerror", "onload"}.isdisjoint(page.attributes)
    assert page_of(project).read_text().count("&lt;script&gt;") > 5, "and all of it is shown"


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium")
def test_no_script_of_a_board_or_a_test_runs_in_a_browser(
    of_the_hostile: tuple[Path, str], tmp_path: Path
) -> None:
    project, _ = of_the_hostile
    harmful = tmp_path / "harmful.html"
    harmful.write_text(
        f"<div id=x></div><script>document.getElementById('x').innerHTML = {IN_A_NAME!r}</script>"
    )
    assert owned(browsed(harmful, tmp_path)), "the text would harm a page that takes it for markup"
    dom = browsed(page_of(project), tmp_path)
    assert not owned(dom)
    assert dom.count('class="col-testId"') >= 8, "pytest-html's scripts did run"
    assert dom.count("&lt;img src=x onerror=") > 5


def test_control_characters_of_a_board_reach_no_terminal(of_the_hostile: tuple[Path, str]) -> None:
    _, said = of_the_hostile
    assert "\x1b]" not in said
    assert "\x07" not in said


def test_the_page_is_without_addresses_and_serial_numbers(
    of_the_hostile: tuple[Path, str], hostile: RealBoard
) -> None:
    project, _ = of_the_hostile
    logs = [file.read_text() for file in (project / "reports" / "runs").rglob("*.log")]
    assert any("of serial [masked] from [masked]" in log for log in logs)
    for text in (shown_on_the_page(project), *logs):
        for private in (hostile.address, SERIAL, "192.0.2.77"):
            assert private not in text


def test_the_page_has_addresses_and_serial_numbers_where_they_are_asked_for(
    hostile: RealBoard, tmp_path: Path
) -> None:
    suite = "def test_that_fails(board):\n    assert board.address == ''\n"
    run(tmp_path, hostile, suite, "--microcloud-identify")
    page = page_of(tmp_path).read_text()
    assert hostile.address in page
    assert SERIAL in page


def test_no_key_is_in_what_a_run_says_and_writes(of_the_secretive: tuple[Path, str]) -> None:
    project, said = of_the_secretive
    for text in (said, everything(project)):
        assert [found[0] for found in HORSES.finditer(text)] == []
        assert "[masked]" in text


@pytest.mark.parametrize(
    "line",
    [
        "desk ansible_password=correct horse4 ansible_port=22",
        'desk ansible_password="correct horse-battery-1',
        "desk\n[pi3b:vars]\nansible_password horse-battery-1 horse-battery-2",
        "desk ansible_become_password=horse-battery-1 ansible_port=horse",
    ],
)
def test_no_password_is_quoted_from_an_inventory_that_cannot_be_used(tmp_path: Path, line: str) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "hosts.ini").write_text(f"[pi3b]\n{line}\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--hosts=pi3b", "--microcloud-plan"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert HORSES.search(done.stdout + done.stderr) is None
    assert "hosts.ini: " in done.stderr


def test_the_text_around_a_secret_is_shown(of_the_secretive: tuple[Path, str]) -> None:
    project, said = of_the_secretive
    assert "BoardError: hostile: `curl -u [masked] --token [masked] http://[masked]@127.0.0.1:1/`" in said
    (run_file,) = (project / "reports" / "runs").glob("*.json")
    document = json.loads(run_file.read_text())
    (measurement,) = document["benchmarks"][0]["extra_info"]["microcloud"]["measurements"]
    assert measurement["samples"] == [0.1]
    assert document["machine_info"]["microcloud"]["boards"]["hostile"]["serial"] == SERIAL
