"""A board that dies during a run: the experiment ends with the cause, and the other boards continue."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.boards import board as boards
from pytest_microcloud.boards import rack as racks
from pytest_microcloud.boards.drivers.container import ContainerDriver
from pytest_microcloud.errors import BoardError, InvalidMeasurement
from pytest_microcloud.experiments import hosting, io, serving
from pytest_microcloud.experiments.deploy import deploy, docker_server

if TYPE_CHECKING:
    from docker import DockerClient

    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.boards.rack import Rack
    from pytest_microcloud.catalog import Catalog
    from tests.conftest import NewRack, NewRealBoard
    from tests.support.real import RealBoard

pytestmark = [pytest.mark.engine, pytest.mark.long]

AT_MOST_S = 90.0
"""Timeout for an experiment on a lost board to end; ssh needs half a minute to detect the loss."""

Fault = Callable[["RealBoard"], object]
Network = Callable[[str], None]


@pytest.fixture
def desk(new_real_board: NewRealBoard) -> RealBoard:
    return new_real_board("desk", others_containers=1)


@pytest.fixture
def rack(desk: RealBoard) -> Iterator[Rack]:
    with closing(desk.in_rack()) as rack:
        yield rack


def when(board: Board, expected: str, do: Callable[[], object]) -> None:
    """Call a function once, in parallel to the experiment, when it reports that text."""
    usual, done = board.say, threading.Event()

    def say(text: str) -> None:
        usual(text)
        if expected in text and not done.is_set():
            done.set()
            threading.Thread(target=do, daemon=True).start()

    board.say = say


def disk(board: Board) -> None:
    io.disk(board, size=4096, repetitions=1000, seconds=0.5)


def ended_with_an_error(experiment: Callable[[], object]) -> BoardError:
    started = time.monotonic()
    with pytest.raises(BoardError) as caught:
        experiment()
    assert time.monotonic() - started < AT_MOST_S
    return caught.value


def test_a_board_that_reboots_by_itself_is_brought_back_clean(desk: RealBoard, rack: Rack) -> None:
    before = desk.state()
    board = rack.board("desk")
    number = board.boot
    when(board, "disk read 4KiB: 2 of", lambda: desk.shell("systemctl reboot", check=False))
    error = ended_with_an_error(lambda: disk(board))
    assert "connection broke" in error.what
    assert rack.diagnose("desk") == "rebooted by itself"
    assert board.boot == number + 1
    assert rack.board("desk").link.run(f"ls {io.DIRECTORY}", check=False).status != 0
    rack.close()
    assert desk.changes_since(before) == []


def test_a_reboot_between_two_tests_is_noticed_before_the_second(
    desk: RealBoard, rack: Rack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(racks, "FRESH_S", 0.0)
    board = rack.board("desk")
    number = board.boot
    desk.reboot()
    assert rack.board("desk").boot == number + 1


def test_a_board_whose_network_is_gone_is_released_and_the_next_run_cleans_it(
    desk: RealBoard, rack: Rack, host_engine: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boards, "RECOVERY_S", 3.0)
    before = desk.state()
    board = rack.board("desk")
    (name,) = desk.container.attrs["NetworkSettings"]["Networks"]
    network = host_engine.networks.get(name)
    when(board, "disk read 4KiB: 2 of", lambda: network.disconnect(desk.container))
    ended_with_an_error(lambda: disk(board))
    happened = rack.diagnose("desk")
    assert happened.startswith("was lost (the SSH connection broke")
    assert "does not come back: " in happened
    with monkeypatch.context() as patch:
        for way in ("open", "run", "docker"):
            patch.setattr(board.link, way, None)  # it is not tried any more
        for _ in range(3):
            with pytest.raises(BoardError, match=r"desk: was lost .* does not come back"):
                rack.board("desk")
        assert rack.diagnose("desk") == ""
    network.connect(desk.container, ipv4_address=desk.address)
    with closing(desk.in_rack()) as following:
        following.board("desk")
    assert desk.changes_since(before) == []


def test_a_board_that_hangs_is_brought_back_by_cutting_its_power(
    desk: RealBoard, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boards, "RECOVERY_S", 3.0)
    with closing(desk.in_rack(microcloud_power_cycle=f"docker restart -t 0 {desk.container.name}")) as rack:
        board = rack.board("desk")
        with docker_server(deploy(board, catalog.workload("httpd"))) as server:
            when(board, "serving docker: 100000", desk.container.pause)
            ended_with_an_error(lambda: serving.load(server, clients=20, requests=100_000))
            assert rack.diagnose("desk") == "rebooted by itself"
        assert [c.name for c in rack.board("desk").docker.containers.list()] == ["theirs-1"]


def test_an_emulated_board_that_hangs_is_powered_on_again(
    new_rack: NewRack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boards, "RECOVERY_S", 3.0)
    with closing(new_rack("frozen")) as rack:
        board = rack.board("frozen")
        assert isinstance(board.driver, ContainerDriver)
        board.driver.container.pause()
        ended_with_an_error(lambda: disk(board))
        assert rack.diagnose("frozen") == "rebooted by itself"
        assert rack.board("frozen").docker.ping()


def test_an_emulated_board_that_is_killed_is_powered_on_again_at_once(
    new_rack: NewRack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boards, "RECOVERY_S", 1e6)  # nothing waits for a board that cannot come back
    with closing(new_rack("killed")) as rack:
        board = rack.board("killed")
        assert isinstance(board.driver, ContainerDriver)
        board.driver.container.kill()
        ended_with_an_error(lambda: disk(board))
        assert board.trouble() == "its container has ended"
        assert rack.diagnose("killed") == "rebooted by itself"
        assert rack.board("killed").docker.ping()


def test_an_emulated_board_that_is_removed_is_lost(new_rack: NewRack) -> None:
    with closing(new_rack("removed")) as rack:
        board = rack.board("removed")
        assert isinstance(board.driver, ContainerDriver)
        board.driver.container.remove(force=True)
        ended_with_an_error(lambda: disk(board))
        assert "was lost (its container is gone) and does not come back" in rack.diagnose("removed")


@pytest.mark.parametrize("expected", ["hosting httpd: 2 containers", "hosting httpd: 0 containers"])
def test_an_engine_that_is_killed_and_comes_back_is_a_result_of_the_filling(
    desk: RealBoard, rack: Rack, catalog: Catalog, expected: str
) -> None:
    board = rack.board("desk")
    deployment = deploy(board, catalog.workload("httpd"))
    when(board, expected, lambda: desk.shell("systemctl kill -s KILL docker"))
    seen = {m.metric: m for m in hosting.fill(deployment, at_most=4)}
    assert "hosting.containers" in seen
    assert rack.diagnose("desk") == ""
    assert [c.name for c in board.docker.containers.list(all=True)] == ["theirs-1"]


@pytest.mark.parametrize("cut", ["the controller's ssh", "the board's sshd"])
def test_a_filling_whose_connection_breaks_has_no_result(
    desk: RealBoard, rack: Rack, catalog: Catalog, cut: str
) -> None:
    board = rack.board("desk")
    deployment = deploy(board, catalog.workload("httpd"))
    (master,) = masters(rack.workspace.path)
    cuts: dict[str, Callable[[], object]] = {
        "the controller's ssh": lambda: os.kill(master, signal.SIGKILL),
        "the board's sshd": lambda: desk.shell("pkill -KILL -f '[s]shd: root@'"),
    }
    when(board, "hosting httpd: 2 containers", cuts[cut])
    expected = "desk: the connection to the board broke during the filling, after [2-9] containers"
    with pytest.raises(InvalidMeasurement, match=expected):
        hosting.fill(deployment)
    assert rack.diagnose("desk") == ""
    assert [c.name for c in board.docker.containers.list(all=True)] == ["theirs-1"]


def masters(directory: Path) -> list[int]:
    """Return the processes of the connections of a run with that directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if b"\0-M\0-S\0%s/" % bytes(directory) in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def test_an_engine_that_does_not_come_back_is_reported(
    desk: RealBoard, rack: Rack, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boards, "RECOVERY_S", 3.0)
    monkeypatch.setattr(hosting, "RECOVERY_S", 3.0)
    board = rack.board("desk")
    deployment = deploy(board, catalog.workload("httpd"))
    when(board, "hosting httpd: 2 containers", lambda: desk.shell("systemctl stop docker.socket docker"))
    ended_with_an_error(lambda: hosting.fill(deployment))
    assert "does not come back: " in rack.diagnose("desk")
    desk.shell("systemctl start docker.socket docker")


FULL = "mount -t tmpfs -o size=2m none /var/tmp"
READ_ONLY = "mount -o bind /var /var && mount -o remount,bind,ro /var"


@pytest.mark.parametrize(
    ("fault", "expected", "mended"),
    [
        (FULL, "its disk is full", "umount -l /var/tmp"),
        (READ_ONLY, "its disk has become read-only", "umount -l /var"),
    ],
    ids=["full", "read-only"],
)
def test_a_full_or_read_only_disk_is_reported(
    desk: RealBoard, rack: Rack, fault: str, expected: str, mended: str
) -> None:
    board = rack.board("desk")
    io.disk(board, size=4096, repetitions=1, seconds=0.1)
    desk.shell(fault)
    if expected.endswith("full"):
        desk.shell("head -c 4m /dev/zero > /var/tmp/full", check=False)
    error = ended_with_an_error(lambda: disk(board))
    assert "No space left" in error.what or "Read-only file system" in error.what
    assert rack.diagnose("desk") == expected
    desk.shell(mended)


def test_a_board_that_runs_out_of_memory_is_reported(new_real_board: NewRealBoard) -> None:
    small = new_real_board("small", memory=400 * 2**20)
    with closing(small.in_rack()) as rack:
        board = rack.board("small")
        error = ended_with_an_error(lambda: board.link.run("tail /dev/zero"))
        assert "exited with 137" in error.what
        assert rack.diagnose("small") == "it ran out of memory, and the kernel killed processes"


def test_the_logs_are_those_since_the_run_began_and_of_the_new_boot(
    desk: RealBoard, rack: Rack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(racks, "FRESH_S", 0.0)
    desk.shell("logger -t tests before the run")
    board = rack.board("desk")
    desk.shell("logger -t tests in the run")
    log = board.logs.log()
    assert "in the run" in log
    assert "before the run" not in log
    desk.reboot()
    assert "== journal of this boot" in rack.board("desk").logs.log()


SUITE = """
    import pytest

    from pytest_microcloud.experiments import io

    @pytest.mark.experiment("io")
    def test_before(board, measure):
        measure(io.memory, board, size=4096, repetitions=1, seconds=1)

    @pytest.mark.experiment("io")
    def test_dies(board, measure):
        if board.name == "desk":
            board.link.run("echo a very private 192.0.2.77 | systemd-cat; systemctl reboot", root=True)
        measure(io.disk, board, size=4096, repetitions=20, seconds=0.5)

    def test_plain(host):
        assert host.service("docker").is_running
    """


def test_the_session_reports_a_reboot_in_one_sentence_and_continues(
    desk: RealBoard, real_board: RealBoard, pytester: pytest.Pytester
) -> None:
    pytester.makeini("[pytest]\n")
    lines = [desk.inventory_line(), real_board.inventory_line()]
    (pytester.path / "hosts.ini").write_text("\n".join(["[pi3b]", *lines]) + "\n")
    pytester.makepyfile(dedent(SUITE))
    done = pytester.runpytest_subprocess("--hosts=all", "-rA")
    done.assert_outcomes(passed=5, errors=1)
    done.stdout.fnmatch_lines(["*Error: desk: rebooted by itself: *"])
    (file,) = (pytester.path / "reports" / "runs").glob("*.json")
    stored = [
        (b["name"], b["extra_info"]["microcloud"]["board"])
        for b in json.loads(file.read_text())["benchmarks"]
    ]
    assert {board for name, board in stored if name.startswith("test_before")} == {"desk", "real"}
    logs = file.with_suffix("")
    assert sorted(path.name for path in logs.iterdir()) == ["desk.log", "real.log"]
    assert "== journal" in (logs / "desk.log").read_text()
    assert "192.0.2.77" not in "".join(path.read_text() for path in logs.iterdir())
    page = Path(pytester.path / "reports" / "feasibility.html").read_text()
    assert "log of desk" in page
