"""The run's own directory on the controller: keys, sockets, ssh configuration.

Its name is the run id and it holds a lock for as long as the controller lives, so that the leftovers of a
killed run can be distinguished from a running one: the kernel drops the lock with the process.
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
"""How the names of large temporary directories begin."""
LONGEST = 82
"""Characters of a workspace's path: a socket's is at most 107, and ssh adds 16 while it makes one."""


def root() -> Path:
    """Return the directory of all runs' workspaces, the user's own; short, as sockets' paths must be."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return (
        Path(runtime) / "microcloud" if runtime else Path(tempfile.gettempdir()) / f"microcloud-{os.getuid()}"
    )


def new_run_id() -> str:
    """Return an id that sorts by time, e.g. `20261123T101500-3fa9`."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


class Workspace:
    """A directory of mode 0700 that belongs to one run; made by `open`, removed by `close`."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.path = root() / run_id
        self.ssh_config = self.path / "ssh_config"
        self._lock: TextIO | None = None

    def open(self) -> None:
        """Make the directory and hold its lock; raises OSError."""
        if self._lock is not None:
            return
        if len(str(self.path)) > LONGEST:
            too_long = "too long for sockets (set XDG_RUNTIME_DIR, or TMPDIR, to a short path)"
            raise OSError(errno.ENAMETOOLONG, too_long, str(self.path))
        with _alone(root()):
            self.path.mkdir(mode=0o700)
            self._lock = lock_of(self.run_id).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)  # another session may be checking whether we are alive
        self.ssh_config.write_text(f"Include {self.path}/*.conf\n")

    def close(self) -> None:
        """Remove the directory and release the lock."""
        if self._lock is None:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()
        self._lock = None


def lock_of(run_id: str) -> Path:
    """Return the lock of a run of ours; the path depends on the environment, so it is stored for others."""
    return root().absolute() / run_id / "lock"


def alive(lock: Path) -> bool:
    """Whether a controller on this machine still works on the run with that lock."""
    try:
        handle = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:  # another user's: not ours to judge
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared with others who ask
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Be the only one who makes or removes workspaces in a directory, which is made if need be.

    A workspace that is not locked yet would be taken for one that was left. Raises OSError.
    """
    _make_root(directory)
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make_root(directory: Path) -> None:
    """Make a directory for workspaces, unless it is there; raises OSError if it is not the user's alone.

    Its name can be foretold: another user who made it first could put an ssh_config of theirs into it.
    """
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700, parents=True)
    there = directory.lstat()
    if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.getuid() or there.st_mode & 0o022:
        not_ours = (
            "is not a directory that you own and nobody else may write to: look who put it there and remove "
            "it, or set XDG_RUNTIME_DIR to a directory of your own"
        )
        raise PermissionError(errno.EPERM, not_ours, str(directory))


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a directory for large files, where temporary ones go, and remove it in the end; raises OSError.

    It is locked as long as this process lives; if that is killed, the next run removes what is left.
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
    """Remove the directories of runs whose controller is gone, and return their ids; raises OSError."""
    if not root().exists():
        return []
    with _alone(root()):
        left = [path for path in root().glob("*") if path.is_dir() and not alive(path / "lock")]
        theirs = Path(tempfile.gettempdir()).glob(f"{SCRATCH}*")
        for path in (*left, *(p for p in theirs if p.lstat().st_uid == os.getuid() and not alive(p))):
            shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in left]
