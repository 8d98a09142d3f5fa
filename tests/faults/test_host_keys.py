"""Unknown and changed host keys: of a board, of a jump host, and of a board behind one."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.errors import (
    HostKeyChanged,
    HostKeyUnknown,
)
from tests.support.logins import BEHIND, config, jump, refused

if TYPE_CHECKING:
    from tests.conftest import NewRealBoard
    from tests.support.real import RealBoard

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("impatient")]


def fingerprint(board: RealBoard) -> str:
    message = board.shell("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
    return message.split()[1]


def command_after(words: str, message: str) -> list[str]:
    found = re.search(rf"{words}: (.+)", message)
    assert found, message
    return shlex.split(found[1])


def accept(command: list[str]) -> str:
    """Run a command in a terminal and answer yes; return its output."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)  # noqa: S606
    message = b""
    with suppress(OSError):  # a terminal's way to say that nobody is at its other end
        while part := os.read(terminal, 4096):
            message += part
            if b"(yes/no" in part:
                os.write(terminal, b"yes\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, message
    os.close(terminal)
    return message.decode()


def test_an_unknown_host_key_is_reported_with_its_fingerprint_and_only_accepted_by_hand(
    new_real_board: NewRealBoard,
) -> None:
    board = new_real_board(known=False)
    lax = f"-o UserKnownHostsFile={board.known_hosts} -o StrictHostKeyChecking=no"
    for arguments in (lax, f"{lax} {config(board, 'Host *' + chr(10) + ' StrictHostKeyChecking no')}"):
        message = refused(board, HostKeyUnknown, ansible_ssh_common_args=arguments)
        assert f"desk: the host key of {board.address} is not known to your ssh" in message
        assert f"ssh-ed25519 {fingerprint(board)}" in message
        assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in message
        assert board.known_hosts.read_text() == ""
    assert fingerprint(board) in accept(command_after("Then accept the key", message))
    assert board.in_rack().board("desk").docker.ping()


def test_an_ssh_configured_to_store_no_keys_is_reported(real_board: RealBoard) -> None:
    arguments = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    message = refused(real_board, HostKeyUnknown, ansible_ssh_common_args=arguments)
    assert "first remove `UserKnownHostsFile /dev/null` from ansible_ssh_common_args or your" in message


def test_a_changed_host_key_is_refused_until_the_old_key_is_removed_by_hand(
    new_real_board: NewRealBoard,
) -> None:
    board = new_real_board()
    before = board.known_hosts.read_text()
    board.shell("rm /etc/ssh/ssh_host_*; ssh-keygen -qt ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key")
    board.shell("systemctl restart ssh")
    message = refused(board, HostKeyChanged)
    assert f"desk: the host key of {board.address} has changed to SHA256:" in message
    assert fingerprint(board) in message
    assert board.known_hosts.read_text() == before
    subprocess.run(command_after("remove the old key", message), check=True, capture_output=True)
    refused(board, HostKeyUnknown)
    accept(command_after("Then accept the new key", message))
    assert board.in_rack().board("desk").docker.ping()


def test_the_fingerprint_of_a_board_behind_a_jump_host_is_shown(
    new_real_board: NewRealBoard, gate: RealBoard
) -> None:
    board = new_real_board(known=False)
    message = refused(board, HostKeyUnknown, **BEHIND, ansible_ssh_common_args=jump(board, gate))
    key = f"ssh-ed25519 {fingerprint(board)}"
    assert f"the host key of {board.address} is not known to your ssh: {key}" in message
    accept(command_after("Then accept the key", message))
    link = board.in_rack("pi3b", **BEHIND, ansible_ssh_common_args=jump(board, gate)).board("desk").link
    assert link.run("hostname").stdout == "desk\n"


def test_an_unknown_jump_host_is_reported_with_its_fingerprint(
    real_board: RealBoard, gate: RealBoard, tmp_path: Path
) -> None:
    known = tmp_path / "known"
    arguments = jump(real_board, gate, known=known)
    message = refused(real_board, HostKeyUnknown, **BEHIND, ansible_ssh_common_args=arguments)
    key = f"ssh-ed25519 {fingerprint(gate)}"
    assert f"the host key of {gate.address} is not known to your ssh: {key}" in message
    assert not known.exists()
    accept(command_after("Then accept the key", message))
    assert known.exists()
