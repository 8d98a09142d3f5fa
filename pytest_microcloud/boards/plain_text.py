"""Untrusted text from a board, reduced to one plain line."""

from __future__ import annotations

LONGEST = 120
"""Maximum length of a text, in characters; the rest is cut off."""


def text(value: object, longest: int = LONGEST) -> str | None:
    """Return a string as one line without control characters; None for other types and if nothing remains."""
    if not isinstance(value, str):
        return None
    line = " ".join(value[: 4 * longest].split())
    return "".join(filter(str.isprintable, line))[:longest].strip() or None
