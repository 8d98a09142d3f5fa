"""A board's power, switched by a command on the controller: `microcloud_power_cycle`."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
import time
from typing import IO

from pytest_microcloud.boards.facts import text
from pytest_microcloud.boards.link import end_group
from pytest_microcloud.errors import BoardError, DeadlineExceeded

POWER_TIMEOUT_S = 120.0


def cycle(board: str, command: str) -> float:
    """Run the command that cuts and restores a board's power, without a shell.

    Returns when it ended, on the controller's monotonic clock: the power counts as on from then. Raises
    BoardError that quotes the end of what it said, but not its arguments: passwords may be among them.
    """
    program, *arguments = shlex.split(command)
    with tempfile.TemporaryFile() as output:  # no pipe: what the command leaves running may keep it open
        status = _status(board, program, arguments, output)
        on_at_s = time.monotonic()
        if status != 0:
            output.seek(0)
            said = output.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise BoardError(
                board,
                f"microcloud_power_cycle: {program} exited with {status}: {text(said) or 'nothing was said'}",
            )
    return on_at_s


def _status(board: str, program: str, arguments: list[str], output: IO[bytes]) -> int:
    """Run it to its end. It is never ended with us: a board whose power is off would stay so."""
    try:
        switching = subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    except OSError as error:
        raise BoardError(
            board, f"microcloud_power_cycle: {program} cannot be run: {error.strerror or error}"
        ) from error
    try:
        return switching.wait(POWER_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        end_group(switching)
        raise DeadlineExceeded(
            board, f"microcloud_power_cycle: {program} did not end within {POWER_TIMEOUT_S:.0f} s"
        ) from None
