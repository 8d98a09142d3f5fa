"""Boards that lack a requirement: the error names the command that fixes it, before anything is changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.boards import install
from pytest_microcloud.errors import (
    BoardError,
    EngineForbidden,
    EngineMissing,
    EngineTooOld,
    MemoryCgroupOff,
    SudoNeedsPassword,
    ToolMissing,
)
from pytest_microcloud.experiments import io

if TYPE_CHECKING:
    from tests.conftest import NewRealBoard
    from tests.support.real import RealBoard, RealBoards

pytestmark = pytest.mark.engine

# An engine from before 1.12, as far as it is asked: no such Docker can be had any more.
OLD = r"""
use IO::Socket::UNIX;
my $listening = IO::Socket::UNIX->new(Local => "/run/old.sock", Listen => 5) or die;
while (my $client = $listening->accept) {
    while (<$client>) { last if /^\r?$/ }
    my $said = '{"Version": "1.11.2", "ApiVersion": "1.23"}';
    print $client "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    print $client "Connection: close\r\nContent-Length: ", length $said, "\r\n\r\n$said";
    close $client;
}
"""
# Where the engine looks whether the kernel accounts for memory, with cgroup v1 or v2.
NO_MEMORY_CGROUP = """
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    echo cpu io pids > /run/controllers
    mount --bind /run/controllers /sys/fs/cgroup/cgroup.controllers
else
    umount /sys/fs/cgroup/memory
fi
systemctl restart docker
"""
OLDER_THAN_FIO_NEEDS = r"""
mkdir -p /run/old/DEBIAN
printf 'Package: libaio1\nVersion: 0.1\nArchitecture: %s\nMaintainer: x <x@example.org>\nDescription: x\n' \
    "$(dpkg --print-architecture)" > /run/old/DEBIAN/control
dpkg-deb -b /run/old /run/old.deb && dpkg -i /run/old.deb
rm -r /run/old*
"""
PACKAGES = "apache2 apache2-bin apache2-data apache2-utils fio p7zip p7zip-full sysbench"


def refused(board: RealBoard, error: type[BoardError], **variables: object) -> str:
    """Connect to the board with these variables in its inventory line; return the error message."""
    with closing(board.in_rack("pi3b", **variables)) as rack, pytest.raises(error) as caught:
        rack.board(board.name)
    assert type(caught.value) is error
    return str(caught.value)


# Root


def test_sudo_that_asks_for_a_password_is_reported(new_real_board: NewRealBoard) -> None:
    board = new_real_board(user="pirate", sudo="password")
    board.shell("echo LANG=de_DE.UTF-8 >> /etc/default/locale")
    message = refused(board, SudoNeedsPassword)
    assert "cannot run commands as root: sudo: a password is required" in message
    assert "NOPASSWD" in message


def test_a_missing_sudo_is_reported(new_real_board: NewRealBoard) -> None:
    board = new_real_board(user="pirate", sudo="no")
    board.shell("mv /usr/bin/sudo /usr/bin/sudo.away")
    assert "sudo: not found" in refused(board, SudoNeedsPassword)


# The engine


def test_a_missing_engine_is_reported(new_real_board: NewRealBoard) -> None:
    message = refused(new_real_board(engine=None), EngineMissing)
    assert "has no container engine at /var/run/docker.sock: run `sudo apt-get install docker.io`" in message


def test_a_stopped_engine_is_reported(new_real_board: NewRealBoard) -> None:
    board = new_real_board()
    board.shell("systemctl stop docker.socket docker")
    message = refused(board, EngineMissing)
    assert (
        "has Docker, but no process listens at /var/run/docker.sock: run `sudo systemctl enable --now docker`"
        in message
    )


def test_a_socket_path_that_is_a_file_is_reported(real_board: RealBoard) -> None:
    message = refused(real_board, EngineMissing, microcloud_docker_socket="/etc/hosts")
    assert (
        "/etc/hosts is not a socket: remove the file, then run `sudo systemctl restart docker.socket"
        in message
    )


def test_podman_at_its_own_socket_is_reported(new_real_board: NewRealBoard) -> None:
    message = refused(new_real_board(engine="podman"), EngineMissing, microcloud_docker_socket=None)
    assert "microcloud_docker_socket=/run/podman/podman.sock" in message


def test_a_user_without_access_to_the_engine_is_reported(new_real_board: NewRealBoard) -> None:
    message = refused(new_real_board(user="pirate", docker_group=False), EngineForbidden)
    assert "pirate may not use /var/run/docker.sock: run `sudo usermod -aG docker pirate`" in message


def test_a_socket_without_a_listening_process_is_reported(real_board: RealBoard) -> None:
    listen = 'IO::Socket::UNIX->new(Local => "/run/stale.sock", Listen => 1)'
    real_board.shell(f"perl -MIO::Socket::UNIX -e '{listen}'")
    message = refused(real_board, EngineMissing, microcloud_docker_socket="/run/stale.sock")
    real_board.shell("rm /run/stale.sock")
    assert "no process listens at /run/stale.sock: run `sudo systemctl enable --now docker`" in message


def test_an_engine_that_is_too_old_is_reported(real_board: RealBoard) -> None:
    real_board.shell(f"cat > /run/old.pl <<'END'\n{OLD}\nEND\nsystemd-run --unit=old perl /run/old.pl")
    real_board.shell("until [ -S /run/old.sock ]; do sleep 0.1; done")
    message = refused(real_board, EngineTooOld, microcloud_docker_socket="/run/old.sock")
    real_board.shell("systemctl stop old; rm /run/old.sock /run/old.pl")
    assert "its engine is Docker 1.11.2 with API 1.23, but API 1.24 (Docker 1.12) or newer" in message


def test_a_missing_memory_cgroup_is_reported(new_real_board: NewRealBoard) -> None:
    board = new_real_board()
    board.shell(NO_MEMORY_CGROUP)
    message = refused(board, MemoryCgroupOff)
    assert "append `cgroup_enable=memory cgroup_memory=1`" in message
    assert "/boot/firmware/cmdline.txt" in message


# Tools


@pytest.fixture(scope="module")
def bare(real_boards: RealBoards) -> Iterator[RealBoard]:
    """A board in use, with a sudo user and without the experiments' programs."""
    board = real_boards.new("desk", user="pirate")
    board.shell("echo '# ours' >> /etc/apache2/ports.conf")
    board.shell("apt-get remove -y apache2 apache2-bin")
    board.shell(f"apt-get purge -y {PACKAGES.replace('apache2 ', '').replace('apache2-bin ', '')}")
    board.shell("apt-get autoremove -y --purge; rm -f /etc/apt/apt.conf.d/docker-clean")
    yield board
    board.remove()


def everything(board: RealBoard) -> dict[str, str]:
    """Return all packages, units and files of the board with their content, except logs."""
    message = board.shell(
        "dpkg-query -Wf '${db:Status-Abbrev} ${binary:Package} ${Version} package\\n';"
        "systemctl list-unit-files --no-legend | sed 's/  */-/g; s/$/ unit/';"
        "find /etc /opt /root /home /srv /usr /var -xdev "
        r"\( -path /var/log -o -path /var/lib/dpkg -o -path /var/lib/systemd -o -path /var/cache/ldconfig \) "
        r"-prune -o \( -type f -exec md5sum {} + -o -type l -printf '%l %p\n' -o -type d -printf '/ %p\n' \)"
    )
    return {line.partition(" ")[2]: line.partition(" ")[0] for line in message.splitlines()}


def test_a_missing_tool_is_reported_by_the_tests_that_need_it(bare: RealBoard) -> None:
    with closing(bare.in_rack()) as rack:
        board = rack.board("desk")
        with pytest.raises(
            ToolMissing, match="no fio: run `apt-get install fio` on the board, or set microcloud_install"
        ):
            io.disk(board, size=4096, repetitions=1, seconds=1)
        with pytest.raises(ToolMissing, match="has no sysbench: run `apt-get install sysbench`"):
            io.memory(board, size=4096, repetitions=1, seconds=1)


def test_missing_tools_are_installed_for_the_duration_of_a_run(bare: RealBoard) -> None:
    before = everything(bare)
    with closing(bare.in_rack(microcloud_install="true")) as rack:
        board = rack.board("desk")
        assert board.link.run("which fio sysbench 7z; ls /usr/sbin/apache2").stdout.count("\n") == 4
        assert io.disk(board, size=4096, repetitions=1, seconds=1)
        apache = bare.shell("systemctl is-active apache2; systemctl is-enabled apache2", check=False)
        assert apache.split() == ["inactive", "disabled"]
        assert "# ours" in bare.shell("cat /etc/apache2/ports.conf")
    assert set(everything(bare).items()) ^ set(before.items()) == set()


def test_an_installation_that_would_change_existing_packages_is_refused(bare: RealBoard) -> None:
    bare.shell(OLDER_THAN_FIO_NEEDS)
    message = refused(bare, ToolMissing, microcloud_install="true")
    bare.shell("dpkg --purge libaio1")
    assert "cannot be installed for this run: apt would change libaio1, which cannot be reverted" in message
    assert "Run `apt-get install p7zip-full apache2 fio sysbench` on the board" in message


def test_an_installation_without_a_mirror_is_reported_in_apts_words(
    bare: RealBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "UPDATE_TIMEOUT_S", 60)
    bare.shell("cp -r /etc/apt /root/apt; rm -rf /etc/apt/sources.list.d")
    bare.shell("echo 'deb http://127.0.0.1:4/debian bookworm main' > /etc/apt/sources.list")
    before = everything(bare)
    message = refused(bare, ToolMissing, microcloud_install="true")
    assert everything(bare) == before
    bare.shell("rm -rf /etc/apt; mv /root/apt /etc/apt")
    assert "cannot be installed for this run: E: " in message


@pytest.mark.long
def test_the_board_reverts_an_interrupted_installation_itself(bare: RealBoard) -> None:
    before = everything(bare)
    with closing(bare.in_rack(microcloud_install="true")) as rack:

        def bring_up() -> None:
            with suppress(BoardError):
                rack.board("desk")

        run = threading.Thread(target=bring_up)
        run.start()
        bare.shell("until pgrep -f '[-]-unpack'; do sleep 0.05; done")
        bare.shell("pkill -KILL -f '[s]shd: pirate'")
        run.join()
    bare.shell("for _ in $(seq 180); do [ -e /var/lib/microcloud ] || exit 0; sleep 1; done; exit 1")
    assert set(everything(bare).items()) ^ set(before.items()) == set()
