"""What a driver is: where a board comes from, and its power. Nothing after it asks which driver it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pytest_microcloud.boards.link import Endpoint, Link


class Driver(Protocol):
    """Brings one board into being and takes it away again."""

    name: str
    emulated: bool
    boot_timeout_s: float
    """How long a board may take to answer after `start`; 0 for one that should be up already."""

    def start(self) -> None:
        """Bring the board to where it boots; raises BoardError."""

    def endpoint(self) -> Endpoint:
        """Return where the board's sshd is now."""

    def gaps(self, link: Link) -> tuple[str, ...]:
        """Return, in words, what of the model this board does not have (nothing, for a real one)."""

    def power_on_uptime_s(self, link: Link) -> float:
        """Return when the board's power came on, in seconds on the clock of its /proc/uptime."""

    def power_cycle(self, link: Link) -> None:
        """Make the board boot anew; returns when the old boot is going down."""

    def stop(self, *, keep: bool = False) -> None:
        """Give the board up; nothing of ours may be left. With `keep`, hand it over to the next run."""
