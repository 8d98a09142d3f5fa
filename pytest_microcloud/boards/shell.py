"""A shell that stays open on the board and answers requests, for frequent cheap readings.

The scripts use shell builtins where possible, because every process that a slow board starts disturbs the
measurement.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import subprocess
import time
from typing import TYPE_CHECKING, Self

from pytest_microcloud.boards.command_line import as_root
from pytest_microcloud.errors import DeadlineExceeded, LinkError

if TYPE_CHECKING:
    from pytest_microcloud.boards.link import Link

DEADLINE_S = 30.0
END = b".\n"


class Shell:
    """An open shell on a board; use it as a context manager.

    `script` defines a function `answer` that takes a request and prints lines. `about` is what these lines
    report, for messages ("its memory"). `ask` raises LinkError or DeadlineExceeded.
    """

    def __init__(self, link: Link, script: str, about: str, *, root: bool = False) -> None:
        self._board = link.board
        self._about = about
        loop = f'{script}\nwhile read -r asked; do answer "$asked"; echo .; done'
        self._process = link.start(as_root(f"sh -c {shlex.quote(loop)}") if root else loop)

    def ask(self, line: str = "") -> list[str]:
        """Send one request and return the lines of the answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise self._broken()
        try:
            stdin.write(f"{line}\n".encode())
            stdin.flush()
        except (BrokenPipeError, ValueError):  # the shell ended, or was closed
            raise self._broken() from None
        deadline, output = time.monotonic() + DEADLINE_S, b""
        while not (output == END or output.endswith(b"\n" + END)):
            if not select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise DeadlineExceeded(self._board, f"did not report {self._about} within {DEADLINE_S:.0f} s")
            part = os.read(stdout.fileno(), 65536)
            if not part:
                raise self._broken()
            output += part
        return output.removesuffix(END).decode(errors="replace").splitlines()

    def hang_up(self) -> None:
        """Terminate the shell from another thread. An `ask` that is waiting then raises LinkError."""
        self._process.terminate()

    def close(self) -> None:
        """End the shell on the board."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _broken(self) -> LinkError:
        return LinkError(self._board, f"the connection broke while the board reported {self._about}")
