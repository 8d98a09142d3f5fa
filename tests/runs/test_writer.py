"""The lock that a session holds on its run file."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from pytest_microcloud.runs.writer import Writer, is_being_written


def test_a_run_is_written_where_the_file_system_has_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(handle: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    writer = Writer(tmp_path / "run.json")
    writer.write("{}")
    assert not is_being_written(writer.file)
    assert writer.file.read_text() == "{}"
    writer.close()
