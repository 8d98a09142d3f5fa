"""Makes SIGTERM, SIGHUP and a closed terminal end a session as Ctrl-C does.

Fixtures are torn down, boards are released, and reports are written.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

ENDING = (signal.SIGTERM, signal.SIGHUP)
STILL_CLEANING_UP = b"still cleaning up (Ctrl-C again stops it: boards and the next run clean up the rest)\n"


class Signals:
    """The hooks that handle SIGTERM and SIGHUP during a session.

    The first signal interrupts the test. Later signals are ignored, because a closed terminal or a stopped
    service often sends several, and they must not interrupt the clean-up.
    """

    def __init__(self) -> None:
        self._usual: dict[signal.Signals, Any] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Set the handlers, except for a signal that is ignored or handled already, as under nohup."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in ENDING:
            if signal.getsignal(number) == signal.SIG_DFL:
                self._usual[number] = signal.signal(number, self._end)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """Ignore SIGTERM and SIGHUP from now on, because the session is ending."""
        self._ignore()
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Restore the previous signal handlers."""
        for number, usual in self._usual.items():
            signal.signal(number, usual)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        self._ignore()
        _detach_closed_terminals()
        # Not pytest.exit: it raises an Exception, which any code in between may catch.
        raise KeyboardInterrupt(f"ended by {signal.Signals(number).name}")

    def _ignore(self) -> None:
        for number in self._usual:
            signal.signal(number, lambda *_: None)  # not SIG_IGN: child processes would inherit it


@contextmanager
def cleaning_up() -> Iterator[None]:
    """In the block, answer the first Ctrl-C with a message only; the second Ctrl-C interrupts the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def wait(*_: object) -> None:
        signal.signal(signal.SIGINT, usual)
        os.write(2, STILL_CLEANING_UP)  # a print() may be in progress

    usual = signal.getsignal(signal.SIGINT) or signal.default_int_handler
    signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _detach_closed_terminals() -> None:
    """Redirect descriptors of a closed terminal to the null device, because writing to them fails."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in [int(file.name) for file in Path("/dev/fd").iterdir()]:
        try:
            if stat.S_ISCHR(os.fstat(fd).st_mode):
                os.write(fd, b"")
        except OSError as error:
            if error.errno == errno.EIO:
                os.dup2(null, fd, inheritable=os.get_inheritable(fd))
    os.close(null)
