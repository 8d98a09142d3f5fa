"""What a run sets out to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MOST_BOOTS = 1_000_000


@dataclass(frozen=True)
class Plan:
    """What a run sets out to do: `tests` are the node ids of those that measure, `baseline` as it was named.

    `session` is the id of the session that works on it; its lock shows whether it still does. All is empty
    in run files of earlier versions.
    """

    hosts: tuple[str, ...] = ()
    effort: str = ""
    boots: int = 0
    tests: tuple[str, ...] = ()
    baseline: str = ""
    session: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.boots <= MOST_BOOTS:
            raise ValueError(f"{self.boots} boots are planned")

    def as_dict(self) -> dict[str, Any]:
        """Return it as the run file holds it."""
        return vars(self) | {"hosts": list(self.hosts), "tests": list(self.tests)}

    def is_like(self, other: Plan) -> bool:
        """Whether it is of the same boards, effort and boots."""
        return (set(self.hosts), self.effort, self.boots) == (set(other.hosts), other.effort, other.boots)

    def __str__(self) -> str:
        boots = f"{self.boots} boot{'s' if self.boots > 1 else ''}"
        return f"{', '.join(self.hosts)}; {self.effort}; {boots}"
