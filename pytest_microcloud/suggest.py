"""Texts for messages about names: a list of the known names, and "did you mean …?" for a wrong one."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def listed(names: Collection[str], most: int = 30) -> str:
    """Return a text with the first `most` names, separated by commas, and with the number of the others."""
    shown = ", ".join(list(names)[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def did_you_mean(names: Iterable[str], known: Iterable[str], *, alike: float = 0.6) -> str:
    """Return "; did you mean …?" with the known name that is most similar to one of `names`.

    If no known name is similar enough, the text is empty. `alike` is the required similarity, from 0 to 1.
    """
    import difflib

    there = list(known)
    near = (one for name in names for one in difflib.get_close_matches(name, there, n=1, cutoff=alike))
    meant = next(near, None)
    return "" if meant is None else f"; did you mean {meant!r}?"
