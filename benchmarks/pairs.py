"""Measuring two ways of doing the same, side by side: A B A B …, so that a slow minute is slow for both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """Seconds of the bare way and of ours, one right after the other."""

    bare_s: float
    ours_s: float

    @property
    def ratio(self) -> float:
        """How many times longer ours took."""
        return self.ours_s / self.bare_s

    @property
    def extra_ms(self) -> float:
        """How many milliseconds longer ours took."""
        return (self.ours_s - self.bare_s) * 1000


def alternate(bare: Callable[[], float], ours: Callable[[], float], count: int) -> list[Pair]:
    """Do both `count` times in turn and return what they say they took (s); a first pair only warms up."""
    bare()
    ours()
    return [Pair(bare(), ours()) for _ in range(count)]
