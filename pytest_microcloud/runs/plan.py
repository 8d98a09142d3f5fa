"""A run's plan: what the run is to measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MOST_BOOTS = 1_000_000


@dataclass(frozen=True)
class Plan:
    """What a run is to measure. `hosts` are the boards, and `boots` is the number of boots of each board.

    `tests` are node ids, and `baseline` is the value of --microcloud-baseline. All fields are empty in run
    files of earlier versions.
    """

    hosts: tuple[str, ...] = ()
    effort: str = ""
    boots: int = 0
    tests: tuple[str, ...] = ()
    baseline: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.boots <= MOST_BOOTS:
            raise ValueError(f"boots is {self.boots}, which is not from 0 to {MOST_BOOTS}")

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as a dict for the run file."""
        return vars(self) | {"hosts": list(self.hosts), "tests": list(self.tests)}

    def is_like(self, other: Plan, any_of: int = 0) -> bool:
        """Whether this plan has the boards, the effort and the number of boots of `other`.

        With `any_of`, this plan needs exactly that many of the other plan's boards instead of all.
        """
        same = set(self.hosts) <= set(other.hosts) and len(self.hosts) == (any_of or len(other.hosts))
        return same and (self.effort, self.boots) == (other.effort, other.boots)

    def __str__(self) -> str:
        boots = f"{self.boots} boot{'s' if self.boots > 1 else ''}"
        return f"{', '.join(self.hosts)}; {self.effort}; {boots}"
