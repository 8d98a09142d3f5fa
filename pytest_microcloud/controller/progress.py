"""Where the steps of a session are shown: on boards, and on this machine."""

from __future__ import annotations

from dataclasses import dataclass


class Progress:
    """Receives each step as a subject (a board's name, "this machine") and a text; this one shows nothing."""

    def announce(self, subject: str, text: str) -> None:
        """Show a step that is rare and long."""

    def update(self, subject: str, text: str) -> None:
        """Show how far a step is."""


@dataclass(frozen=True)
class Steps:
    """The steps of one subject."""

    progress: Progress
    subject: str

    def announce(self, text: str) -> None:
        """Show a step that is rare and long."""
        self.progress.announce(self.subject, text)

    def update(self, text: str) -> None:
        """Show how far a step is."""
        self.progress.update(self.subject, text)
