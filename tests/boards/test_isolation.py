"""Root on an emulated board cannot change the host's kernel by accident."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.catalog import Catalog

pytestmark = pytest.mark.engine

# Each is written with the value that it has, so that a test that fails changes nothing.
OF_THE_HOST = [
    "/proc/sys/fs/file-max",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/pid_max",
    "/proc/sys/kernel/printk",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/swappiness",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/block/loop0/queue/read_ahead_kb",
]
FILE_SYSTEMS = ["configfs", "debugfs", "efivarfs", "pstore", "securityfs", "tracefs"]


@pytest.mark.parametrize("path", OF_THE_HOST)
def test_root_on_a_board_cannot_write_to_the_hosts_files(pi3b: Board, path: str) -> None:
    if not Path(path).exists():
        pytest.skip(f"this kernel has no {path}")
    before = Path(path).read_text()
    tried = pi3b.link.run(f"v=$(sed 's/.*\\[\\(.*\\)\\].*/\\1/' {path}) && echo \"$v\" > {path}", check=False)
    assert (tried.status != 0, Path(path).read_text()) == (True, before)
    assert "Read-only file system" in tried.stderr


def test_root_on_a_board_cannot_trigger_sysrq(pi3b: Board) -> None:
    assert pi3b.link.run("echo h > /proc/sysrq-trigger", check=False).status != 0


@pytest.mark.parametrize("kind", FILE_SYSTEMS)
def test_file_systems_that_configure_the_hosts_kernel_are_not_mounted(pi3b: Board, kind: str) -> None:
    assert f" {kind} " not in pi3b.link.run("cat /proc/self/mounts").stdout
    tried = pi3b.link.run(f"mkdir -p /run/there && mount -t {kind} none /run/there", check=False)
    assert tried.status != 0
    assert "refused: an emulated board shares the host's kernel" in tried.stderr
    assert f" {kind} " not in pi3b.link.run("cat /proc/self/mounts").stdout


def test_root_on_a_board_cannot_give_itself_the_hosts_disks(pi3b: Board) -> None:
    allow = "/sys/fs/cgroup/devices/devices.allow"
    tried = pi3b.link.run(f"[ -e {allow} ] && echo a > {allow}", check=False)
    assert tried.status != 0
    script = "mknod /dev/disk b $(cat /sys/block/*/dev | head -n 1 | tr : ' ') && head -c 1 /dev/disk"
    tried = pi3b.link.run(f"{script}; s=$?; rm -f /dev/disk; exit $s", check=False)
    assert tried.status != 0
    assert "Operation not permitted" in tried.stderr


def test_a_boards_own_sysctl_settings_change_the_board_and_not_the_host(pi3b: Board) -> None:
    panic, swappiness = (Path("/proc/sys") / name for name in ("kernel/panic", "vm/swappiness"))
    before = panic.read_text(), swappiness.read_text()
    own = "/proc/sys/net/ipv4/tcp_fin_timeout"
    host = Path(own).read_text()
    theirs = f"kernel.panic = {before[0].strip()}\nvm.swappiness = {before[1].strip()}\n"
    settings = f"{theirs}net.ipv4.tcp_fin_timeout = 42\n"
    pi3b.link.run(
        f"printf '{settings}' > /etc/sysctl.d/99-own.conf; systemctl restart systemd-sysctl", check=False
    )
    try:
        assert pi3b.link.run(f"cat {own}").stdout == "42\n"
        assert (panic.read_text(), swappiness.read_text(), Path(own).read_text()) == (*before, host)
        assert pi3b.link.run("sysctl -w kernel.hostname=shared").status == 0
    finally:
        undo = f"rm /etc/sysctl.d/99-own.conf; systemctl reset-failed; echo {host.strip()} > {own}"
        pi3b.link.run(undo)


def test_the_boards_own_engine_has_networks_and_limits(pi3b: Board, catalog: Catalog) -> None:
    from pytest_microcloud.experiments.deploy import deploy

    image = deploy(pi3b, catalog.workload("ruby")).image
    network = pi3b.docker.networks.create("own")
    try:
        run = pi3b.docker.containers.run
        script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"
        limited = run(image, ["sh", "-c", f"{script}; true"], mem_limit=64 * 2**20, remove=True)
        assert limited == f"{64 * 2**20}\n".encode()
        names = run(image, ["sh", "-c", "ls /sys/class/net"], network="own", remove=True)
        assert set(names.decode().split()) >= {"eth0", "lo"}
        sysctl = {"net.core.somaxconn": "1000"}
        value = run(image, ["cat", "/proc/sys/net/core/somaxconn"], sysctls=sysctl, remove=True)
        assert value == b"1000\n"
    finally:
        network.remove()
