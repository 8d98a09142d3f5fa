"""What a board says of itself: operating system, kernel, memory, Docker. Read once a boot, in one command."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pytest_microcloud.boards.engine import explained
from pytest_microcloud.boards.gauge import Gauge

if TYPE_CHECKING:
    from pytest_microcloud.boards.link import Link

_SCRIPT = """
. /etc/os-release
echo "os=${HYPRIOT_IMAGE_VERSION:+HypriotOS $HYPRIOT_IMAGE_VERSION, }$PRETTY_NAME"
echo "kernel=$(uname -r)"
echo "isa=$(uname -m)"
echo "cpus=$(nproc)"
echo "boot=$(cat /proc/sys/kernel/random/boot_id)"
set -- $(cat /proc/1/stat | sed 's/.*) //'); shift 19; echo "init=$1"
"""


@dataclass(frozen=True)
class Facts:
    """A board's fingerprint. `boot` changes with every boot; memory is in bytes, as Linux sees it."""

    os_release: str
    kernel: str
    isa: str
    cpus: int
    memory_bytes: int
    boot: str
    docker_version: str
    storage_driver: str
    cgroup_version: str

    def as_dict(self) -> dict[str, Any]:
        """Return the facts for the run file."""
        return asdict(self)


def boot_identity(link: Link) -> str:
    """Return what tells one boot from another: the kernel's boot id and the start of the first process.

    The second tells the boots of an emulated board, whose kernel is the host's, apart.
    """
    said = _said(link)
    return f"{said['boot']}/{said['init']}"


def read(link: Link) -> Facts:
    """Ask the board and its Docker engine."""
    said = _said(link)
    with Gauge(link) as gauge:
        memory = gauge.read().total_bytes
    with explained(link.board, "asking Docker for its version"):
        info = link.docker().info()
    return Facts(
        os_release=said["os"],
        kernel=said["kernel"],
        isa=said["isa"],
        cpus=int(said["cpus"]),
        memory_bytes=memory,
        boot=f"{said['boot']}/{said['init']}",
        docker_version=str(info["ServerVersion"]),
        storage_driver=str(info["Driver"]),
        cgroup_version=str(info.get("CgroupVersion", "1")),
    )


def _said(link: Link) -> dict[str, str]:
    return dict(line.split("=", 1) for line in link.run(_SCRIPT).stdout.splitlines() if "=" in line)
