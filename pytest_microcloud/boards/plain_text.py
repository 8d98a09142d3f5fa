"""Text from a board as one plain line: anybody may have written it."""

from __future__ import annotations

LONGEST = 120
"""Characters of a text; the rest is cut."""


def text(value: object, longest: int = LONGEST) -> str | None:
    """Return a text as one line without control characters; None if it is no text or nothing is left."""
    if not isinstance(value, str):
        return None
    line = " ".join(value[: 4 * longest].split())
    return "".join(filter(str.isprintable, line))[:longest].strip() or None
