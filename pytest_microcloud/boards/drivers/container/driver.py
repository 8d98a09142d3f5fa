"""The `container` driver: a board emulated by a system container with systemd, sshd and Docker.

The board's CPU share is calibrated with 7-Zip. Its memory limit is the memory size that Linux reports on a
real board of the model. Disk and link have the model's published rates, as far as the host's kernel can limit
them. The container runs without `--privileged`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pytest_microcloud.boards.drivers.container import calibration, card, isolation, page_cache, presence
from pytest_microcloud.boards.drivers.container.alterations import altered
from pytest_microcloud.boards.drivers.container.awake import Awake
from pytest_microcloud.boards.drivers.container.disk import DiskLimits
from pytest_microcloud.boards.drivers.container.keys import Keys
from pytest_microcloud.boards.drivers.container.network import CONTROL_PORT, Network, network_image
from pytest_microcloud.boards.drivers.container.os_image import board_image
from pytest_microcloud.boards.drivers.container.presence import BOARD_LABEL
from pytest_microcloud.boards.drivers.protocol import Driver, Found
from pytest_microcloud.boards.endpoint import Endpoint
from pytest_microcloud.controller import images, lease, turns
from pytest_microcloud.controller.engine import (
    KEPT_PREFIX,
    RUN_LABEL,
    explained,
    host_labels,
)
from pytest_microcloud.errors import BoardError, EngineError, HostTooSmall, LinkError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container
    from docker.models.volumes import Volume

    from pytest_microcloud.boards.drivers.protocol import DriverContext
    from pytest_microcloud.boards.link import Link
    from pytest_microcloud.controller.tethered import Tethered

SPEC_LABEL = "microcloud.spec"
CLOCK_TICKS_PER_S = 100
HOST_RESERVE_BYTES = 512 * 2**20


class ContainerDriver(Driver):
    """Provides one emulated board.

    `prepared=False` makes a board without the model's limits and with an empty SD card, on which `card.py`
    prepares the contents of cards.
    """

    labelled = True
    disposable = True
    own_hardware = False
    boot_timeout_s = 600.0
    cuts_power = True

    def __init__(self, context: DriverContext, *, prepared: bool = True) -> None:
        super().__init__(context)
        self._model = context.model
        self._run_id = context.run_id
        self._directory = context.directory
        self._say = context.say
        self._prepared = prepared
        self._card: str | None = None
        self._container: Container | None = None
        self._volumes: list[Volume] = []
        self._lease: Tethered | None = None
        self._awake: Awake | None = None
        self._network: Network | None = None
        self._keys = Keys(context.directory, context.target.name)
        self._gaps: list[str] = []
        self._made_of: dict[str, Any] = {}

    @cached_property
    def _engine(self) -> DockerClient:
        return self.context.host_engine()

    @property
    def container(self) -> Container:
        """The board's container. Raises EngineError before `start`."""
        if self._container is None:
            raise EngineError(self.target.name, "is not started")
        return self._container

    @property
    def network(self) -> Network:
        """The network that the board has joined. Raises EngineError before `start`."""
        if self._network is None:
            raise EngineError(self.target.name, "is not started")
        return self._network

    @property
    def host_cpus(self) -> float:
        """The number of this host's CPUs that the board gets: the calibrated number times the CPU share."""
        return float(self._made_of.get("calibrated_cpus", 0.0)) * self.target.cpu_share

    def before_measurement(self) -> None:
        """Keep this host's CPUs awake (see `Awake`), unless another board does so."""
        if self._awake is not None:
            self._awake.start()

    def start(self) -> None:
        """Power on a new board from a prepared card, or take over an equal board that an earlier run kept."""
        _ = self._engine  # not within `turns.alone`: preparing the engine takes the same lock
        # Sessions share images, cards and calibrations, so one session at a time prepares them. The board on
        # which a card is prepared starts while its session already holds that lock.
        with turns.alone(self._say) if self._prepared else nullcontext():
            image, options = self._prepare()
        parts = [image, self._card, options, self.network.spec]
        spec = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
        with explained(self.target.name, "creating the emulated board"):
            if not self._adopt(spec):
                self._make(image, spec, options)

    def _prepare(self) -> tuple[str, dict[str, Any]]:
        """Prepare the board's card, image and network; return the image and docker-py's options."""
        if self._prepared:
            self._card = card.prepared(self.context, self._engine, partial(ContainerDriver, prepared=False))
        suite = self.target.image or images.WORKLOAD_SUITE
        image = board_image(self._engine, suite, self._say)
        with explained("this machine", f"looking for {image}"):
            self._made_of = {"image": suite, "image_id": str(self._engine.images.get(image).id)}
        if self._prepared:
            self._awake = Awake(self._engine, image, self.target.name, self._run_id)
            self._awake.start()
        options = self._options()
        link = network_image(self._engine, self._say)
        self._network = Network(self._engine, link, self.target.name, **options.pop("link"))
        return image, options

    def _make(self, image: str, spec: str, options: dict[str, Any]) -> None:
        self._say("creating the emulated board")
        name = f"microcloud-{self._run_id}-{self.target.name}"
        marks = host_labels(self._run_id)
        mounts = {}
        for part, where in (("card", "/var/lib/docker"), ("data", "/var/tmp")):  # noqa: S108
            volume = self._engine.volumes.create(name=f"{name}-{part}", labels=marks)
            self._volumes.append(volume)
            mounts[str(volume.name)] = {"bind": where, "mode": "rw"}
        if self._card is not None:
            card.flash(self._engine, self._card, f"{name}-card", self.target.name, self._run_id)
        self.network.start(name, self._run_id)
        marks |= {BOARD_LABEL: self.target.name, SPEC_LABEL: spec}
        self._container = self._create(image, name, marks, mounts, options)
        self._keys.install(self.container)
        if self._prepared:
            page_cache.read_in(self._engine, image, self.target.name, self._run_id)
        self._container.start()

    def endpoint(self) -> Endpoint:
        """Return an endpoint with the address of the board's network and the keys made for the board."""
        return Endpoint(
            address=self.network.address() or "0.0.0.0",  # noqa: S104 - refused at once; the link retries
            port=CONTROL_PORT,
            user="root",
            identity_file=self._keys.login,
            host_key=self._keys.host_key,
        )

    def find(self) -> Found:
        """Find the board by its labels, because only the session that started the board has its keys."""
        return presence.find(self._engine, self.target.name)

    def gaps(self, link: Link) -> tuple[str, ...]:
        """Describe the aspects of the model that a container or this host's kernel cannot emulate."""
        model, count = self._model, calibration.threads(self._model)
        lasting = [
            f"instruction set: the host's, not {model.isa[0] if model.isa else 'the model'}'s",
            "firmware and kernel start: start-up times cover user space only",
            "temperature, throttling and power supply",
            "memory bandwidth and caches: the host's",
            "CPU of the network stack: bridging, NAT and proxying of packets use no CPU time of the board",
            page_cache.GAP,
            "`free` and `top` on the board show the host's memory; the board's limit is in its cgroup",
        ]
        if model.cores > 1:
            lasting.append("the limit per core: a single thread may run faster than on a real board")
        if count < model.cores:
            lasting.append(f"cores: {count} of {model.cores} are visible, as fast as all {model.cores}")
        if model.kind == "vm":
            lasting.append("CPU credits: the board always runs at burst speed and never falls to a baseline")
        if model.ethernet_bits_per_s is None and self.target.link_bits_per_s is None:
            lasting.append("link rate: no figure is published for this model")
        return (*lasting, *self._gaps, *self.network.emulation.gaps)

    def made_of(self) -> dict[str, Any]:
        """Return a dict of the board's image, calibrated CPUs, CPU share and link, and the host's CPU.

        The value of `altered` is a list of the differences from the model that the inventory sets.
        """
        return self._made_of

    def emulated_by(self) -> dict[str, str]:
        """Return a dict from the aspects of the link (round trip, rate) to the means of emulation."""
        return dict(self._network.emulation.means) if self._network is not None else {}

    def failure(self) -> str:
        """Return a message if the board's container or network has ended; otherwise an empty string."""
        from docker.errors import NotFound

        if self._container is None or self._network is None:
            return ""
        try:
            with explained(self.target.name, "reading the state of the emulated board"):
                self._container.reload()
        except EngineError as error:
            return "its container is gone" if isinstance(error.__cause__, NotFound) else ""
        if self._container.status == "exited":  # the engine restarts it, unless a user has stopped it
            return "its container has ended"
        return self._network.failure()

    def like(self, made_of: Mapping[str, Any]) -> dict[str, object]:
        """Return the variables for image and CPU share. Raises BoardError if the image is unknown or gone."""
        from docker.errors import ImageNotFound

        name, image, image_id = self.target.name, made_of.get("image"), made_of.get("image_id")
        if not image_id:
            raise BoardError(name, "the other run does not state the image of its board")
        with explained("this machine", f"looking for {image}"):
            try:
                self._engine.images.get(str(image_id))
            except ImageNotFound:
                raise BoardError(
                    name, f"the other run's image of {image} ({image_id}) no longer exists on this machine"
                ) from None
        share = float(made_of.get("cpu_share") or 1.0)
        return {"microcloud_image": image_id, "microcloud_cpu_share": share}

    def power_on_uptime_s(self, link: Link) -> float:
        """Return when the board's first process started (s since the host's boot, as in /proc/uptime)."""
        fields = link.run("cat /proc/1/stat").stdout.rpartition(")")[2].split()
        return int(fields[19]) / CLOCK_TICKS_PER_S

    def reboot(self, link: Link) -> None:
        """Reboot the board with its own systemd; the container's restart policy powers it on again."""
        with suppress(LinkError):  # the board may close the connection before it responds
            link.run("systemctl reboot", check=False)

    def cut_power(self) -> float:
        """Kill all processes of the board and power it on; restart its network first if the network ended."""
        if self.network.failure():
            self.network.restart()
        with explained(self.target.name, "cutting the emulated board's power"):
            self.container.restart(timeout=0)
        return time.monotonic()

    def stop(self, *, keep: bool = False) -> None:
        """Remove the container and its volumes, or with `keep` leave them for the next run."""
        try:
            with explained(self.target.name, "releasing the emulated board"):
                if keep and self._container is not None:
                    self._hand_over(self._container)
                else:
                    try:
                        _remove(self._container, *self._volumes)
                    finally:
                        if self._network is not None:
                            self._network.stop()
        finally:
            if self._awake is not None:
                self._awake.stop()
            self._release()
        self._container = None
        self._volumes = []

    def _hand_over(self, container: Container) -> None:
        if not str(container.name).startswith(KEPT_PREFIX):
            container.rename(f"{KEPT_PREFIX}{self._run_id}-{self.target.name}")
        container.reload()
        self.network.hand_over(str(container.name))

    def _release(self) -> None:
        if self._lease is not None:
            self._lease.end()
            self._lease = None

    def _create(
        self, image: str, name: str, marks: dict[str, str], mounts: dict[str, Any], options: dict[str, Any]
    ) -> Container:
        api = self._engine.api
        host = api.create_host_config(
            cap_add=isolation.CAPABILITIES,
            security_opt=isolation.UNCONFINED,
            cgroupns="private",
            restart_policy={"Name": "always"},
            tmpfs={"/run": "", "/run/lock": ""},
            binds=mounts,
            network_mode=self.network.mode,
            **options["limits"],
        )
        created = api.create_container(
            image,
            name=name,
            labels=marks,
            volumes=[mount["bind"] for mount in mounts.values()],
            host_config=host | isolation.paths(),
        )
        return self._engine.containers.get(created["Id"])

    def _options(self) -> dict[str, Any]:
        """Return a dict of two dicts: docker-py's options for the limits, and the options of `Network`.

        Boards with equal options are interchangeable.
        """
        model, target = self._model, self.target
        if not self._prepared:
            return {"limits": {}, "link": {}}
        self._fits_host()
        # Calibrate with the 7-Zip of one OS image. Otherwise, an OS with a slower 7-Zip would get more CPUs.
        yardstick = board_image(self._engine, images.WORKLOAD_SUITE, self._say)
        calibrated = calibration.calibrate(self._engine, yardstick, model, self._run_id, self._say)
        self._made_of |= {
            "calibrated_cpus": calibrated.cpus,
            "cpu_share": target.cpu_share,
            "host": calibration.host_cpu().partition(":")[2].strip(),
        }
        alterations = altered(target, model)
        self._made_of["altered"] = list(alterations)
        self._gaps += alterations.values()
        rate = target.link_bits_per_s or model.ethernet_bits_per_s or 0
        round_trip = target.round_trip_s if target.round_trip_s is not None else model.round_trip_s or 0
        self._made_of |= {"link_bits_per_s": rate, "round_trip_s": round_trip}
        disk = DiskLimits.of(self._engine, model)
        self._gaps += disk.gaps
        if calibrated.scatter > calibration.ALIKE:
            self._gaps.append(
                f"CPU: 7-Zip's readings scattered by {calibrated.scatter:.0%} when this host was calibrated, "
                "because it was busy; calibrate again when it is idle (`microcloud clean --cache`)"
            )
        return {
            "limits": {
                **calibration.bandwidth(calibrated.cpus * target.cpu_share),
                **disk.options,
                "cpuset_cpus": f"0-{calibration.threads(model) - 1}",
                "mem_limit": model.mem_total_bytes,
                "memswap_limit": model.mem_total_bytes,
            },
            "link": {"rate_bits_per_s": rate, "round_trip_s": round_trip},
        }

    def _fits_host(self) -> None:
        with explained("this machine", "reading its memory size"):
            host_bytes = int(self._engine.info()["MemTotal"])
        wanted = self._model.mem_total_bytes + HOST_RESERVE_BYTES
        if host_bytes < wanted:
            raise HostTooSmall(
                self.target.name,
                f"{self._model.name} has {self._model.mem_total_bytes / 2**20:.0f} MiB, and this host has "
                f"{host_bytes / 2**20:.0f} MiB: emulate it on a host with at least {wanted / 2**30:.1f} GiB, "
                "or use a real board",
            )

    def _adopt(self, spec: str) -> bool:
        """Take over a kept board if it has the same specification; otherwise remove the kept board.

        Return whether a board was taken over. While this run uses the board, the run that created the board
        counts as alive, so that no other run takes or removes the board.
        """
        marks = presence.labels_of(self.target.name)
        filters: dict[str, str | list[str] | bool] = {"name": f"^/?{KEPT_PREFIX}", "label": marks}
        for container in self._engine.containers.list(all=True, ignore_removed=True, filters=filters):
            base = images.base(self._engine, images.WORKLOAD_SUITE, self._say)
            self._lease = lease.take(self._engine, base, container.labels[RUN_LABEL])
            if self._lease is None:
                continue
            volumes = self._volumes_of(container)
            there = self.network.adopt(container)
            if there and container.labels.get(SPEC_LABEL) == spec and container.status == "running":
                self._container, self._volumes = container, volumes
                self._say("taking over the board that was kept")
                self._keys.install(self.container)
                return True
            _remove(container, *volumes)
            self.network.stop()
            self._release()
        return False

    def _volumes_of(self, container: Container) -> list[Volume]:
        mounts = container.attrs["Mounts"]
        return [self._engine.volumes.get(mount["Name"]) for mount in mounts if mount["Type"] == "volume"]


def _remove(container: Container | None, *volumes: Volume) -> None:
    from docker.errors import NotFound

    with suppress(NotFound):
        if container is not None:
            container.remove(force=True, v=True)
    for volume in volumes:
        with suppress(NotFound):
            volume.remove(force=True)
