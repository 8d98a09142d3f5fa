"""The `container` driver: a board emulated in a system container with systemd, sshd and Docker.

Its CPU share is calibrated with 7-Zip, its memory is what Linux sees on that model, and disk and link have
the model's published rates, as far as the host's kernel can limit them. It runs without `--privileged`.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_microcloud.boards import calibration, images
from pytest_microcloud.boards.drivers.container.disk import DiskLimits
from pytest_microcloud.boards.engine import KEEP_LABEL, explained, labels
from pytest_microcloud.boards.link import Endpoint
from pytest_microcloud.errors import EngineError, HostTooSmall

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from pytest_microcloud.boards.link import Link
    from pytest_microcloud.catalog import BoardModel
    from pytest_microcloud.inventory import Target

BOARD_LABEL = "microcloud.board"
SPEC_LABEL = "microcloud.spec"
CAPABILITIES = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "MKNOD", "SYS_BOOT", "SYS_NICE"]
UNCONFINED = ["seccomp=unconfined", "apparmor=unconfined"]
CLOCK_TICKS_PER_S = 100
HOST_RESERVE_BYTES = 512 * 2**20

Say = Callable[[str], None]


def board_image(engine: DockerClient, suite: str, say: Say) -> str:
    """Return the image of an emulated board: `suite` is a Debian release, or any Docker image's name."""
    base = suite if "/" in suite or ":" in suite else images.base(engine, suite, say)
    return images.build(engine, "board", Path(__file__).parent / "board", base, say)


class ContainerDriver:
    """One emulated board. `card` is an image of a prepared SD card (see `card.py`), or None for an empty one.

    `limited=False` leaves out the model's limits; a card is prepared on such a board.
    """

    name = "container"
    emulated = True
    boot_timeout_s = 600.0

    def __init__(
        self,
        engine: DockerClient,
        target: Target,
        model: BoardModel,
        run_id: str,
        directory: Path,
        say: Say,
        *,
        card: str | None = None,
        keep: bool = False,
        limited: bool = True,
    ) -> None:
        self._engine = engine
        self._target = target
        self._model = model
        self._run_id = run_id
        self._directory = directory
        self._say = say
        self._card = card
        self._keep = keep
        self._limited = limited
        self._container: Container | None = None
        self._volumes: list[Any] = []
        self._key = directory / "id"
        self._host_key = ""
        self._gaps: list[str] = []

    @property
    def container(self) -> Container:
        """The board's container; an error before `start`."""
        if self._container is None:
            raise EngineError(self._target.name, "is not started")
        return self._container

    def start(self) -> None:
        """Create the container with its limits, flash its card, put the keys in, power it on."""
        image = board_image(self._engine, self._target.image or images.WORKLOAD_SUITE, self._say)
        options = self._options(image)
        spec = hashlib.sha256(
            json.dumps([image, self._card, options], sort_keys=True, default=str).encode()
        ).hexdigest()[:16]
        if self._adopt(spec):
            return
        self._say("creating the emulated board")
        name = f"microcloud-{self._run_id}-{self._target.name}"
        marks = labels(self._run_id) | {BOARD_LABEL: self._target.name, SPEC_LABEL: spec}
        if self._keep:
            marks[KEEP_LABEL] = "1"
        with explained(self._target.name, "creating the emulated board"):
            mounts = {}
            for part, where in (("card", "/var/lib/docker"), ("data", "/var/tmp")):  # noqa: S108
                volume = self._engine.volumes.create(name=f"{name}-{part}", labels=marks)
                self._volumes.append(volume)
                mounts[volume.name] = {"bind": where, "mode": "rw"}
            if self._card is not None:
                self._flash(self._card, name, marks)
            self._container = self._create(image, name, marks, mounts, options)
            self._install_keys()
            self._container.start()

    def endpoint(self) -> Endpoint:
        """Return the container's address (it may change with a reboot) and the keys made for it."""
        with explained(self._target.name, "asking for the emulated board's address"):
            self.container.reload()
        networks = self.container.attrs["NetworkSettings"]["Networks"]
        address = next((n["IPAddress"] for n in networks.values() if n["IPAddress"]), "")
        return Endpoint(
            address=address or "0.0.0.0",  # noqa: S104 - refused at once, and tried again by the link
            user="root",
            identity_file=self._key,
            host_key=self._host_key,
        )

    def gaps(self, link: Link) -> tuple[str, ...]:
        """Return what is not emulated: by nature, and because this host's kernel cannot."""
        model, count = self._model, calibration.threads(self._model)
        lasting = [
            f"instruction set: the host's, not {model.isa[0] if model.isa else 'the model'}'s",
            "firmware and kernel start: start-up times are of user space alone",
            "temperature, throttling and power supply",
            "`free` and `top` on the board show the host's memory; its own limit is in its cgroup",
        ]
        if model.cores > 1:
            lasting.append("the bound of one core: a single thread may run faster than on the board")
        if count < model.cores:
            lasting.append(f"cores: {count} of {model.cores} are visible (calibrated together)")
        found = link.run("cat /run/microcloud-gaps").stdout.splitlines()
        if model.ethernet_bits_per_s is None and self._target.link_bits_per_s is None:
            lasting.append("link rate: no figure is published for this model")
        return (*lasting, *self._gaps, *found)

    def power_on_uptime_s(self, link: Link) -> float:
        """Return the start of the board's first process: /proc/uptime itself is the host's."""
        fields = link.run("cat /proc/1/stat").stdout.rpartition(")")[2].split()
        return int(fields[19]) / CLOCK_TICKS_PER_S

    def power_cycle(self, link: Link) -> None:
        """Reboot the board by its own systemd; the container's restart policy powers it on again."""
        link.run("systemctl reboot", check=False)

    def stop(self) -> None:
        """Remove the container and its volumes, unless the board is kept for the next run."""
        if self._keep:
            return
        from docker.errors import NotFound

        with explained(self._target.name, "removing the emulated board"):
            for thing in (self._container, *self._volumes):
                if thing is not None:
                    try:
                        thing.remove(force=True)
                    except NotFound:
                        continue
        self._container = None
        self._volumes = []

    def _create(
        self, image: str, name: str, marks: dict[str, str], mounts: dict[str, Any], options: dict[str, Any]
    ) -> Container:
        api = self._engine.api
        host = api.create_host_config(
            cap_add=CAPABILITIES,
            security_opt=UNCONFINED,
            cgroupns="private",
            restart_policy={"Name": "always"},
            tmpfs={"/run": "", "/run/lock": ""},
            binds=mounts,
            **options["limits"],
        )
        # The command line's systempaths=unconfined: the board's own Docker mounts /proc for its containers.
        host |= {"MaskedPaths": [], "ReadonlyPaths": []}
        created = api.create_container(
            image,
            name=name,
            hostname=self._target.name,
            labels=marks,
            environment=options["environment"],
            volumes=[mount["bind"] for mount in mounts.values()],
            host_config=host,
        )
        return self._engine.containers.get(created["Id"])

    def _options(self, image: str) -> dict[str, Any]:
        """Return the limits in docker-py's terms, and the environment; equal options make an equal board."""
        model, target = self._model, self._target
        if not self._limited:
            return {"limits": {}, "environment": {}}
        self._fits_host()
        calibrated = calibration.calibrate(self._engine, image, model, self._run_id, self._say)
        rate = target.link_bits_per_s or model.ethernet_bits_per_s or 0
        round_trip = target.round_trip_s if target.round_trip_s is not None else model.round_trip_s or 0
        disk = DiskLimits.of(self._engine, model)
        self._gaps += disk.gaps
        if abs(calibrated.deviation) > 0.05:
            self._gaps.append(
                f"CPU: 7-Zip rates {calibrated.rating:.0f} MIPS here and {calibrated.published:.0f} on the "
                "model, as this host was busy when it was calibrated; calibrate again on an idle one "
                "(`microcloud clean --cache`)"
            )
        return {
            "limits": {
                **calibration.bandwidth(calibrated.cpus),
                **disk.options,
                "cpuset_cpus": f"0-{calibration.threads(model) - 1}",
                "mem_limit": model.mem_total_bytes,
                "memswap_limit": model.mem_total_bytes,
            },
            "environment": {
                "MICROCLOUD_RATE_BITS": f"{rate:.0f}",
                "MICROCLOUD_DELAY_MS": f"{round_trip * 500:g}",
            },
        }

    def _fits_host(self) -> None:
        with explained("this machine", "asking for its memory"):
            host_bytes = int(self._engine.info()["MemTotal"])
        wanted = self._model.mem_total_bytes + HOST_RESERVE_BYTES
        if host_bytes < wanted:
            raise HostTooSmall(
                self._target.name,
                f"{self._model.name} has {self._model.mem_total_bytes / 2**20:.0f} MiB and this host "
                f"{host_bytes / 2**20:.0f} MiB: emulate it on a host with at least {wanted / 2**30:.1f} GiB, "
                "or use a real board",
            )

    def _adopt(self, spec: str) -> bool:
        """Take over a board of the same make that an earlier run kept; remove a kept one of another make."""
        found = self._engine.containers.list(
            all=True, filters={"label": [KEEP_LABEL, f"{BOARD_LABEL}={self._target.name}"]}
        )
        for container in found:
            if container.labels.get(SPEC_LABEL) == spec and container.status == "running":
                self._container = container
                self._volumes = [
                    self._engine.volumes.get(mount["Name"])
                    for mount in container.attrs["Mounts"]
                    if mount["Type"] == "volume"
                ]
                self._say("taking over the board that was kept")
                self._install_keys()
                return True
            container.remove(force=True, v=True)
        return False

    def _flash(self, card: str, name: str, marks: dict[str, str]) -> None:
        self._engine.containers.run(
            card,
            ["--xattrs", "--xattrs-include=*", "-xpf", "/card.tar", "-C", "/var/lib/docker"],
            entrypoint="tar",
            name=f"{name}-flash",
            labels=marks,
            cap_add=["SYS_ADMIN", "MKNOD"],
            volumes={f"{name}-card": {"bind": "/var/lib/docker", "mode": "rw"}},
            remove=True,
        )

    def _install_keys(self) -> None:
        """Make the board's host key and the login key here: both ends are known from the first byte."""
        own = self._directory / f"{self._target.name}.host"
        for key in (self._key, own):
            if not key.exists():
                subprocess.run(
                    ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "microcloud", "-f", str(key)],
                    check=True,
                    capture_output=True,
                    timeout=30,
                )
        self._host_key = own.with_name(own.name + ".pub").read_text().strip()
        login = self._key.with_name(self._key.name + ".pub").read_bytes()
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            home = tarfile.TarInfo("root/.ssh")
            home.type, home.mode = tarfile.DIRTYPE, 0o700
            tar.addfile(home)
            for path, content in (
                ("etc/ssh/ssh_host_ed25519_key", own.read_bytes()),
                ("etc/ssh/ssh_host_ed25519_key.pub", self._host_key.encode() + b"\n"),
                ("root/.ssh/authorized_keys", login),
            ):
                info = tarfile.TarInfo(path)
                info.size, info.mode, info.mtime = len(content), 0o600, int(time.time())
                tar.addfile(info, io.BytesIO(content))
        self.container.put_archive("/", archive.getvalue())
