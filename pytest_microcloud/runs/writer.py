"""Writes a session's run file and keeps it locked meanwhile, so that no other session resumes the run."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Writer:
    """Writes one run file, and keeps it locked from the first `write` (or `take`) until `close`.

    The lock also ends with the process. It is on the file itself, so every session that can open the file can
    check the lock.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._handle: int | None = None

    def take(self) -> None:
        """Lock the existing run file. Raises OSError; BlockingIOError if another session locked it."""
        self._handle = _locked(self.file, os.O_RDWR)

    def write(self, text: str) -> None:
        """Replace the run file atomically by a new file with this text, already locked. Raises OSError."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            _lock(handle, fcntl.LOCK_EX)
            partial.write_text(text, encoding="utf-8")
            partial.replace(self.file)
        except BaseException:
            partial.unlink(missing_ok=True)
            os.close(handle)
            raise
        self.close()
        self._handle = handle

    def close(self) -> None:
        """Unlock the run file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def is_being_written(file: Path) -> bool:
    """Whether a session has the run file locked. Raises OSError."""
    try:
        os.close(_locked(file, os.O_RDONLY, fcntl.LOCK_SH))  # shared with other checks
    except BlockingIOError:
        return True
    return False


def _locked(file: Path, flags: int, kind: int = fcntl.LOCK_EX) -> int:
    """Lock a file and return its descriptor; raises BlockingIOError if it is locked already, and OSError."""
    while True:
        handle = os.open(file, flags | os.O_NONBLOCK)
        try:
            _lock(handle, kind)
            if os.path.samestat(os.fstat(handle), file.stat()):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the writer has replaced the file in the meantime


def _lock(handle: int, kind: int) -> None:
    """Lock an open file, if its file system has locks. Raises BlockingIOError if it is locked already."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a run is worth more than the lock on its file
        return
