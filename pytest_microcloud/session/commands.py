"""Gives testinfra's commands on a board a timeout, and raises our errors for a broken connection.

By itself, testinfra has no timeout for a command, and raises RuntimeError for a broken connection.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud.boards.link import KILL_AFTER_S, LATE
from pytest_microcloud.errors import DeadlineExceeded, LinkError
from pytest_microcloud.session.items import board_name, host_of

if TYPE_CHECKING:
    from testinfra.backend.base import BaseBackend, CommandResult

SSH_FAILED = 255


class Commands:
    """The hook that limits how long a command through a test's `host` may run on the board (s)."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Set the timeout of the commands of a test's `host`, before fixtures can run commands."""
        if (host := host_of(item)) is not None:
            bound(host.backend, board_name(host), self._timeout_s)


def bound(backend: BaseBackend, board: str, timeout_s: float) -> None:
    """Make a testinfra backend raise DeadlineExceeded for a command that takes longer than `timeout_s`.

    A broken connection raises LinkError. A backend may be bound more than once.
    """
    usual = type(backend).run.__get__(backend)

    def run(command: str, *args: str, **kwargs: Any) -> CommandResult:
        shell = "/bin/sh" if backend.sudo else '"$SHELL"'  # the shell that testinfra's sudo or sshd uses
        bounded = f"timeout -k {KILL_AFTER_S} {timeout_s:g} {shell} -c %s"
        wanted, started = backend.quote(command, *args), time.monotonic()
        try:
            done: CommandResult = usual(bounded, wanted, **kwargs)
        except RuntimeError as error:
            if getattr(error.args[0] if error.args else None, "rc", None) != SSH_FAILED:
                raise
            said = (error.args[0].stderr.strip() or "no output").splitlines()[-1]
            raise LinkError(board, f"the SSH connection broke during `{wanted}`: {said}") from None
        if done.rc in LATE and time.monotonic() - started >= timeout_s:
            raise DeadlineExceeded(
                board,
                f"did not finish `{wanted}` within {timeout_s:g} s "
                "(--microcloud-command-timeout sets this timeout)",
            )
        return done

    backend.run = run
