"""The driver protocol: a driver provides a board and controls its power."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pytest_microcloud.errors import BoardError

if TYPE_CHECKING:
    from docker import DockerClient

    from pytest_microcloud.boards.endpoint import Endpoint
    from pytest_microcloud.boards.link import Link
    from pytest_microcloud.boards.lock import Holder
    from pytest_microcloud.catalog import BoardModel, Workload
    from pytest_microcloud.inventory.target import Target


@dataclass(frozen=True)
class Found:
    """What a driver knows about a board without starting the board.

    `endpoint` is set if other sessions can log in to the board. Otherwise, `what` describes the board's
    state, and `holder` is the session that uses the board, if any.
    """

    endpoint: Endpoint | None = None
    what: str = "not running"
    holder: Holder | None = None


class Driver(ABC):
    """Provides one board and releases it again. Code outside a driver never checks which driver a board has.

    A driver derives from this class and implements `endpoint` and `reboot`. The other methods and attributes
    have defaults that suit a real board that is already up. A driver can also derive from `SshDriver`.
    """

    labelled: bool = False
    """Whether results carry the label "emulated"."""
    disposable: bool = False
    """Whether the board is removed after use, so that nothing on it has to be reverted."""
    own_hardware: bool = True
    """Whether clock, temperature, kernel and serial numbers are the board's and not the host's."""
    boot_timeout_s: float = 0.0
    """How long a board may take to respond after `start`; 0 for a board that should already be up."""

    def __init__(self, context: DriverContext) -> None:
        self.context = context
        self.target = context.target

    @property
    def cuts_power(self) -> bool:
        """Whether `cut_power` works, to recover a board that hangs."""
        return False

    @property
    def host_cpus(self) -> float:
        """How many CPUs of this machine the board itself uses; 0 for a board with its own hardware."""
        return 0.0

    def before_measurement(self) -> None:
        """Prepare this machine for a measurement that is about to begin."""
        return

    def start(self) -> None:
        """Create or prepare the board so that it boots. Raises BoardError."""
        return

    @abstractmethod
    def endpoint(self) -> Endpoint:
        """Return the current address of the board's sshd."""

    def find(self) -> Found:
        """Return the board's endpoint or state, without starting anything or waiting. Raises BoardError.

        A disposable board exists only while a session uses it.
        """
        return Found() if self.disposable else Found(self.endpoint())

    def gaps(self, link: Link) -> tuple[str, ...]:
        """Describe the aspects of the model that this board does not emulate; empty for a real board."""
        del link
        return ()

    def made_of(self) -> dict[str, Any]:
        """Return a dict that describes how the board was made (for example, its image), as far as known.

        The run file stores the description. `like` uses the description of another run's board to make an
        equal board.
        """
        return {}

    def emulated_by(self) -> dict[str, str]:
        """Return a dict from emulated aspects of the model to the means of emulation; empty for a real board.

        Figures of boards that are emulated by different means are not compared.
        """
        return {}

    def failure(self) -> str:
        """Return why the board is unreachable, or an empty string if the driver knows of no reason.

        If there is a reason, the board does not come back until its power is cut and restored.
        """
        return ""

    def like(self, made_of: Mapping[str, Any]) -> dict[str, object]:
        """Return a dict of the inventory variables that make this driver create a board equal to `made_of`.

        `made_of` is the description of a board in another run. Raises BoardError with the reason if an equal
        board cannot be made.
        """
        del made_of
        raise BoardError(self.target.name, "its driver cannot boot another image")

    def power_on_uptime_s(self, link: Link) -> float:
        """Return when the current boot started, in seconds on the clock of the board's /proc/uptime.

        For an emulated board, this is the time of its power-on. For a real board, it is 0: the clock starts
        with the kernel.
        """
        del link
        return 0.0

    @abstractmethod
    def reboot(self, link: Link) -> float | None:
        """Reboot a board that responds, and return as soon as the old boot is shutting down.

        The result is the time at which the power came back, on the controller's monotonic clock, if the
        driver cut the power. Otherwise it is None.
        """

    def cut_power(self) -> float:
        """Cut and restore the power of a board that may hang.

        Return the time at which the power came back, on the controller's monotonic clock. Raises BoardError.
        """
        raise BoardError(self.target.name, "its driver cannot cut its power")

    def stop(self, *, keep: bool = False) -> None:
        """Release the board and leave nothing behind. With `keep`, hand the board over to the next run."""
        del keep


@dataclass(frozen=True)
class DriverContext:
    """What a driver's factory needs to make a driver for one host.

    `run_id` labels everything that is created, `directory` is the run's private directory on the controller,
    and `workloads` are the catalog's workloads. `say` shows a progress message. `host_engine` returns the
    controller's Docker engine, after removing what killed runs left on it, or raises EngineMissing. `over` is
    the link to a running board, if the new board is to replace it with another image. `gateway` is the site
    on whose gateway this process runs; empty on the controller.
    """

    target: Target
    model: BoardModel
    run_id: str
    directory: Path
    workloads: tuple[Workload, ...]
    say: Callable[[str], None]
    host_engine: Callable[[], DockerClient]
    over: Link | None = None
    gateway: str = ""


DriverFactory = Callable[[DriverContext], Driver]


class DriverRegistry(Protocol):
    """The part of the registry that registers drivers."""

    def driver(
        self, name: str, make: DriverFactory, *, variables: Iterable[str] = (), addressed: bool = True
    ) -> None:
        """Register a driver; see `pytest_microcloud.registry.Registry.driver`."""
