"""Passes on messages about what a session is doing on each board and on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class Progress:
    """Takes progress messages and discards them; subclasses show them.

    A subject is what a message is about: a board's name or "this machine".
    """

    def announce(self, subject: str, text: str) -> None:
        """Announce something that takes long."""

    def update(self, subject: str, text: str) -> None:
        """Show what is being done now."""

    def keep(self, lines: Iterable[str]) -> None:
        """Write lines that stay on the terminal."""

    def clear(self) -> None:
        """Remove the progress messages from the terminal."""


@dataclass(frozen=True)
class Steps:
    """Sends messages about one subject to a `Progress`."""

    progress: Progress
    subject: str

    def announce(self, text: str) -> None:
        """Announce something that takes long."""
        self.progress.announce(self.subject, text)

    def update(self, text: str) -> None:
        """Show what is being done now."""
        self.progress.update(self.subject, text)
