"""Reads a TOML file of a user. Every error names the file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pytest_microcloud.errors import CatalogError

LARGEST_BYTES = 4_000_000


def read(file: Path) -> dict[str, Any]:
    """Return the file's content as a dict. Raises CatalogError if it cannot be read or is not TOML."""
    try:
        if file.exists() and not (
            file.is_file() or file.is_dir()
        ):  # reading a FIFO or a device may never end
            raise CatalogError(f"{file}: is not a regular file")
        with file.open("rb") as opened:
            content = opened.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise CatalogError(f"{file}: cannot be read: {error.strerror}") from error
    if len(content) > LARGEST_BYTES:
        raise CatalogError(f"{file}: is larger than {LARGEST_BYTES / 1e6:.0f} MB")
    try:
        return tomllib.loads(content.decode())
    except RecursionError:
        raise CatalogError(f"{file}: is not TOML: it is nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, and integers of thousands of digits
        raise CatalogError(f"{file}: is not TOML: {error}") from None
