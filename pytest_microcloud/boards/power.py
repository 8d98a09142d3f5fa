"""Runs `microcloud_power_cycle` and `microcloud_flash`: commands on the controller that control a board."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Mapping

from pytest_microcloud.boards.plain_text import text
from pytest_microcloud.controller.processes import end_group
from pytest_microcloud.errors import BoardError, DeadlineExceeded

POWER_TIMEOUT_S = 120.0
FLASH_TIMEOUT_S = 3600.0

_left_running: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}
"""A dict from a board's name to the command that was still running at Ctrl-C. The board's next command waits
for that command to end, because two commands at once could corrupt an SD card."""


def cycle(board: str, command: str) -> float:
    """Run the command that cuts and restores a board's power. Raises BoardError.

    Returns the time at which the command ended, on the controller's monotonic clock. That time counts as the
    power-on.
    """
    return _run(board, "microcloud_power_cycle", command, POWER_TIMEOUT_S)


def flash(board: str, command: str, image: str) -> None:
    """Run the command that flashes a board with `image`, passed as MICROCLOUD_IMAGE. Raises BoardError."""
    _run(board, "microcloud_flash", command, FLASH_TIMEOUT_S, {"MICROCLOUD_IMAGE": image})


def _run(
    board: str, variable: str, command: str, timeout_s: float, more: Mapping[str, str] | None = None
) -> float:
    """Run the command in an inventory variable, without a shell. Return the controller's time at its end.

    Raises BoardError. Its message quotes the last line of output, but not the command's arguments, which may
    contain passwords.
    """
    if board in _left_running:
        variable_before, still_running = _left_running.pop(board)
        _ended(board, still_running, variable_before, timeout_s)
    program, *arguments = shlex.split(command)
    shown = f"{variable}: {program}"
    with (
        tempfile.TemporaryFile() as output
    ):  # not a pipe, which a process that the command leaves running would keep open
        try:
            process = subprocess.Popen(
                [program, *arguments],
                env=os.environ | (more or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            raise BoardError(board, f"{shown} cannot be run: {error.strerror or error}") from error
        status = _ended(board, process, shown, timeout_s)
        on_at_s = time.monotonic()
        if status != 0:
            output.seek(0)
            lines = output.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise BoardError(board, f"{shown} exited with {status}: {text(lines) or 'no output'}")
    return on_at_s


def _ended(board: str, process: subprocess.Popen[bytes], shown: str, timeout_s: float) -> int:
    """Wait for a command and return its exit status.

    Ctrl-C does not end the command, since the board could be left without power.
    """
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        end_group(process)
        raise DeadlineExceeded(board, f"{shown} did not end within {timeout_s:.0f} s") from None
    except BaseException:
        _left_running[board] = shown, process
        raise
