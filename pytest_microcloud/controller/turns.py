"""Shares this machine's CPUs among all sessions: a measurement waits until enough CPUs are free.

A measurement reserves CPUs by locking bytes of a file. The kernel releases the locks when the process ends.
A byte stands for a twentieth of a CPU. The measurement that is first in the queue locks the queue's byte, so
that no smaller measurement overtakes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import stat
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

FILE = "microcloud-turns"
DIRECTORY = "MICROCLOUD_TURNS_DIRECTORY"
"""Environment variable with the lock file's directory, for processes with a private temporary directory."""
PER_CPU = 20
POLL_S = 0.1
SAY_EVERY_S = 60.0
QUEUE, ALONE, AWAKE = range(1 << 40, (1 << 40) + 3)
"""Bytes of the lock file that stand for the queue, preparing shared images, and keeping CPUs awake."""


@contextmanager
def turn(cpus: float, say: Callable[[str], None], *, wait: bool = True) -> Iterator[float]:
    """Wait until `cpus` CPUs of this machine are free, and reserve them while the context lasts.

    Yields the waiting time (s). If `cpus` exceeds this machine's CPUs, all CPUs are reserved. If `wait` is
    false, only CPUs that are free now are reserved.
    """
    there = (os.cpu_count() or 1) * PER_CPU
    wanted = math.ceil(min(there, cpus * PER_CPU))
    started_s = time.monotonic()
    with _opened() as handle:
        if wanted and wait:
            what = "waits for free CPUs on this machine"
            with _held(handle, QUEUE, say, what):
                _repeat(lambda: _take(handle, wanted, there) >= wanted, say, what)
        elif wanted:
            _take(handle, wanted, there, some=True)
        yield time.monotonic() - started_s


@contextmanager
def alone(say: Callable[[str], None]) -> Iterator[None]:
    """Keep other sessions from preparing the same images, cards and calibrations while the context lasts."""
    what = "waits for another session to prepare its board (sessions share images and calibrations)"
    with _opened() as handle, _held(handle, ALONE, say, what):
        yield


@contextmanager
def first_to_keep_awake() -> Iterator[bool]:
    """Yield whether this process has to keep the CPUs awake: True if no other process does so."""
    with _opened() as handle:
        yield _lock(handle, AWAKE)


def _take(handle: int, wanted: int, there: int, *, some: bool = False) -> int:
    """Lock `wanted` of the lock file's first `there` bytes. If too few are free, lock none.

    With `some`, lock the free bytes even if they are too few. Return how many were free, at most `wanted`.
    """
    taken: list[int] = []
    for byte in range(there):
        if len(taken) < wanted and _lock(handle, byte):
            taken.append(byte)
    if len(taken) < wanted and not some:
        for byte in taken:
            _lock(handle, byte, fcntl.F_UNLCK)
    return len(taken)


@contextmanager
def _held(handle: int, byte: int, say: Callable[[str], None], what: str) -> Iterator[None]:
    _repeat(lambda: _lock(handle, byte), say, what)
    try:
        yield
    finally:
        _lock(handle, byte, fcntl.F_UNLCK)


def _repeat(attempt: Callable[[], bool], say: Callable[[str], None], what: str) -> None:
    started_s, said_s = time.monotonic(), time.monotonic() - SAY_EVERY_S + 1
    while not attempt():
        now_s = time.monotonic()
        if now_s - said_s >= SAY_EVERY_S:
            said_s = now_s
            say(f"{what} ({now_s - started_s:.0f} s)")
        time.sleep(POLL_S)


def _lock(handle: int, byte: int, kind: int = fcntl.F_WRLCK) -> bool:
    """Lock a byte of the file, or unlock it if `kind` is F_UNLCK. Return False if it is locked elsewhere.

    The lock belongs to the open file and not to the process, so that each thread can have its turn.
    """
    request = struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0)
    try:
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, request)
    except (BlockingIOError, PermissionError):
        return False
    return True


@contextmanager
def _opened() -> Iterator[int]:
    """Yield a descriptor of the lock file, which all users share. Raises OSError if it is no regular file."""
    path = Path(os.environ.get(DIRECTORY) or tempfile.gettempdir()) / FILE
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):  # another session has just created it
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o666))
            path.chmod(0o666)
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
        yield handle
    finally:
        os.close(handle)
