"""Names in messages: those that there are, and the one that a wrong name may have meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def listed(names: Collection[str], most: int = 30) -> str:
    """Return names with commas between them, and how many more there are."""
    shown = ", ".join(list(names)[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def did_you_mean(names: Iterable[str], known: Iterable[str], *, alike: float = 0.6) -> str:
    """Return, led in by a semicolon, the question whether the known name nearest to one of these was meant.

    `alike` is how near it has to be, from 0 to 1; the text is empty if none is.
    """
    import difflib

    there = list(known)
    near = (one for name in names for one in difflib.get_close_matches(name, there, n=1, cutoff=alike))
    meant = next(near, None)
    return "" if meant is None else f"; did you mean {meant!r}?"
