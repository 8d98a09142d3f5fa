"""The network of an emulated board: the kernel features that it uses, its rate and its round trip."""

from __future__ import annotations

import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.boards.drivers.container import ContainerDriver, network

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board

INIT = Path(network.__file__).parent / "network" / "network-init"
BOTH_WAYS = {"MICROCLOUD_RATE_BITS": "94000000", "MICROCLOUD_ROUND_TRIP_US": "20000"}

# Tools of a kernel that lacks what the words in LACKS name; each notes how it was called.
TOOL = """#!/bin/sh
echo "$(basename "$0") $*" >> calls
for word in $LACKS; do
    case " $(basename "$0") $* " in *" $word "*) exit 2 ;; esac
done
case "$(basename "$0") $1" in "delay-line $1") [ $# = 1 ] || echo ready ;; esac
"""
KERNELS = {
    "with all of it": ("", "netem", "tbf, matchall", []),
    "without cls_matchall": ("matchall", "netem", "tbf, u32", []),
    "without cls_matchall and cls_u32": ("matchall u32", "netem", "tbf, basic", []),
    "without sch_tbf": ("tbf", "netem", "htb, matchall", []),
    "without sch_netem": ("netem", "delay line", "tbf, matchall", []),
    "without sch_netem and legacy iptables": (
        "netem iptables-legacy",
        "delay line",
        "tbf, matchall",
        [],
    ),
    "without sch_netem and the raw table": ("netem raw", "delay line", "tbf, matchall", []),
    "without sch_netem and the xt target": (
        "netem iptables-legacy iptables-nft",
        "delay line",
        "tbf, matchall",
        [],
    ),
    "without sch_netem and netfilter queues": (
        "netem delay-line",
        "none",
        "tbf, matchall",
        ["round trip: this kernel has neither sch_netem nor netfilter queues"],
    ),
    "without ifb": (
        "ifb",
        "netem",
        "tbf, outgoing only",
        ["link rate towards the board: this kernel cannot redirect incoming packets"],
    ),
    "without any filter": (
        "matchall u32 basic",
        "netem",
        "tbf, outgoing only",
        ["link rate towards the board: this kernel cannot redirect incoming packets"],
    ),
    "without sch_tbf and sch_htb": (
        "tbf htb",
        "netem",
        "none",
        [
            "link rate: this kernel has neither sch_tbf nor sch_htb",
            "link rate towards the board: this kernel cannot redirect incoming packets",
        ],
    ),
}


def brought_up(directory: Path, lacks: str, **link: str) -> list[str]:
    """Return a network's report on a kernel without some features; `calls` lists the commands."""
    for tool in ("ip", "tc", "iptables-legacy", "iptables-nft", "nft", "delay-line", "sleep"):
        (directory / tool).write_text(TOOL)
        (directory / tool).chmod(0o755)
    environment = {"PATH": f"{directory}:/usr/bin:/bin", "LACKS": lacks, **link}
    done = subprocess.run(
        ["sh", str(INIT)],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize("kernel", KERNELS)
def test_each_means_of_a_kernel_is_tried_and_a_gap_remains_if_none_works(tmp_path: Path, kernel: str) -> None:
    lacks, round_trip, rate, gaps = KERNELS[kernel]
    lines = brought_up(tmp_path, lacks, **BOTH_WAYS)
    assert lines[0] == "starting"
    assert lines[-1] == "ready"
    assert f"means round_trip {round_trip}" in lines
    assert f"means rate {rate}" in lines
    assert [line.removeprefix("gap ") for line in lines if line.startswith("gap ")] == gaps


def test_a_link_without_rate_and_round_trip_is_left_alone(tmp_path: Path) -> None:
    lines = brought_up(tmp_path, "", MICROCLOUD_RATE_BITS="0", MICROCLOUD_ROUND_TRIP_US="0")
    assert lines == ["starting", "means round_trip none", "means rate none", "ready"]
    assert "tc " not in (tmp_path / "calls").read_text()


def test_netem_delays_half_of_the_round_trip_each_way(tmp_path: Path) -> None:
    brought_up(tmp_path, "", **BOTH_WAYS)
    calls = (tmp_path / "calls").read_text()
    assert "tc qdisc add dev eth0 parent 2:2 handle 1: netem delay 10000us" in calls
    assert "tc qdisc add dev upload parent 2:2 handle 1: netem delay 10000us" in calls


def test_netem_delays_all_of_it_on_the_way_out_where_the_way_in_cannot_be_shaped(tmp_path: Path) -> None:
    brought_up(tmp_path, "ifb", **BOTH_WAYS)
    assert (
        "tc qdisc add dev eth0 parent 2:2 handle 1: netem delay 20000us" in (tmp_path / "calls").read_text()
    )


def test_netem_delays_all_packets_if_the_kernel_cannot_classify_them(tmp_path: Path) -> None:
    brought_up(tmp_path, "prio", **BOTH_WAYS)
    assert "tc qdisc add dev eth0 root handle 1: netem delay 10000us" in (tmp_path / "calls").read_text()


on_an_engine = pytest.mark.engine


def driver_of(board: Board) -> ContainerDriver:
    assert isinstance(board.driver, ContainerDriver)
    return board.driver


def connect_s(board: Board, port: int = 22) -> float:
    """Return the time of a connection: the first quartile of 40, since the host may be busy."""
    took = []
    for _ in range(40):
        started = time.monotonic()
        socket.create_connection((board.address, port), timeout=10).close()
        took.append(time.monotonic() - started)
        time.sleep(0.02)
    return statistics.quantiles(took, n=4)[0]


@on_an_engine
def test_a_connection_takes_the_stated_round_trip(pi3b: Board) -> None:
    if driver_of(pi3b).emulated_by()["round_trip"] == "none":
        assert any(gap.startswith("round trip") for gap in pi3b.gaps)
        return
    assert pi3b.model.round_trip_s is not None
    assert connect_s(pi3b) == pytest.approx(pi3b.model.round_trip_s, abs=0.002)


@on_an_engine
def test_the_sessions_own_commands_are_not_delayed(pi3b: Board) -> None:
    assert connect_s(pi3b, network.CONTROL_PORT) < 0.002


@pytest.fixture
def meeting(pi3b: Board) -> Iterator[tuple[socket.socket, str]]:
    """A server on the controller, and the shell's path for a connection from the board to it."""
    with socket.create_connection((pi3b.address, 22), timeout=10) as there:
        own = there.getsockname()[0]
    with socket.create_server((own, 0)) as server:
        server.settimeout(20)
        yield server, f"/dev/tcp/{own}/{server.getsockname()[1]}"


def carried_bits_per_s(end: socket.socket, *, receive: bool) -> float:
    """Return the steady rate of a connection: the median of seven seconds after the first."""
    block, rates = b"x" * 65536, []
    for _ in range(8):
        count, started = 0, time.monotonic()
        while time.monotonic() < started + 1:
            count += len(end.recv(1 << 20)) if receive else end.send(block)
        rates.append(count * 8 / (time.monotonic() - started))
    return statistics.median(rates[1:])


@on_an_engine
@pytest.mark.parametrize("towards_the_board", [False, True], ids=["from the board", "towards the board"])
def test_the_link_carries_its_models_rate_each_way(
    pi3b: Board, meeting: tuple[socket.socket, str], *, towards_the_board: bool
) -> None:
    rate = driver_of(pi3b).emulated_by()["rate"]
    if rate == "none" or (towards_the_board and rate.endswith("outgoing only")):
        assert any(gap.startswith("link rate") for gap in pi3b.gaps)
        return
    server, path = meeting
    bulk = f"cat <{path} >/dev/null" if towards_the_board else f"cat /dev/zero >{path}"
    pi3b.link.run(f"timeout 15 bash -c '{bulk}' </dev/null >/dev/null 2>&1 &")
    with server.accept()[0] as end:
        end.settimeout(20)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        bits_per_s = carried_bits_per_s(end, receive=not towards_the_board)
    assert bits_per_s == pytest.approx(pi3b.model.ethernet_bits_per_s, rel=0.05)


@on_an_engine
def test_the_link_is_the_same_after_a_reboot(pi3b: Board) -> None:
    driver, before = driver_of(pi3b), connect_s(pi3b)
    address = driver.network.address()
    pi3b.reboot()
    pi3b.settle()
    assert driver.network.address() == address
    assert connect_s(pi3b) == pytest.approx(before, abs=0.002)
    links = pi3b.link.run("ip -brief link").stdout
    assert "docker0" in links
    assert "veth" not in links


@on_an_engine
def test_a_board_whose_network_ended_is_reported_as_unreachable_and_comes_back(pi3b: Board) -> None:
    driver = driver_of(pi3b)
    driver.network.container.kill()
    with pytest.raises(OSError, match=r"timed out|unreachable|refused"):
        socket.create_connection((pi3b.address, 22), timeout=1)
    part = "delay line" if driver.emulated_by()["round_trip"] == "delay line" else "network"
    assert pi3b.trouble() == f"its {part} ended (exit code 137), and no packet reaches the board"
    pi3b.revive()
    assert pi3b.trouble() == ""
    assert pi3b.link.run("echo back").stdout == "back\n"
