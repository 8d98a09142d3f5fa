"""Logins that are accepted but run other commands, or run other commands first."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.boards.gauge import Gauge
from pytest_microcloud.errors import BoardError, LoginRejected, SudoNeedsPassword, ToolMissing
from tests.faults.test_preflight import refused

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import NewRealBoard
    from tests.support.real import RealBoard

pytestmark = pytest.mark.engine


def test_output_of_the_shells_start_up_files_is_ignored(new_real_board: NewRealBoard) -> None:
    desk = new_real_board(user="pirate")
    desk.shell("printf 'echo Welcome to $(hostname)\\necho . \\necho twice >&2\\n' > ~pirate/.bashrc")
    desk.shell("cp ~pirate/.bashrc ~pirate/.profile")
    with closing(desk.in_rack()) as rack:
        board = rack.board("desk")
        assert board.link.run("echo answer").stdout == "answer\n"
        assert board.link.run("id -un", root=True).stdout == "root\n"
        with Gauge(board.link) as gauge:
            assert gauge.read().total_bytes == board.facts.memory_bytes > 0
        assert board.lock.held


@pytest.mark.parametrize(
    ("break_login", "sentence", "remedy"),
    [
        ("chage -d 0 pirate", "Password change required", "log in once by hand and set a new password"),
        ("usermod -s /usr/sbin/nologin pirate", "This account is currently not available", "chsh -s /bin/sh"),
        (
            "sed -i 's/^/command=\"echo backups only\" /' ~pirate/.ssh/authorized_keys",
            "backups only",
            "command= in the user's authorized_keys",
        ),
        ("echo 'echo no guests; exit 1' > ~pirate/.bashrc", "no guests", "in the shell's start-up files"),
    ],
    ids=["expired-password", "nologin", "forced-command", "exit-in-bashrc"],
)
def test_a_login_that_cannot_run_commands_is_an_error_with_its_message(
    new_real_board: NewRealBoard, break_login: str, sentence: str, remedy: str
) -> None:
    desk = new_real_board(user="pirate")
    desk.shell(break_login)
    message = refused(desk, LoginRejected)
    assert "desk: accepts the login but cannot run commands (" in message
    assert sentence in message
    assert remedy in message


def test_a_key_with_windows_line_endings_is_reported_with_sshs_message(
    real_board: RealBoard, tmp_path: Path
) -> None:
    key = tmp_path / "windows"
    key.write_bytes(real_board.key.read_bytes().replace(b"\n", b"\r\n"))
    key.chmod(0o600)
    message = refused(real_board, LoginRejected, ansible_ssh_private_key_file=key)
    assert f"ssh cannot use the key {key} (error in libcrypto)" in message
    assert "line endings" in message
    assert "ssh-copy-id" not in message


def test_sudo_rs_that_asks_for_a_password_is_recognised(new_real_board: NewRealBoard) -> None:
    desk = new_real_board(user="pirate")
    desk.shell(  # Debian 12 has no package of sudo-rs: this prints what it prints
        "mv /usr/bin/sudo /usr/bin/sudo.away; "
        "printf '#!/bin/sh\\necho \"sudo: interactive authentication is required\" >&2\\nexit 1\\n' "
        "> /usr/bin/sudo; chmod 755 /usr/bin/sudo"
    )
    message = refused(desk, SudoNeedsPassword)
    assert "cannot run commands as root: sudo: interactive authentication is required" in message


def test_a_failing_script_is_quoted_by_its_first_line(real_board: RealBoard) -> None:
    with closing(real_board.in_rack()) as rack:
        link = rack.board("real").link
        with pytest.raises(Exception, match=r"`echo first …` exited with 3") as caught:
            link.run("echo first\nfalse\nexit 3")
    assert "false" not in str(caught.value)


@pytest.mark.parametrize(
    ("program", "sentence"), [("flock", "flock: command not found"), ("bash", "bash: not found")]
)
def test_a_board_without_bash_or_flock_is_not_reported_as_in_use(
    new_real_board: NewRealBoard, program: str, sentence: str
) -> None:
    desk = new_real_board(user="pirate")
    desk.shell("usermod -s /bin/sh pirate")
    desk.shell(f"mv /usr/bin/{program} /usr/bin/{program}.away")
    message = refused(desk, ToolMissing)
    assert "desk: its lock needs bash, and flock of util-linux (" in message
    assert sentence in message
    assert "apt-get install bash util-linux" in message
    assert "in use by" not in message


def test_an_unreadable_lock_file_is_not_reported_as_in_use(new_real_board: NewRealBoard) -> None:
    desk = new_real_board(user="pirate")
    desk.shell("install -m 600 /dev/null /run/lock/microcloud.lock")
    message = refused(desk, BoardError)
    assert "desk: its lock could not be taken (" in message
    assert "/run/lock/microcloud.lock: Permission denied" in message
    assert "in use by" not in message
