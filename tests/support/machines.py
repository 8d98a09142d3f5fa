"""The machines of the tests: operating system, hardware, users, engine, and what a run may leave on them."""

from __future__ import annotations

from typing import Literal, TypedDict, Unpack

PASSWORD = "hypriot"  # noqa: S105 - as HypriotOS has it


PI_2 = """\
processor\t: 0
model name\t: ARMv7 Processor rev 5 (v7l)
CPU implementer\t: 0x41
CPU part\t: 0xc07

Hardware\t: BCM2835
Revision\t: a01041
Serial\t\t: 00000000feedface
Model\t\t: Raspberry Pi 2 Model B Rev 1.1
"""

HYPRIOTOS = """\
PRETTY_NAME="Raspbian GNU/Linux 10 (buster)"
NAME="Raspbian GNU/Linux"
VERSION_ID="10"
VERSION="10 (buster)"
VERSION_CODENAME=buster
ID=raspbian
ID_LIKE=debian
HYPRIOT_OS="HypriotOS/armhf"
HYPRIOT_OS_VERSION="v3.0.2"
HYPRIOT_DEVICE="Raspberry Pi"
HYPRIOT_IMAGE_VERSION="v1.12.3"
"""

SUDO = {"yes": "ALL=(ALL) NOPASSWD:ALL", "password": "ALL=(ALL) ALL"}

# A few binaries with their libraries make an image, so that foreign containers need no registry.
OTHERS = """
tar -ch /bin/sleep $(ldd /bin/sleep | grep -o '/[^ ]*') 2>/dev/null | docker import - somebody/else:1
for n in $(seq {count}); do
    docker run -d --name theirs-$n --restart always somebody/else:1 /bin/sleep infinity
done
"""

# What a run could leave. Of files, names and sizes, but not of what systems write by themselves, nor of the
# engine's own store, whose contents the engine lists.
STATE = r"""
{engine} ps -a --no-trunc --format 'container {{{{.ID}}}} {{{{.Names}}}} {{{{.Image}}}}' | sort
{engine} images --no-trunc --format 'image {{{{.ID}}}} {{{{.Repository}}}}:{{{{.Tag}}}}' | sort
{engine} network ls --format 'network {{{{.Name}}}}' | sort
{engine} volume ls --format 'volume {{{{.Name}}}}' | sort
dpkg -l | sed -n 's/^ii */package /p'
systemctl list-units --type=service,socket,timer --state=active --plain --no-legend --no-pager |
    sed 's/ .*//' | grep -vE '^(user|systemd|podman.service)' | sort
pgrep -af '[s]shd: .*@|[m]icrocloud' | sed 's/^[0-9]* /process /' | sort
find / -regextype posix-extended -regex '{own}' -prune -o -type d -printf '%p/\n' -o -printf '%p %s\n' | sort
"""

OWN = "|".join(
    [
        "/(dev|proc|sys)",
        "/run/(containerd|containers|crun|dbus|docker|libpod|log|netns|systemd|user|utmp|.*\\.(pid|sock))",
        "/run/motd\\.dynamic",
        "/var/lib/(containerd|containers|docker|systemd)",
        "/var/(cache/(containers|ldconfig)|log)",
        "/(tmp|var/tmp)/systemd-private-.*",
        "/run/(lock/apache2|apache2|xtables.lock)",
    ]
)

# A machine has an uptime of its own: some seconds for what came before its first process, and from there on a
# clock that started with it. The capability that sets this up is taken away again. And each of its boots has
# an id of its own, as the moment of the first process, in hundredths of a second, may well repeat.
ENTRYPOINT = """
cat /proc/sys/kernel/random/uuid >/dev/boot_id
mount --bind /dev/boot_id /proc/sys/kernel/random/boot_id
up=$(cut -d . -f 1 /proc/uptime)
exec unshare --time --boottime=$((3 - up)) --monotonic=$((3 - up)) setpriv --bounding-set=-sys_time "$@"
"""


class How(TypedDict, total=False):
    """How a board differs from the default, which is root with Docker."""

    user: str
    sudo: Literal["yes", "password", "no"]
    docker_group: bool
    os_release: str
    cpuinfo: str
    engine: Literal["docker", "podman"] | None
    others_containers: int
    memory: int
    cpus: float
    """Its share of this machine's CPUs (default: all), so that it does not starve a load generator."""
    mounts: tuple[str, ...]
    """Directories of this machine that it has, too, read-only and at the same paths."""
    known: bool
    """Whether `known_hosts` has its host key."""


def hypriot(**how: Unpack[How]) -> How:
    """Return the description of a board with HypriotOS."""
    return {"user": "pirate", "os_release": HYPRIOTOS, **how}
