"""Makes text of unknown origin safe for a terminal and for XML."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text without control characters and lone surrogates, each replaced by U+FFFD."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
