"""Run files: pytest-benchmark's JSON, with what is ours in each benchmark's `extra_info["microcloud"]`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEMA = 1


def write(file: Path, document: Mapping[str, Any]) -> None:
    """Write a run file in one step, so that a reader finds the old one or the new one and nothing between."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        partial.write_text(json.dumps(document, indent=1, default=str), encoding="utf-8")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
