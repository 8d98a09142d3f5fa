"""Times two ways of doing the same thing in turn, A B A B …, so that a slow minute slows both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """Times (s) of the bare way and of our way, measured in direct succession."""

    bare_s: float
    ours_s: float

    @property
    def ratio(self) -> float:
        """The time of our way divided by the time of the bare way."""
        return self.ours_s / self.bare_s

    @property
    def extra_ms(self) -> float:
        """The time of our way minus the time of the bare way (ms)."""
        return (self.ours_s - self.bare_s) * 1000


def alternate(bare: Callable[[], float], ours: Callable[[], float], count: int) -> list[Pair]:
    """Call both functions in turn, `count` times after a warm-up, and return the times they report (s)."""
    bare()
    ours()
    return [Pair(bare(), ours()) for _ in range(count)]
