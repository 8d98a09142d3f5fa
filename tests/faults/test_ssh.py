"""Failures of ssh, each with a specific error, and the effects of the user's ssh configuration."""

from __future__ import annotations

import re
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.errors import (
    EngineError,
    InventoryError,
    LinkError,
    LoginRejected,
)
from tests.support.logins import BEHIND, PATIENCE_S, config, jump, processes, refused

if TYPE_CHECKING:
    from tests.conftest import NewRealBoard
    from tests.support.real import RealBoard

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("impatient")]


@contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen on a port and call `answer` for each connection; the connections stay open to the end."""
    come: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                come.append(listening.accept()[0])
                answer(come[-1])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in come:
        connection.close()


# Not getting through


def test_refused(real_board: RealBoard) -> None:
    message = refused(real_board, LinkError, ansible_port=4)
    assert f"real: {real_board.address} refuses SSH at port 4: start its sshd" in message


def test_an_address_without_a_host_is_reported(real_board: RealBoard) -> None:
    nobody = real_board.address.rpartition(".")[0] + ".254"
    message = refused(real_board, LinkError, ansible_host=nobody)
    assert re.search(rf"real: {nobody} does not respond at port 22 \(.+\): is it powered", message)


def test_dropped_packets_are_reported(new_real_board: NewRealBoard) -> None:
    board = new_real_board()
    board.shell("iptables -I INPUT -p tcp --dport 22 -j DROP")
    message = refused(board, LinkError)
    assert f"{board.address} does not respond at port 22 (Connection timed out)" in message


def test_a_port_without_an_ssh_banner_is_reported(real_board: RealBoard) -> None:
    with listener(lambda _: None) as port:
        message = refused(real_board, LinkError, ansible_host="127.0.0.1", ansible_port=port)
    assert "the SSH port is open, but sends no SSH banner in time" in message


def test_an_sshd_that_hangs_during_the_login_is_reported(real_board: RealBoard) -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

    with listener(greet) as port:
        message = refused(real_board, LinkError, ansible_host="127.0.0.1", ansible_port=port)
    assert f"no SSH connection within {PATIENCE_S} s" in message
    assert "the login does not complete" in message


def test_a_port_that_is_not_sshds_is_reported(real_board: RealBoard) -> None:
    with listener(lambda connection: connection.shutdown(socket.SHUT_RDWR)) as port:
        message = refused(real_board, LinkError, ansible_host="127.0.0.1", ansible_port=port)
    assert "closed the connection before the login was complete" in message
    assert "check ansible_port, if the port is not sshd's" in message


def test_an_unresolvable_name_is_reported(real_board: RealBoard) -> None:
    message = refused(real_board, LinkError, ansible_host="no-such-board.invalid")
    assert "real: the name no-such-board.invalid cannot be resolved" in message
    assert "ansible_host" in message


def test_a_jump_host_that_refuses_is_named(real_board: RealBoard, gate: RealBoard) -> None:
    arguments = jump(real_board, gate).removeprefix("-F ")
    Path(arguments).write_text(Path(arguments).read_text().replace("Host gate\n", "Host gate\n Port 4\n"))
    message = refused(real_board, LinkError, **BEHIND, ansible_ssh_common_args=f"-F {arguments}")
    assert f"{gate.address} refuses SSH at port 4" in message


def test_a_board_that_its_jump_host_cannot_reach_is_reported(real_board: RealBoard, gate: RealBoard) -> None:
    arguments = f"{jump(real_board, gate)} -p 4"
    message = refused(real_board, LinkError, **BEHIND, ansible_ssh_common_args=arguments)
    assert "the jump host cannot connect to the board (connect failed: Connection refused)" in message


# Not let in


def test_a_rejected_key_is_reported_with_user_and_address(real_board: RealBoard, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    message = refused(real_board, LoginRejected, ansible_ssh_private_key_file=tmp_path / "other")
    assert f"the login as root@{real_board.address} was rejected (publickey" in message
    assert "ssh-copy-id" in message


def test_a_key_with_a_passphrase_comes_from_the_agent_only(
    real_board: RealBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("SSH_ASKPASS", "/bin/false")
    key = tmp_path / "locked"
    key.write_bytes(real_board.key.read_bytes())
    key.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "much too long", "-f", str(key)], check=True)
    message = refused(real_board, LoginRejected, ansible_ssh_private_key_file=key)
    assert "a key with a passphrase must be in ssh-agent (ssh-add)" in message


def test_a_key_readable_by_others_is_reported_with_its_mode(real_board: RealBoard, tmp_path: Path) -> None:
    key = tmp_path / "open"
    key.write_bytes(real_board.key.read_bytes())
    key.chmod(0o644)
    message = refused(real_board, LoginRejected, ansible_ssh_private_key_file=key)
    assert f"the key {key} is readable by others (mode 0644)" in message
    assert f"chmod 600 {key}" in message


def test_a_missing_key_is_reported_with_its_path(real_board: RealBoard, tmp_path: Path) -> None:
    message = refused(real_board, LoginRejected, ansible_ssh_private_key_file=tmp_path / "lost")
    assert f"the key {tmp_path / 'lost'} does not exist" in message


def test_unknown_ssh_options_are_reported(real_board: RealBoard) -> None:
    message = refused(real_board, LinkError, ansible_ssh_common_args="-o NoSuchOption=yes")
    assert "Bad configuration option: nosuchoption" in message


# Host keys


# What the user's own ssh offers


def test_a_board_behind_a_jump_host_is_used_like_any_other(real_board: RealBoard, gate: RealBoard) -> None:
    rack = real_board.in_rack("pi3b", **BEHIND, ansible_ssh_common_args=jump(real_board, gate))
    board = rack.board("real")
    assert gate.address in board.link.run("echo $SSH_CONNECTION").stdout
    assert board.docker.ping()
    assert board.address == real_board.address
    directory = rack.workspace.path
    assert processes(directory)
    rack.close()
    assert not processes(directory)
    assert not processes("-W [")


def test_a_key_in_the_agent_is_used(
    real_board: RealBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.DEVNULL)
    try:
        while not (tmp_path / "agent").exists():
            time.sleep(0.01)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        subprocess.run(["ssh-add", "-q", str(real_board.key)], check=True)
        rack = real_board.in_rack(ansible_ssh_private_key_file=None)
        assert rack.board("real").link.run("id -un").stdout == "root\n"
        rack.close()
    finally:
        agent.terminate()
        agent.wait()


def test_another_port_is_used(new_real_board: NewRealBoard) -> None:
    board = new_real_board()
    board.shell("sed -i 's/^Port 22$/Port 2222/' /etc/ssh/sshd_config && systemctl restart ssh")
    known = board.known_hosts.read_text()
    board.known_hosts.write_text(known.replace(board.address, f"[{board.address}]:2222"))
    rack = board.in_rack(ansible_port=2222)
    assert rack.board("desk").docker.ping()
    rack.close()
    rack = board.in_rack(ansible_ssh_extra_args="-o Port=2222")
    assert rack.board("desk").docker.ping()
    rack.close()
    refused(board, LinkError)


def test_interactive_options_of_the_users_ssh_configuration_have_no_effect(real_board: RealBoard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = config(
            real_board,
            f"""\
            Host *
                ControlMaster auto
                ControlPath {real_board.directory}/users-%C
                ControlPersist 60
                LocalForward {taken.getsockname()[1]} localhost:80
                ExitOnForwardFailure yes
                LogLevel QUIET
                RemoteCommand tmux attach
                RequestTTY force
                UserKnownHostsFile {real_board.known_hosts}
            """,
        )
        rack = real_board.in_rack(ansible_ssh_common_args=f"-q {arguments}")
        board = rack.board("real")
        assert board.link.run("echo as usual").stdout == "as usual\n"
        assert board.docker.ping()
        rack.close()
        message = refused(real_board, LinkError, ansible_port=4, ansible_ssh_common_args=f"-q {arguments}")
    assert "refuses SSH at port 4" in message
    assert not list(real_board.directory.glob("users-*"))


# What sshd on the board does not allow


def test_an_sshd_that_does_not_forward_sockets_is_reported(new_real_board: NewRealBoard) -> None:
    board = new_real_board()
    board.shell("echo AllowStreamLocalForwarding no >> /etc/ssh/sshd_config && systemctl restart ssh")
    assert "its sshd does not forward sockets: on the board, remove AllowStreamLocalForwarding" in refused(
        board, EngineError
    )


def test_an_sshd_that_allows_a_single_session_is_reported(new_real_board: NewRealBoard) -> None:
    board = new_real_board()
    board.shell("echo MaxSessions 1 >> /etc/ssh/sshd_config && systemctl restart ssh")
    assert "set MaxSessions to 10 or more" in refused(board, LinkError)


# What could be misused


def test_the_forwarded_socket_is_in_a_directory_for_the_user_alone(real_board: RealBoard) -> None:
    rack = real_board.in_rack()
    assert rack.board("real").docker.ping()
    directory = rack.workspace.path
    (forwarded,) = directory.glob("*.sock")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(forwarded.stat().st_mode) & 0o077 == 0
    rack.close()
    assert not directory.exists()


@pytest.mark.parametrize(
    "variables",
    [
        {"ansible_host": "-oProxyCommand=touch owned"},
        {"ansible_host": "-oProxyCommand=touch$IFS/tmp/owned"},
        {"ansible_host": "x;touch"},
        {"ansible_host": "two words"},
        {"ansible_user": "-oProxyCommand=x"},
        {"ansible_user": "root -oProxyCommand=x"},
        {"ansible_user": "$(id)"},
        {"ansible_ssh_common_args": "-v elsewhere"},
        {"ansible_ssh_common_args": "-- elsewhere"},
        {"ansible_ssh_common_args": "-W other:22"},
        {"ansible_ssh_common_args": "-o 'ProxyJump=x"},
        {"ansible_ssh_extra_args": "-S none"},
        {"microcloud_docker_socket": "run/docker.sock"},
        {"microcloud_docker_socket": "/run/docker.sock:/etc"},
        {"microcloud_docker_socket": "/run/${HOME}"},
    ],
    ids=lambda variables: " ".join(map(str, *variables.items())),
)
def test_a_value_that_ssh_would_misinterpret_is_a_usage_error(
    real_board: RealBoard, variables: dict[str, object]
) -> None:
    with pytest.raises(InventoryError, match=f"host 'real': {next(iter(variables))}="):
        real_board.in_rack("pi3b", **variables)
