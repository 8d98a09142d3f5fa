"""The benchmarks, one function each: what this plugin costs, and how accurate an emulated board is."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.emulated import Recorded, announce
from benchmarks.pairs import Pair, alternate
from benchmarks.row import Row
from pytest_microcloud.boards.board import Board
from pytest_microcloud.boards.drivers.container import calibration
from pytest_microcloud.boards.health import Watch
from pytest_microcloud.boards.link import Link
from pytest_microcloud.catalog import Catalog
from pytest_microcloud.controller.workspace import Workspace, new_run_id
from pytest_microcloud.errors import BoardError
from pytest_microcloud.experiments import hosting, serving
from pytest_microcloud.experiments.deploy import deploy, docker_server
from pytest_microcloud.experiments.load import ab_arguments

if TYPE_CHECKING:
    from docker import DockerClient
    from testinfra.host import Host

WORKLOAD = "httpd"
COMMANDS = 20
PINGS = 100
CLIENTS = 50
TESTS = 50
DEADLINE_S = 1800.0


def collecting(pairs: int) -> Row:
    """Measure how much longer pytest collects unrelated tests with this plugin than without it."""
    with tempfile.TemporaryDirectory(prefix="microcloud-bench-") as directory:
        project = Path(directory)
        (project / "pytest.ini").write_text("[pytest]\n")
        tests = "\n\n".join(f"def test_{number}():\n    assert {number} >= 0" for number in range(TESTS))
        (project / "test_unrelated.py").write_text(tests + "\n")

        def collect(*options: str) -> float:
            started = time.monotonic()
            subprocess.run(
                [sys.executable, "-m", "pytest", "--collect-only", "-q", *options],
                cwd=project,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            return time.monotonic() - started

        took = alternate(lambda: collect("-p", "no:microcloud"), collect, pairs)
    what = f"collecting {TESTS} unrelated tests: with the plugin - without"
    return Row(what, [pair.extra_ms for pair in took], " ms", _seconds(took), at_most=30)


def link(board: Board, pairs: int) -> Row:
    """Compare the time of commands and Docker pings over our link and over other connections.

    The other connections are those that testinfra and docker-py open by themselves. Both times include
    connecting.
    """
    import docker
    import testinfra

    endpoint = board.link.endpoint
    work = Workspace(new_run_id())
    work.open()
    home = work.path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "known_hosts").write_text(f"{endpoint.address} {endpoint.host_key}\n")
    config = home / ".ssh" / "config"
    config.write_text(
        f"Host {board.name}\n  HostName {endpoint.address}\n  User {endpoint.user}\n"
        f"  IdentityFile {endpoint.identity_file}\n  UserKnownHostsFile {home}/.ssh/known_hosts\n"
    )

    def use(host: Host, engine: DockerClient) -> None:
        for _ in range(COMMANDS):
            host.check_output("true")
        for _ in range(PINGS):
            engine.ping()

    def bare() -> float:
        announce(board.name, f"link: {COMMANDS} commands, {PINGS} pings")
        started = time.monotonic()
        host = testinfra.get_host(f"ssh://{board.name}", ssh_config=str(config))
        with _home(home), closing(docker.DockerClient(base_url=f"ssh://{board.name}")) as engine:
            use(host, engine)
        return time.monotonic() - started

    def ours() -> float:
        started = time.monotonic()
        own = Link(board.name, 0, work.path)
        try:
            own.open(endpoint, timeout_s=DEADLINE_S, again=False)
            host = testinfra.get_host(f"ssh://{board.name}?controlpersist=0", ssh_config=str(work.ssh_config))
            use(host, own.docker())
        finally:
            own.close()
        return time.monotonic() - started

    try:
        took = alternate(bare, ours, pairs)
    finally:
        work.close()
    what = f"{COMMANDS} commands and {PINGS} Docker pings: our link / testinfra's and docker-py's own"
    return Row(what, [pair.ratio for pair in took], "", _seconds(took), at_most=0.2)


@contextmanager
def _home(directory: Path) -> Iterator[None]:
    """Set HOME to a directory for the duration of the block, so that docker-py reads its `.ssh`."""
    before = os.environ.get("HOME")
    os.environ["HOME"] = str(directory)
    try:
        yield
    finally:
        if before is None:
            del os.environ["HOME"]
        else:
            os.environ["HOME"] = before


def serving_load(board: Board, catalog: Catalog, pairs: int, requests: int) -> Row:
    """Compare the time of `serving.load` on a watched board with that of a plain ab with equal arguments."""
    program = shutil.which("ab")
    if program is None:
        raise BoardError(board.name, "cannot be put under load: ab is not installed on this machine")
    with (
        docker_server(deploy(board, catalog.workload(WORKLOAD))) as server,
        tempfile.TemporaryDirectory(prefix="microcloud-bench-") as directory,
    ):
        same = ab_arguments(
            server.url, requests=requests, clients=CLIENTS, table=Path(directory) / "requests.tsv"
        )

        def bare() -> float:
            announce(board.name, f"serving: {requests} requests from {CLIENTS} clients")
            started = time.monotonic()
            subprocess.run([program, *same], check=True, capture_output=True, timeout=DEADLINE_S)
            return time.monotonic() - started

        def ours() -> float:
            started = time.monotonic()
            with Watch(board):
                serving.load(server, clients=CLIENTS, requests=requests)
            return time.monotonic() - started

        took = alternate(bare, ours, pairs)
    what = f"serving {requests} requests from {CLIENTS} clients: watched serving.load / ab"
    return Row(what, [pair.ratio for pair in took], "", _seconds(took), at_most=1.1)


def hosting_fill(board: Board, catalog: Catalog, progress: Recorded, pairs: int, containers: int) -> Row:
    """Compare the time of `hosting.fill` with that of a loop of `docker run` on the board.

    Our time, on a watched board, runs from the call until the last container has responded and has been
    measured. It includes starting each container, waiting for its response, and reading memory and disk. It
    excludes the requests to all containers at the end. The loop only starts containers, without waiting for
    responses. Neither time includes removing the containers.
    """
    workload = catalog.workload(WORKLOAD)
    deployment = deploy(board, workload)
    loop = (
        f"for _ in $(seq {containers}); do docker run -d -p {workload.port} {deployment.image} || exit; done"
    )

    def bare() -> float:
        announce(board.name, f"hosting: {containers} containers")
        board.link.run("sync", timeout_s=DEADLINE_S)
        started = time.monotonic()
        said = board.link.run(loop, timeout_s=DEADLINE_S).stdout
        took = time.monotonic() - started
        board.link.run(f"docker rm -fv {' '.join(said.split())}", timeout_s=DEADLINE_S)
        return took

    def ours() -> float:
        board.link.run("sync", timeout_s=DEADLINE_S)
        started = time.monotonic()
        with Watch(board, expected=["load"]):
            hosting.fill(deployment, at_most=containers)
        return progress.last(hosting.REQUESTING) - started

    took = alternate(bare, ours, pairs)
    what = f"hosting {containers} × {WORKLOAD}: watched hosting.fill's filling / loop of docker run"
    return Row(what, [pair.ratio for pair in took], "", _seconds(took), at_most=1.05)


def sevenzip(board: Board, times: int) -> Row:
    """Compare the board's 7-Zip rating on all cores with the model's published rating."""
    model, threads = board.model, calibration.threads(board.model)
    ratings = []
    for _ in range(times):
        announce(board.name, f"7-Zip with {threads} threads")
        said = board.link.run(f"7z b -mmt{threads} -md22", timeout_s=DEADLINE_S).stdout
        total = re.search(r"^Tot:\s+\d+\s+\d+\s+(\d+)", said, re.MULTILINE)
        if total is None:
            raise BoardError(board.name, f"7z b printed no total: {said[-200:]}")
        ratings.append(float(total.group(1)))
    published = model.sevenzip_mips_all_cores
    return Row(
        f"7-Zip on an idle {model.id}, -mmt{threads} -md22: rating / published",
        [rating / published for rating in ratings],
        "",
        f"{statistics.median(ratings):.0f} MIPS / {published:.0f} MIPS, n={times}",
        within=0.10,
    )


def memory(board: Board) -> Row:
    """Compare the board's memory with the model's published memory."""
    seen, published = board.facts.memory_bytes, board.model.mem_total_bytes
    detail = f"{seen / 2**20:.1f} MiB / {published / 2**20:.1f} MiB"
    what = f"memory of {board.model.id}: reported / published"
    return Row(what, [seen / published], "", detail, within=0.02)


def _seconds(took: list[Pair]) -> str:
    ours = statistics.median(pair.ours_s for pair in took)
    bare = statistics.median(pair.bare_s for pair in took)
    return f"{ours:.2f} s / {bare:.2f} s, {len(took)} pairs"
