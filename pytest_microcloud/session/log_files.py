"""Writes the logs of boards to files beside the run file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_microcloud.session.write_errors import WriteErrors


class LogFiles:
    """Writes boards' logs into the directory that is named after the run file."""

    def __init__(self, run_file: Path, write_errors: WriteErrors) -> None:
        self._directory = run_file.with_suffix("")
        self._write_errors = write_errors

    def write(self, name: str, log: str) -> None:
        """Write the log `log` to the file `name`; it replaces an earlier log with this name."""
        file = self._directory / name
        with self._write_errors.noted(f"log {file}"):
            self._directory.mkdir(parents=True, exist_ok=True)
            file.write_text(log)
