"""Real boards for tests: system containers that the plugin did not create and reaches only over SSH.

They are of the image of an emulated board, without its limits and labels, each at an address of its own that
it keeps over reboots, as a board on a desk does. What a killed test session left is removed by the next one.
"""

from __future__ import annotations

import io
import secrets
import shlex
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, cast

from pytest_microcloud import inventory as inventories
from pytest_microcloud import shipped
from pytest_microcloud.boards.drivers import DEFAULT
from pytest_microcloud.boards.drivers.container import isolation
from pytest_microcloud.boards.drivers.container.os_image import board_image
from pytest_microcloud.boards.rack import Rack
from pytest_microcloud.controller import images, lease
from pytest_microcloud.controller.progress import Progress
from pytest_microcloud.controller.workspace import Workspace, new_run_id
from tests.support.machines import (
    ENTRYPOINT,
    OTHERS,
    OWN,
    PASSWORD,
    STATE,
    SUDO,
    How,
)

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container
    from docker.models.networks import Network
    from docker.models.volumes import Volume

    from pytest_microcloud.catalog import Catalog

LABEL = "microcloud.tests"
PATIENCE_S = 120.0
BOOTED = "systemctl is-system-running | grep -qE 'running|degraded'"


class RealBoards:
    """The real boards of a test session and their network."""

    def __init__(self, engine: DockerClient, catalog: Catalog, directory: Path) -> None:
        self.engine = engine
        self.catalog = catalog
        self.directory = directory
        session = new_run_id()
        held = lease.take(engine, images.base(engine, images.WORKLOAD_SUITE, print), session)
        assert held is not None
        self._lease = held
        self.labels = {LABEL: session}
        self.key = directory / "id"
        _make_key(self.key)
        self._network: Network | None = None
        self._addresses: Iterator[str] = iter(())
        self._boards: list[RealBoard] = []
        remove_left(engine)

    def new(self, name: str = "desk", **how: Unpack[How]) -> RealBoard:
        """Return a new board that is up; `remove` it, or leave it to the end of the session."""
        if self._network is None:
            self._network, self._addresses = self._connected()
        directory = self.directory / secrets.token_hex(3)
        directory.mkdir()
        board = RealBoard(self, self._network, name, next(self._addresses), directory, how)
        self._boards.append(board)
        board.start()
        return board

    def rack(self, inventory: Path, hosts: str) -> Rack:
        """Return a rack with those hosts of an inventory."""
        registry = shipped.registry()
        targets = inventories.read(inventory, hosts, self.catalog.models, registry.driver_rules, DEFAULT)
        drivers, tools = registry.drivers, registry.tools
        return Rack(targets, self.catalog, drivers, Workspace(new_run_id()), Progress(), tools=tools)

    def close(self) -> None:
        """Remove all boards and then their network, even if a step fails."""
        with ExitStack() as stack:
            stack.callback(self._lease.end)
            if self._network is not None:
                stack.callback(self._network.remove)
            for board in self._boards:
                stack.callback(board.remove)

    def _connected(self) -> tuple[Network, Iterator[str]]:
        """Return a network with a free subnet, configured explicitly so that addresses can be assigned.

        The engine selects a subnet first, which is then configured explicitly.
        """
        from docker.types import IPAMConfig, IPAMPool

        name = f"microcloud-tests-{secrets.token_hex(4)}"
        tried = self.engine.networks.create(name, labels=self.labels)
        tried.reload()
        subnet = tried.attrs["IPAM"]["Config"][0]["Subnet"]
        tried.remove()
        ipam = IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)])
        prefix = subnet.rsplit(".", 1)[0]
        network = self.engine.networks.create(name, ipam=ipam, labels=self.labels)
        return network, (f"{prefix}.{host}" for host in range(2, 255))


class RealBoard:
    """A machine with sshd and an engine; `key` is the login key of `user`, `known_hosts` has its host key."""

    def __init__(
        self, boards: RealBoards, network: Network, name: str, address: str, directory: Path, how: How
    ) -> None:
        self.name = name
        self.address = address
        self.directory = directory
        self.how = how
        self.user = how.get("user", "root")
        self.key = boards.key
        self.known_hosts = directory / "known_hosts"
        self.container: Container
        self._boards = boards
        self._network = network
        self._engine = how.get("engine", "docker")
        self._made: list[Container | Volume] = []
        self._racks: list[Rack] = []

    def start(self) -> None:
        """Create the machine, install the keys, and wait until it is up and set up."""
        self.container = self._create()
        self._made.insert(0, self.container)
        self._install_host_key()
        self.container.start()
        self._wait_for(BOOTED)
        self._set_up()
        self.wait_until_up()
        if count := self.how.get("others_containers", 0):
            self.shell(OTHERS.format(count=count))

    def shell(self, command: str, *, check: bool = True) -> str:
        """Run a shell command on the board as root, without SSH, and return its output."""
        status, output = self.container.exec_run(["sh", "-c", command])
        said = cast("bytes", output).decode(errors="replace")
        assert status == 0 or not check, f"{self.name}: {command!r} exited with {status}: {said}"
        return said

    def state(self) -> list[str]:
        """Return what a run could leave: containers, images, packages, services, processes, files."""
        return self.shell(STATE.format(engine=self._engine or "true", own=OWN)).splitlines()

    def changes_since(self, before: list[str], *, patience_s: float = PATIENCE_S) -> list[str]:
        """Wait for the board to settle; return the additions (+) and removals (-) since an earlier state."""
        deadline = time.monotonic() + patience_s
        while True:
            now = self.state()
            changes = [f"+ {line}" for line in sorted({*now} - {*before})]
            changes += [f"- {line}" for line in sorted({*before} - {*now})]
            if not changes or time.monotonic() > deadline:
                return changes
            time.sleep(0.5)

    def variables(self, **more: object) -> dict[str, str]:
        """Return the board's inventory variables; `more` overrides them, and None removes one."""
        usual: dict[str, object] = {
            "ansible_host": self.address,
            "ansible_user": self.user,
            "ansible_ssh_private_key_file": self.key,
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.known_hosts}",
        }
        if self._engine == "podman":
            usual["microcloud_docker_socket"] = "/run/podman/podman.sock"
        return {name: str(value) for name, value in (usual | more).items() if value is not None}

    def inventory_line(self, **variables: object) -> str:
        """Return the board's line for hosts.ini, with `variables` on top."""
        words = [f"{name}={shlex.quote(value)}" for name, value in self.variables(**variables).items()]
        return " ".join([self.name, *words])

    def inventory(self, model: str = "pi3b", **variables: object) -> Path:
        """Write a hosts.ini with only this board, in its model's group."""
        file = self.directory / f"{secrets.token_hex(3)}.ini"
        file.write_text(f"[{model}]\n{self.inventory_line(**variables)}\n")
        return file

    def in_rack(self, model: str = "pi3b", **variables: object) -> Rack:
        """Return a rack with this board, as in a session; it is closed with the board at the latest."""
        rack = self._boards.rack(self.inventory(model, **variables), self.name)
        self._racks.append(rack)
        return rack

    def reboot(self) -> None:
        """Reboot, and return when the next boot has begun; the board is not up yet."""
        boot = "/proc/sys/kernel/random/boot_id"
        before = self.shell(f"cat {boot}").strip()
        self.shell("systemctl reboot", check=False)
        self._wait_for(f"[ $(cat {boot}) != {before} ]")

    def wait_until_up(self) -> None:
        """Wait until a user can log in and the engine responds, for example after a reboot."""
        self._wait_for(BOOTED)
        self._wait_for("ss -Hltn 'sport = :22' | grep -q .")
        if self._engine is not None:
            self._wait_for(f"{self._engine} info")

    def move(self, network: Network) -> None:
        """Leave the network that this machine reaches for another one, with another address."""
        network.connect(self.container)
        self._network.disconnect(self.container)
        self.container.reload()
        address = self.container.attrs["NetworkSettings"]["Networks"][str(network.name)]["IPAddress"]
        self.known_hosts.write_text(self.known_hosts.read_text().replace(self.address, address))
        self.address = address

    def remove(self) -> None:
        """Remove the board with everything on it."""
        from docker.errors import NotFound

        racks, self._racks = self._racks, []
        made, self._made = self._made, []
        try:
            for rack in racks:
                rack.close()
        finally:
            for thing in made:
                with suppress(NotFound):
                    _remove(thing)

    def _wait_for(self, command: str) -> None:
        from docker.errors import APIError

        deadline, said = time.monotonic() + PATIENCE_S, "it does not run"
        while time.monotonic() < deadline:
            with suppress(APIError):  # its container is restarting
                status, output = self.container.exec_run(["sh", "-c", command])
                if status == 0:
                    return
                said = cast("bytes", output).decode(errors="replace")
            time.sleep(0.1)
        raise TimeoutError(f"{self.name} is not up: {command}: {said}")

    def _create(self) -> Container:
        host, labels = self._boards.engine, self._boards.labels
        name = f"microcloud-tests-{self.directory.name}"
        binds: dict[str, Mapping[str, str]] = {}
        store = "/var/lib/containers" if self._engine == "podman" else "/var/lib/docker"
        for where in (store, "/var/tmp"):  # noqa: S108
            volume = host.volumes.create(name=f"{name}-{where.rpartition('/')[2]}", labels=labels)
            self._made.append(volume)
            binds[str(volume.name)] = {"bind": where, "mode": "rw"}
        if cpuinfo := self.how.get("cpuinfo"):
            file = self.directory / "cpuinfo"
            file.write_text(cpuinfo)
            binds[str(file)] = {"bind": "/proc/cpuinfo", "mode": "ro"}
        for directory in self.how.get("mounts", ()):
            binds[directory] = {"bind": directory, "mode": "ro"}
        memory = self.how.get("memory")
        host_config = host.api.create_host_config(
            cap_add=[*isolation.CAPABILITIES, "SYS_TIME"],
            security_opt=isolation.UNCONFINED,
            cgroupns="private",
            restart_policy={"Name": "always"},
            tmpfs={"/run": "", "/run/lock": ""},
            binds=binds,
            nano_cpus=int(self.how.get("cpus", 0) * 1e9),
            mem_limit=memory,
            memswap_limit=memory,
        )
        created = host.api.create_container(
            self._image(),
            name=name,
            entrypoint=["sh", "-c", ENTRYPOINT, "power", "/sbin/board-init"],
            hostname=self.name,
            labels=labels,
            volumes=[bind["bind"] for bind in binds.values()],
            host_config=host_config | isolation.paths(),
            networking_config=host.api.create_networking_config(
                {str(self._network.name): host.api.create_endpoint_config(ipv4_address=self.address)}  # type: ignore[arg-type]
            ),
        )
        return host.containers.get(created["Id"])

    def _image(self) -> str:
        host = self._boards.engine
        plain = board_image(host, images.WORKLOAD_SUITE, print)
        if self._engine != "podman":
            return plain
        return images.build(host, "tests-podman", Path(__file__).parent / "podman", plain, print)

    def _install_host_key(self) -> None:
        """Create the host key before the first boot, so that known_hosts can have it."""
        own = self.directory / "host"
        _make_key(own)
        public = own.with_suffix(".pub").read_text()
        known = " ".join([self.address, *public.split()[:2]])
        self.known_hosts.write_text(f"{known}\n" if self.how.get("known", True) else "")
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path, content in (
                ("etc/ssh/ssh_host_ed25519_key", own.read_bytes()),
                ("etc/ssh/ssh_host_ed25519_key.pub", public.encode()),
            ):
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode = len(content), 0o600
                tar.addfile(entry, io.BytesIO(content))
        self.container.put_archive("/", archive.getvalue())

    def _set_up(self) -> None:
        """Create the user and the rest on the live board, as an administrator would."""
        home = "/root" if self.user == "root" else f"/home/{self.user}"
        login = shlex.quote(self.key.with_suffix(".pub").read_text())
        steps = []
        if self.user != "root":
            steps += [
                f"useradd -m -s /bin/bash {self.user}",
                f"echo {self.user}:{PASSWORD} | chpasswd",
            ]
            if rule := SUDO.get(self.how.get("sudo", "yes")):
                steps.append(f"echo '{self.user} {rule}' > /etc/sudoers.d/{self.user}")
            if self.how.get("docker_group", True) and self._engine == "docker":
                steps.append(f"usermod -aG docker {self.user}")
        steps += [
            f"install -d -m 700 -o {self.user} -g {self.user} {home}/.ssh",
            f"printf %s {login} > {home}/.ssh/authorized_keys",
            f"chown {self.user}: {home}/.ssh/authorized_keys",
        ]
        if "os_release" in self.how:
            steps.append(f"printf %s {shlex.quote(self.how['os_release'])} > /usr/lib/os-release")
        if self._engine is None:
            steps += [
                "systemctl disable --now docker.socket docker.service containerd.service",
                "rm -rf /usr/bin/docker /usr/sbin/dockerd /run/docker.sock /lib/systemd/system/docker.*",
                "systemctl daemon-reload",
            ]
        self.shell(" && ".join(steps))


def remove_left(engine: DockerClient) -> None:
    """Remove what killed test sessions left on the engine."""
    from docker.errors import NotFound

    label: dict[str, str | list[str] | bool] = {"label": LABEL}
    left: list[Container | Volume | Network] = [
        *engine.containers.list(all=True, ignore_removed=True, filters=label),
        *engine.volumes.list(filters=label),
        *engine.networks.list(filters=label),
    ]
    alive = lease.held(engine)
    for thing in left:
        labels = thing.attrs["Config"]["Labels"] if "Config" in thing.attrs else thing.attrs["Labels"]
        if labels[LABEL] not in alive:
            with suppress(NotFound):
                _remove(thing)


def _remove(thing: Container | Volume | Network) -> None:
    from docker.models.containers import Container

    if isinstance(thing, Container):
        thing.remove(force=True, v=True)
    else:
        thing.remove()


def _make_key(path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
