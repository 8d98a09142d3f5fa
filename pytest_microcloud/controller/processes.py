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


def ends_with_us() -> Sequence[str]:
    """Return a command prefix (setpriv) that ends a child when this process ends, even by SIGKILL."""
    return ("setpriv", "--pdeathsig", "TERM", "--") if shutil.which("setpriv") else ()


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a child that leads a process group, and the processes that it started.

    For example, ssh does not end the ssh process that it started for a jump host.
    """
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_TIMEOUT_S)
