"""Child processes that end with this process, together with the processes that they start."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence

END_TIMEOUT_S = 5.0
"""How long a process may take to end after a signal."""
INTERRUPTED_TIMEOUT_S = 10.0


def ends_with_us() -> Sequence[str]:
    """Return a command prefix (setpriv) that ends a child when this process ends, even by SIGKILL."""
    if not shutil.which("setpriv"):
        return ()
    # If this process ended before setpriv asked for the signal, the signal never comes.
    parent = f'[ "$PPID" = {os.getpid()} ] || exit; exec "$@"'
    return ("setpriv", "--pdeathsig", "TERM", "--", "sh", "-c", parent, "sh")


def run(command: Sequence[str], *, stdin: bytes, timeout_s: float) -> subprocess.CompletedProcess[bytes]:
    """Run a command and capture its output; raises subprocess.TimeoutExpired.

    Ctrl-C does not reach the command. This process lets the command end first, for at most
    `INTERRUPTED_TIMEOUT_S`: an ssh command that has only begun would otherwise change a board after the
    board's changes have been reverted.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise
        except BaseException:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=INTERRUPTED_TIMEOUT_S)
            raise
        finally:
            process.kill()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a child that leads a process group, and the processes that it started.

    For example, ssh does not end the ssh process that it started for a jump host.
    """
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_TIMEOUT_S)
