"""Stored runs: files that pytest-benchmark reads, too."""

from pytest_microcloud.runs.files import (
    SCHEMA,
    TRUSTED,
    WORST_FIRST,
    Entry,
    Run,
    Skipped,
    every,
    find,
    load,
    make_room,
    read,
    understood,
    unstorable,
    worst,
    write,
    write_text,
)

__all__ = [
    "SCHEMA",
    "TRUSTED",
    "WORST_FIRST",
    "Entry",
    "Run",
    "Skipped",
    "every",
    "find",
    "load",
    "make_room",
    "read",
    "understood",
    "unstorable",
    "worst",
    "write",
    "write_text",
]
