"""Run files: pytest-benchmark's JSON, with what is ours in each benchmark's `extra_info["microcloud"]`."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_microcloud.errors import UserMistake

SCHEMA = 1
ROOM_BYTES = 65536
"""What has to be free before anything is measured: a small run."""


def make_room(directory: Path) -> None:
    """Make the directory of run files; raises UserMistake if none could be written there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(bytes(ROOM_BYTES))
    except OSError as error:
        raise UserMistake(
            f"{directory.parent}: no reports can be written there: {error.strerror}; "
            "make room, or name another directory with --microcloud-reports"
        ) from error


def write(file: Path, document: Mapping[str, Any]) -> None:
    """Write a run file in one step, so that a reader finds the old one or the new one and nothing between."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        partial.write_text(json.dumps(document, indent=1, default=str), encoding="utf-8")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
