"""What a driver is: where a board comes from, and its power. Nothing after it asks which driver it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pytest_microcloud.boards.link import Endpoint, Link


class Driver(Protocol):
    """Brings one board into being and takes it away again."""

    name: str
    emulated: bool
    boot_timeout_s: float
    """How long a board may take to answer after `start`; 0 for one that should be up already."""

    @property
    def cuts_power(self) -> bool:
        """Whether the power can be cut from outside, so that a board that hangs can be brought back."""

    def start(self) -> None:
        """Bring the board to where it boots; raises BoardError."""

    def endpoint(self) -> Endpoint:
        """Return where the board's sshd is now."""

    def gaps(self, link: Link) -> tuple[str, ...]:
        """Return, in words, what of the model this board does not have (nothing, for a real one)."""

    def made_of(self) -> dict[str, Any]:
        """Return what the board was made of, as far as it is known: for the run file, and for `like`."""

    def like(self, made_of: Mapping[str, Any]) -> dict[str, object]:
        """Return the inventory variables that make such a board in this one's place.

        Raises BoardError with the reason where none can be made.
        """

    def power_on_uptime_s(self, link: Link) -> float:
        """Return when its boot began, in seconds on the clock of its /proc/uptime.

        That is the power-on of an emulated board, and the start of a real one's kernel.
        """

    def power_cycle(self, link: Link) -> float | None:
        """Make a board that answers boot anew; returns when the old boot is going down.

        Returns when the power came back, on the controller's monotonic clock, if it was cut for that.
        """

    def cut_power(self) -> float:
        """Cut and restore the power of a board that need not answer; returns when it came back, as above."""

    def stop(self, *, keep: bool = False) -> None:
        """Give the board up; nothing of ours may be left. With `keep`, hand it over to the next run."""
