"""Times two functions that do the same work in turn (A B A B …), so that a slow minute slows both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """The times (s) of the same work without this plugin and with it, measured one right after the other."""

    bare_s: float
    ours_s: float

    @property
    def ratio(self) -> float:
        """The time with this plugin divided by the time without it."""
        return self.ours_s / self.bare_s

    @property
    def extra_ms(self) -> float:
        """The time with this plugin minus the time without it (ms)."""
        return (self.ours_s - self.bare_s) * 1000


def alternate(bare: Callable[[], float], ours: Callable[[], float], count: int) -> list[Pair]:
    """Call both functions once to warm up, then `count` times in turn; return the times they report (s)."""
    bare()
    ours()
    return [Pair(bare(), ours()) for _ in range(count)]
