"""The network of an emulated board: a separate container, whose network namespace the board joins.

The container shapes the link (`network/network-init`) and, on kernels without sch_netem, runs the delay line.
Neither takes CPU time of the board. The container keeps running while the board reboots. If it ends, no
packet reaches the board.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_microcloud.controller import images
from pytest_microcloud.controller.engine import explained, host_labels
from pytest_microcloud.errors import DeadlineExceeded, EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from docker import DockerClient
    from docker.models.containers import Container

CAPABILITIES = ["NET_ADMIN", "SYS_NICE"]
SHARES = 16 * 1024
"""CPU weight of the network's container; other containers have 1024. A packet that is due must not wait for
the programs on the board."""
CONTROL_PORT = 1022
"""Port of the board's sshd for the session's own commands. The emulated round trip does not delay them."""
READY_TIMEOUT_S = 30.0
FRAME_BYTES = 1514
PAYLOAD_BYTES = 1448
"""TCP payload of a full IPv4 frame with timestamps; published rates count payload only."""
SUFFIX = "-network"


def network_image(engine: DockerClient, say: Callable[[str], None]) -> str:
    """Return the tag of the network's image, built from Debian packages once. Raises EngineError."""
    base = images.base(engine, images.WORKLOAD_SUITE, say)
    return images.build(engine, "network", Path(__file__).parent / "network", base, say)


@dataclass(frozen=True)
class Emulation:
    """How a board's link is emulated on this host.

    `means` maps each emulated aspect of the link to the means of emulation. `gaps` describes the aspects that
    are not emulated.
    """

    means: dict[str, str] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()


class Network:
    """The network container of one emulated board.

    The rate is the same in both directions. A rate of 0 means no limit, and a round trip of 0 means no delay.
    """

    def __init__(
        self,
        engine: DockerClient,
        image: str,
        board: str,
        *,
        rate_bits_per_s: float = 0.0,
        round_trip_s: float = 0.0,
    ) -> None:
        self._engine = engine
        self._image = image
        self._board = board
        self._environment = {
            "MICROCLOUD_RATE_BITS": f"{rate_bits_per_s * FRAME_BYTES / PAYLOAD_BYTES:.0f}",
            "MICROCLOUD_ROUND_TRIP_US": f"{round_trip_s * 1e6:.0f}",
            "MICROCLOUD_CONTROL_PORT": str(CONTROL_PORT),
        }
        self._container: Container | None = None
        self.emulation = Emulation()

    @property
    def spec(self) -> tuple[str, dict[str, str]]:
        """The network's specification. Networks with equal specifications are interchangeable."""
        return self._image, self._environment

    @property
    def container(self) -> Container:
        """The network's container. Raises EngineError before `start`."""
        if self._container is None:
            raise EngineError(self._board, "its network is not started")
        return self._container

    @property
    def mode(self) -> str:
        """The engine's network mode with which the board's container joins this network."""
        return f"container:{self.container.id}"

    def start(self, name: str, run_id: str) -> None:
        """Start the network of the board whose container is `name`. Raises EngineError, DeadlineExceeded."""
        api = self._engine.api
        with explained(self._board, "creating the emulated board's network"):
            created = api.create_container(
                self._image,
                name=f"{name}{SUFFIX}",
                hostname=self._board,  # the board shares this host name
                labels=host_labels(run_id),
                environment=self._environment,
                host_config=api.create_host_config(cap_add=CAPABILITIES, cpu_shares=SHARES),
            )
            self._container = self._engine.containers.get(created["Id"])
        self.restart()

    def restart(self) -> None:
        """Start or restart the network. Containers that joined the network must then restart as well."""
        with explained(self._board, "starting the emulated board's network"):
            self.container.restart(timeout=0)
        self._wait()

    def adopt(self, board: Container) -> bool:
        """Take over the network that a kept board has joined. Return False if the network has ended."""
        from docker.errors import NotFound

        try:
            self._container = self._engine.containers.get(_joined(board))
        except NotFound:
            return False
        return not self.failure() and self._read()

    def hand_over(self, name: str) -> None:
        """Rename the network to match a board's new name."""
        if self.container.name != f"{name}{SUFFIX}":
            self.container.rename(f"{name}{SUFFIX}")

    def address(self) -> str:
        """Return the board's address; empty if the board has none. Raises EngineError."""
        with explained(self._board, "reading the emulated board's address"):
            self.container.reload()
        networks = self.container.attrs["NetworkSettings"]["Networks"]
        return next((n["IPAddress"] for n in networks.values() if n["IPAddress"]), "")

    def failure(self) -> str:
        """Return a message if the network has ended; an empty string if it runs."""
        from docker.errors import NotFound

        if self._container is None:
            return ""
        part = "delay line" if self.emulation.means.get("round_trip") == "delay line" else "network"
        try:
            with explained(self._board, "reading the state of the emulated board's network"):
                self._container.reload()
        except EngineError as error:
            return f"its {part} is gone" if isinstance(error.__cause__, NotFound) else ""
        state = self._container.attrs["State"]
        if state["Running"]:
            return ""
        return f"its {part} ended (exit code {state['ExitCode']}), and no packet reaches the board"

    def stop(self) -> None:
        """Remove the network. The caller must remove the board's container first."""
        from docker.errors import NotFound

        if self._container is not None:
            with suppress(NotFound):
                self._container.remove(force=True, v=True)
            self._container = None

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self._read():
            if failure := self.failure():
                raise EngineError(self._board, f"{failure}: {self._output()[-300:] or 'no output'}")
            if time.monotonic() > deadline:
                raise DeadlineExceeded(
                    self._board, f"its network was not ready within {READY_TIMEOUT_S:.0f} s"
                )
            time.sleep(0.02)

    def _output(self) -> str:
        """Return the container's output since its last start."""
        with explained(self._board, "reading the output of the emulated board's network"):
            self.container.reload()
            return self.container.logs().decode(errors="replace").rpartition("starting\n")[2]

    def _read(self) -> bool:
        """Read the container's report on the emulation of the link. Return whether the report is complete."""
        lines = self._output().splitlines()
        means = [line.split(" ", 2)[1:] for line in lines if line.startswith("means ")]
        gaps = [line.partition(" ")[2] for line in lines if line.startswith("gap ")]
        self.emulation = Emulation(dict(means), tuple(gaps))
        return "ready" in lines


def _joined(board: Container) -> str:
    return str(board.attrs["HostConfig"]["NetworkMode"]).partition(":")[2]
