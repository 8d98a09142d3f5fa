"""Stand-ins for real boards: each is an sshd in its own container, and uses this machine's engine.

They are small, so a machine can run many. Each has its own processes, machine id, boot id and files. They
share the engine and the hardware of this machine, and cannot reboot.
"""

from __future__ import annotations

import shlex
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_microcloud.boards.drivers.container import isolation
from pytest_microcloud.boards.drivers.container.os_image import board_image
from pytest_microcloud.controller import engine, images, lease
from pytest_microcloud.controller.workspace import new_run_id

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

PATIENCE_S = 30.0
SSHD = """\
Port {port}
ListenAddress 127.0.0.1
HostKey /keys/host
AuthorizedKeysFile /keys/login.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
MaxStartups 100
MaxSessions 100
"""
SETUP = """\
printf '%s\\n' {machine_id} > /etc/machine-id
printf '%s\\n' {boot_id} > /dev/boot_id
mount --bind /dev/boot_id /proc/sys/kernel/random/boot_id
printf '%s' {config} > /etc/ssh/standin
mkdir -p /run/sshd
exec /usr/sbin/sshd -D -e -f /etc/ssh/standin
"""


@contextmanager
def standins(count: int, host: DockerClient, directory: Path) -> Iterator[list[str]]:
    """Yield the inventory lines of `count` stand-ins that accept logins, and remove them afterwards.

    Their keys are created in `directory`. If this process is killed, a later session removes the stand-ins.
    Raises OSError if a stand-in does not start.
    """
    run_id = new_run_id()
    for name in ("host", "login"):
        _make_key(directory / name)
    image = board_image(host, images.WORKLOAD_SUITE, print)
    known = directory / "known_hosts"
    with ExitStack() as stack:
        held = lease.take(host, images.base(host, images.WORKLOAD_SUITE, print), run_id)
        assert held is not None
        stack.callback(held.end)
        lines = []
        for number in range(count):
            name, port = f"standin-{number:02}", _free_port()
            container = _run(host, image, name, port, run_id, directory)
            stack.callback(container.remove, force=True, v=True)
            key = (directory / "host.pub").read_text().split()[:2]
            with known.open("a") as file:
                file.write(" ".join([f"[127.0.0.1]:{port}", *key]) + "\n")
            _wait_for(port, container)
            lines.append(
                f"{name} ansible_host=127.0.0.1 ansible_port={port} ansible_user=root "
                f"ansible_ssh_private_key_file={directory}/login "
                f"ansible_ssh_common_args='-o UserKnownHostsFile={known}'"
            )
        yield lines


def _run(host: DockerClient, image: str, name: str, port: int, run_id: str, directory: Path) -> Container:
    setup = SETUP.format(
        machine_id=uuid.uuid4().hex, boot_id=uuid.uuid4(), config=shlex.quote(SSHD.format(port=port))
    )
    return host.containers.run(
        image,
        name=f"microcloud-{run_id}-{name}",
        entrypoint=["sh", "-euc", setup],
        detach=True,
        init=True,  # reaps orphans
        network_mode="host",
        hostname=name,
        cap_add=["SYS_ADMIN"],
        security_opt=isolation.UNCONFINED,
        labels=engine.host_labels(run_id),
        tmpfs={"/run": "", "/run/lock": "mode=1777", "/var/tmp": "mode=1777"},  # noqa: S108
        volumes={
            str(directory): {"bind": "/keys", "mode": "ro"},
            "/var/run/docker.sock": {"bind": "/var/run/docker.sock", "mode": "rw"},
        },
    )


def _make_key(file: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=PATIENCE_S,
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait_for(port: int, container: Container) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            container.reload()
            if container.status == "exited" or time.monotonic() > deadline:
                said = container.logs().decode(errors="replace").strip()
                raise OSError(f"{container.name} does not accept logins: {said}") from None
            time.sleep(0.02)
