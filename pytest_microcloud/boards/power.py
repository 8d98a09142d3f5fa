"""Commands on the controller that have power over a board: `microcloud_power_cycle`, `microcloud_flash`."""

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
"""By board, the command that Ctrl-C did not wait for: two at once would ruin a card."""


def cycle(board: str, command: str) -> float:
    """Run the command that cuts and restores a board's power; raises BoardError.

    Returns when it ended, on the controller's monotonic clock: the power counts as on from then.
    """
    return _run(board, "microcloud_power_cycle", command, POWER_TIMEOUT_S)


def flash(board: str, command: str, image: str) -> None:
    """Run the command that writes an image, which MICROCLOUD_IMAGE names, onto a board; raises BoardError."""
    _run(board, "microcloud_flash", command, FLASH_TIMEOUT_S, {"MICROCLOUD_IMAGE": image})


def _run(
    board: str, variable: str, command: str, timeout_s: float, more: Mapping[str, str] | None = None
) -> float:
    """Run a command of the inventory without a shell; returns when it ended.

    Raises BoardError that quotes the end of what it said, but not its arguments: passwords may be among them.
    """
    if board in _left_running:
        variable_before, still_running = _left_running.pop(board)
        _ended(board, still_running, variable_before, timeout_s)
    program, *arguments = shlex.split(command)
    said_as = f"{variable}: {program}"
    with tempfile.TemporaryFile() as output:  # no pipe: what the command leaves running may keep it open
        try:
            switching = subprocess.Popen(
                [program, *arguments],
                env=os.environ | (more or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            raise BoardError(board, f"{said_as} cannot be run: {error.strerror or error}") from error
        status = _ended(board, switching, said_as, timeout_s)
        on_at_s = time.monotonic()
        if status != 0:
            output.seek(0)
            said = output.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise BoardError(board, f"{said_as} exited with {status}: {text(said) or 'nothing was said'}")
    return on_at_s


def _ended(board: str, switching: subprocess.Popen[bytes], said_as: str, timeout_s: float) -> int:
    """Wait for its end. It is never ended with us: a board whose power is off would stay so."""
    try:
        return switching.wait(timeout_s)
    except subprocess.TimeoutExpired:
        end_group(switching)
        raise DeadlineExceeded(board, f"{said_as} did not end within {timeout_s:.0f} s") from None
    except BaseException:
        _left_running[board] = said_as, switching
        raise
