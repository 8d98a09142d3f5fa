"""A run's private directory on the controller, for keys, sockets and an ssh configuration.

The directory is named after the run id and locked as long as the controller's process lives. The kernel
releases the lock when the process ends. So a directory without a lock is a leftover of a killed run.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

SCRATCH = "microcloud-scratch-"
"""Prefix of the names of large temporary directories."""
LONGEST = 82
"""Maximum length of a workspace's path. The path of a socket has at most 107 characters, and ssh temporarily
appends 16."""


def root() -> Path:
    """Return the directory of the user's workspaces. The path is short, since socket paths must be short."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return (
        Path(runtime) / "microcloud" if runtime else Path(tempfile.gettempdir()) / f"microcloud-{os.getuid()}"
    )


def new_run_id() -> str:
    """Return an id that sorts by time, e.g. `20261123T101500-3fa9`."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def of_worker(run_id: str, worker: str) -> str:
    """Return the id of a pytest-xdist worker's part of a run, e.g. `20261123T101500-3fa9-gw0`."""
    return f"{run_id}-{worker}"


def whole_run(run_id: str) -> str:
    """Return the id of the whole run, given the id of the run or of a worker's part of it."""
    return run_id.partition("-gw")[0]


class Workspace:
    """A directory of mode 0700 that belongs to one run; `open` creates it and `close` removes it."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.path = root() / run_id
        self.ssh_config = self.path / "ssh_config"
        self._lock: TextIO | None = None

    def open(self) -> None:
        """Create the directory and take its lock. Raises OSError."""
        if self._lock is not None:
            return
        if len(str(self.path)) > LONGEST:
            too_long = "too long for sockets (set XDG_RUNTIME_DIR, or TMPDIR, to a short path)"
            raise OSError(errno.ENAMETOOLONG, too_long, str(self.path))
        with _alone(root()):
            self.path.mkdir(mode=0o700)
            self._lock = lock_of(self.run_id).open("w")
            fcntl.flock(
                self._lock, fcntl.LOCK_EX
            )  # another session may be checking whether this run is alive
        self.ssh_config.write_text(f"Include {self.path}/*.conf\n")

    def close(self) -> None:
        """Remove the directory and release the lock."""
        if self._lock is None:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()
        self._lock = None


def lock_of(run_id: str) -> Path:
    """Return the path of a run's lock. The path depends on the environment, so labels store the path."""
    return root().absolute() / run_id / "lock"


def alive(lock: Path) -> bool:
    """Return whether the run that owns the lock file is alive on this machine."""
    try:
        handle = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:  # another user's lock: assume that the run is alive
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, so that several checks can run at once
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Lock out other sessions while workspaces are created or removed. Create `directory` if needed.

    Without this lock, another session could take a workspace that is not locked yet for a leftover. Raises
    OSError.
    """
    _make_root(directory)
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make_root(directory: Path) -> None:
    """Create the directory of workspaces if needed. Raises OSError if another user owns or can write to it.

    The directory's name is predictable: another user who created it first could place an ssh_config in it.
    """
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700, parents=True)
    there = directory.lstat()
    if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.getuid() or there.st_mode & 0o022:
        problem = (
            "is not a directory that you own and only you can write to: find out who created it and remove "
            "it, or set XDG_RUNTIME_DIR to a private directory"
        )
        raise PermissionError(errno.EPERM, problem, str(directory))


@contextmanager
def scratch() -> Iterator[Path]:
    """Create a temporary directory for large files, and remove it at the end. Raises OSError.

    The directory is locked while this process lives. If the process is killed, the next run removes it.
    """
    with _alone(root()):
        directory = Path(tempfile.mkdtemp(prefix=SCRATCH))
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(handle)


def remove_abandoned() -> list[str]:
    """Remove the directories of runs whose controller has ended, and return their ids. Raises OSError."""
    if not root().exists():
        return []
    with _alone(root()):
        left = [path for path in root().glob("*") if path.is_dir() and not alive(path / "lock")]
        theirs = Path(tempfile.gettempdir()).glob(f"{SCRATCH}*")
        for path in (*left, *(p for p in theirs if p.lstat().st_uid == os.getuid() and not alive(p))):
            shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in left]
