"""What a driver is: where a board comes from, and its power. Nothing after it asks which driver it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from docker import DockerClient

    from pytest_microcloud.boards.endpoint import Endpoint
    from pytest_microcloud.boards.link import Link
    from pytest_microcloud.catalog import BoardModel, Workload
    from pytest_microcloud.inventory.target import Target


class Driver(Protocol):
    """Brings one board into being and takes it away again."""

    name: str
    labelled: bool
    """Whether results carry the label "emulated"."""
    disposable: bool
    """Whether the board may be thrown away: nothing on it has to be reverted."""
    own_hardware: bool
    """Whether clock, temperature, kernel and serial numbers are the board's and not the host's."""
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

    def emulated_by(self) -> dict[str, str]:
        """Return by what means each aspect of the model is emulated; nothing, for a real board.

        Figures of boards that are emulated by different means are not compared.
        """
        return {}

    def failure(self) -> str:
        """Return what the driver knows of why the board cannot be reached; empty if it knows nothing.

        Until its power is cut and restored, such a board does not come back.
        """
        return ""

    def like(self, made_of: Mapping[str, Any]) -> dict[str, object]:
        """Return the inventory variables that make such a board in this one's place.

        Raises BoardError with the reason where none can be made.
        """

    def power_on_uptime_s(self, link: Link) -> float:
        """Return when its boot began, in seconds on the clock of its /proc/uptime.

        That is the power-on of an emulated board, and the start of a real one's kernel.
        """

    def power_cycle(self, link: Link) -> float | None:
        """Reboot a board that answers; returns when the old boot is going down.

        Returns when the power came back, on the controller's monotonic clock, if it was cut for that.
        """

    def cut_power(self) -> float:
        """Cut and restore the power of a board that need not answer; returns when it came back, as above."""

    def stop(self, *, keep: bool = False) -> None:
        """Give the board up; nothing of ours may be left. With `keep`, hand it over to the next run."""


@dataclass(frozen=True)
class DriverContext:
    """What a driver is made from.

    `run_id` labels everything that is created, `directory` is the run's private directory on the controller,
    `workloads` are those of the catalog. `say` shows a line of progress. `host_engine` returns the
    controller's Docker engine, after removing what killed runs left on it; it raises EngineMissing if there
    is none.
    `over` is the link to a running board that the new one replaces.
    """

    target: Target
    model: BoardModel
    run_id: str
    directory: Path
    workloads: tuple[Workload, ...]
    say: Callable[[str], None]
    host_engine: Callable[[], DockerClient]
    over: Link | None = None


DriverFactory = Callable[[DriverContext], Driver]


class DriverRegistry(Protocol):
    """The part of the registry that drivers are registered with."""

    def driver(
        self, name: str, make: DriverFactory, *, variables: Iterable[str] = (), addressed: bool = True
    ) -> None:
        """Register a driver; see `pytest_microcloud.registry.Registry.driver`."""
