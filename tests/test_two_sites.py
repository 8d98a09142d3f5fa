"""Two sites with a gateway each: the load generator stands beside its boards, and nothing is left there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.real import RealBoards
from tests.support.site import PYTHON, Site, agent

pytestmark = pytest.mark.engine

SUITE = """\
import json
from pathlib import Path

import pytest
from pytest_microcloud import Measurement
from pytest_microcloud.experiments import serving

GATEWAYS = json.loads(Path(__file__).with_name("gateways.json").read_text())
pytestmark = pytest.mark.experiment("serving")


def test_login(board, host):
    client = host.run('echo "$SSH_CONNECTION"').stdout.split()[0]
    assert client == GATEWAYS[board.name]


def test_load(serve):  # not measured: a busy machine would starve the load generator
    assert serving.load(serve("httpd", "native"), clients=2, requests=20)


def test_measured(measure):
    measure(lambda: [Measurement("io.memory_time", [0.001], {"size": "4KiB"})])


def test_long(board, serve):
    server = serve("httpd", "native")
    board.link.run("touch /run/serves", root=True)
    while True:
        serving.load(server, clients=2, requests=20)
"""
ACCESS_LOG = "cat /var/log/apache2/*access.log"


@pytest.fixture(scope="module")
def sites(real_boards: RealBoards) -> Iterator[list[Site]]:
    if sys.base_prefix == "/usr":
        pytest.skip("the gateways share this Python's prefix, and cannot run with another machine's /usr")
    with ExitStack() as stack:
        made = []
        for name, board in (("rack1", "desk"), ("rack2", "shelf")):
            made.append(Site(real_boards, name, board))
            stack.callback(made[-1].remove)
        yield made


@pytest.fixture
def directory(sites: list[Site]) -> Iterator[Path]:
    """Return a project with a board at each site; its path is short, because an agent's socket is in it."""
    with tempfile.TemporaryDirectory(prefix="mc-sites-") as path:
        directory = Path(path)
        lines = ["[pi3b]", *(site.inventory_line() for site in sites)]
        (directory / "hosts.ini").write_text("\n".join([*lines, ""]))
        (directory / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
        (directory / "ssh_config").write_text("".join(site.ssh_config() for site in sites))
        (directory / "test_site.py").write_text(SUITE)
        gateways = {site.board.name: site.inner_address for site in sites}
        (directory / "gateways.json").write_text(json.dumps(gateways))
        yield directory


def command(directory: Path, sites: list[Site], *more: str) -> list[str]:
    workers = [f"--tx=ssh={site.name}//ssh_config={directory}/ssh_config//python={PYTHON}" for site in sites]
    return [sys.executable, "-m", "pytest", "--hosts=all", "-d", *workers, *more]


def test_each_board_is_driven_by_the_gateway_of_its_site_alone(sites: list[Site], directory: Path) -> None:
    one, other = sites
    assert one.reaches(one)
    assert not one.reaches(other)
    assert not other.reaches(one)
    before = [site.left() for site in sites]
    with agent(one.board.key, directory) as environment:
        done = subprocess.run(
            command(directory, sites, "-k", "not long"),
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert " 6 passed" in done.stdout, done.stdout + done.stderr
    (run_file,) = (directory / "reports" / "runs").glob("*.json")
    boards = json.loads(run_file.read_text())["machine_info"]["microcloud"]["boards"]
    assert {name: facts["load_from"] for name, facts in boards.items()} == {"desk": "rack1", "shelf": "rack2"}
    for site, there in zip(sites, before, strict=True):
        clients = {line.split()[0] for line in site.board.shell(ACCESS_LOG).splitlines()}
        assert clients == {site.inner_address}
        assert site.left_since(there, patience_s=0) == []


@pytest.mark.long
def test_nothing_is_left_of_a_session_whose_controller_is_killed(sites: list[Site], directory: Path) -> None:
    before = [(site.left(), site.board.state()) for site in sites]
    with agent(sites[0].board.key, directory) as environment, (directory / "output").open("w") as output:
        process = subprocess.Popen(
            command(directory, sites, "-k", "long"), cwd=directory, env=environment, stdout=output
        )
        try:
            deadline = time.monotonic() + 120
            while "no" in [site.board.shell("test -e /run/serves || echo no").strip() for site in sites]:
                assert process.poll() is None, (directory / "output").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.2)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        for site, (gateway, board) in zip(sites, before, strict=True):
            assert site.left_since(gateway, patience_s=90) == []
            site.board.shell("rm /run/serves")
            assert site.board.changes_since(board, patience_s=90) == []
