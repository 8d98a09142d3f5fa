"""Checks the numbers and ids in a user's catalog files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

LARGEST = 1e18
"""Upper bound of the numbers in a user's catalog file, whatever their unit."""
MAY_BE_ZERO = frozenset(("round_trip_s", "max", "min", "most"))
MAY_BE_ENDLESS = frozenset(("filling_seconds",))
RANGES: Mapping[str, tuple[float, float]] = {"port": (1, 65535), "cores": (1, 4096)}

BOARD_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?")
"""Matches the id of a board model, which is also an Ansible group's name and a part of tests' ids."""
WORKLOAD_ID = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+){0,20}")
"""Matches the id of a workload, which is also a Docker image's name and a part of tests' ids."""


def wrong_number(name: str, value: object) -> str:
    """Return why a number is invalid for the field `name`; empty if it is valid, or `value` is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if name in MAY_BE_ENDLESS and value == math.inf:
        return ""
    if not math.isfinite(value):
        return f"a finite number is needed, not {value}"
    least, most = RANGES.get(name, (0.0, LARGEST))
    if least <= value <= most and (value or name in MAY_BE_ZERO):
        return ""
    if name in RANGES:
        return f"a number from {least:g} to {most:g} is needed, not {value:g}"
    if value > most:
        return f"a number up to {most:g} is needed, not {float(value):g}"
    return f"a number {'of at least 0' if name in MAY_BE_ZERO else 'above 0'} is needed, not {value:g}"


def wrong_id(pattern: re.Pattern[str], name: str) -> str:
    """Return why a name is not a valid id for the pattern; empty if the name is valid."""
    if pattern.fullmatch(name) and len(name) <= 64:
        return ""
    letters = "lower-case letters" if pattern is WORKLOAD_ID else "letters"
    return f"an id consists of {letters}, digits, and `.`, `_` and `-` between them, not {name[:80]!r}"
