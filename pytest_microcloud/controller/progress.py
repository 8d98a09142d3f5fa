"""Progress messages of a session's steps, on boards and on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class Progress:
    """Discards all messages; subclasses show them. A subject is a board's name or "this machine"."""

    def announce(self, subject: str, text: str) -> None:
        """Announce a step that takes long."""

    def update(self, subject: str, text: str) -> None:
        """Show the progress of a step."""

    def keep(self, lines: Iterable[str]) -> None:
        """Write lines that stay on the terminal."""

    def clear(self) -> None:
        """Remove the lines that show the progress of steps."""


@dataclass(frozen=True)
class Steps:
    """The progress messages of one subject."""

    progress: Progress
    subject: str

    def announce(self, text: str) -> None:
        """Announce a step that takes long."""
        self.progress.announce(self.subject, text)

    def update(self, text: str) -> None:
        """Show the progress of a step."""
        self.progress.update(self.subject, text)
