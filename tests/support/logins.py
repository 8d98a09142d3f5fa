"""Logging in to a board that refuses, over jump hosts and with custom ssh configurations."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.errors import (
    BoardError,
)

if TYPE_CHECKING:
    from tests.support.real import RealBoard

PATIENCE_S = 3
SLACK_S = 5


"""By how much an error may exceed its timeout on a busy machine."""


def processes(word: str | Path) -> list[str]:
    """Return the command lines on this machine that contain a word."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(word) in command:
                found.append(command)
    return found


def refused(board: RealBoard, error: type[BoardError], **variables: object) -> str:
    """Connect to the board with these variables in its inventory line; return the error, which is in time."""
    rack = board.in_rack("pi3b", **variables)
    started = time.monotonic()
    with pytest.raises(error) as caught:
        rack.board(board.name)
    assert time.monotonic() - started < 2 * PATIENCE_S + SLACK_S
    assert type(caught.value) is error
    directory = rack.workspace.path
    rack.close()
    assert not processes(directory)
    assert not directory.exists()
    return str(caught.value)


def config(board: RealBoard, text: str) -> str:
    """Return ssh arguments that replace ~/.ssh/config, which ssh looks up without $HOME, by a file."""
    file = board.directory / "ssh_config"
    file.write_text(dedent(text))
    return f"-F {file}"


def jump(board: RealBoard, gate: RealBoard, *, known: Path | None = None) -> str:
    """Return ssh arguments that reach the board through the gate, under an alias of their configuration."""
    return config(
        board,
        f"""\
        Host behind
            HostName {board.address}
            User {board.user}
            IdentityFile {board.key}
            UserKnownHostsFile {board.known_hosts}
            ProxyJump gate
        Host gate
            HostName {gate.address}
            User {gate.user}
            IdentityFile {gate.key}
            UserKnownHostsFile {known or gate.known_hosts}
        """,
    )


BEHIND: dict[str, object] = {
    "ansible_host": "behind",
    "ansible_user": None,
    "ansible_ssh_private_key_file": None,
}
