"""A session keeps its run file locked while it writes the file, so that no other session resumes the run."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Writer:
    """Writes one run file, which is locked from the first `write` (or `take`) until `close`.

    The lock also ends with the process. Every session that sees the file sees the lock, which is on the file
    itself.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._handle: int | None = None

    def take(self) -> None:
        """Lock a file that exists. Raises BlockingIOError if another session writes the file, and OSError."""
        self._handle = _locked(self.file, os.O_RDWR)

    def write(self, text: str) -> None:
        """Replace the file atomically, by a new file that is already locked. Raises OSError."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            partial.write_text(text, encoding="utf-8")
            partial.replace(self.file)
        except BaseException:
            partial.unlink(missing_ok=True)
            os.close(handle)
            raise
        self.close()
        self._handle = handle

    def close(self) -> None:
        """Release the lock."""
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
    """Return a handle that holds a file's lock. Raises BlockingIOError if the lock is taken, and OSError."""
    while True:
        handle = os.open(file, flags | os.O_NONBLOCK)
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), file.stat()):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the writer has replaced the file in the meantime
