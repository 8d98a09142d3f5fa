"""A board's fingerprint: hardware, operating system and engine as the board reports them, once per boot.

The fingerprint is untrusted text from another machine. A value is accepted only if it has its expected form:
one line of limited length, without control characters. A value that is missing or malformed is None.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pytest_microcloud.boards import identity
from pytest_microcloud.boards.gauge import Gauge
from pytest_microcloud.boards.identity import Identity
from pytest_microcloud.boards.plain_text import LONGEST, text
from pytest_microcloud.controller.engine import explained

if TYPE_CHECKING:
    from pytest_microcloud.boards.link import Link

# Prints one `key=value` line per fact. `line KEY FILE` prints a file's first line; `words KEY FILE` prints a
# file of NUL-terminated strings as one line.
BOOT = r"""
exec 2>/dev/null
line() { value=; [ -r "$2" ] && read -r value <"$2"; [ -n "$value" ] && printf '%s=%s\n' "$1" "$value"; }
words() { [ -r "$2" ] && printf '%s=%s\n' "$1" "$(head -c 1000 "$2" | tr '\000\n' '  ')"; }
line boot /proc/sys/kernel/random/boot_id
printf 'init=%s\n' "$(sed 's/.*) //' /proc/1/stat | cut -d ' ' -f 20)"
"""
SYSTEM = r"""
printf 'kernel=%s\nisa=%s\ncpus=%s\n' "$(uname -r)" "$(uname -m)" "$(nproc)"
head -c 8000 /etc/os-release | sed 's/^/os./'
printf 'cgroup=%s\n' "$(stat -f -c %T /sys/fs/cgroup)"
"""
HARDWARE = r"""
sed -n -E 's/^(Hardware|Revision|Serial)[[:space:]]*:[[:space:]]*/cpuinfo.\1=/p' /proc/cpuinfo
sed -n -E 's/^SwapTotal:[[:space:]]*([0-9]+) kB/swap_kb=\1/p' /proc/meminfo
tree=/proc/device-tree
words tree.model $tree/model
words tree.compatible $tree/compatible
words tree.serial $tree/serial-number
[ -r $tree/system/linux,revision ] &&
  printf 'tree.revision=%s\n' "$(od -A n -t x1 $tree/system/linux,revision | tr -d ' \n')"
for card in /sys/block/mmcblk[0-9]/device; do
  [ -r "$card/cid" ] || continue
  for field in cid name serial manfid oemid date; do line card.$field "$card/$field"; done
  break
done
for frequency in /sys/devices/system/cpu/cpu[0-9]*/cpufreq; do
  cpu=${frequency%/cpufreq}; cpu=${cpu##*/}
  line governor.$cpu $frequency/scaling_governor
  for bound in min max cur; do line khz.$bound.$cpu $frequency/scaling_${bound}_freq; done
done
PATH=$PATH:/opt/vc/bin
command -v vcgencmd >/dev/null && timeout 5 vcgencmd get_mem gpu | sed 's/^/vc./'
"""


@dataclass(frozen=True)
class Card:
    """A board's SD card (or eMMC); the CID identifies it."""

    cid: str | None
    name: str | None
    serial: str | None
    manufacturer_id: str | None
    oem_id: str | None
    date: str | None


@dataclass(frozen=True)
class Frequency:
    """The CPUs' frequency governors, and the minimum, maximum and current frequency (Hz).

    If the CPUs differ, these are the lowest minimum, the highest maximum and the highest current frequency.
    """

    governor: str | None
    min_hz: float | None
    max_hz: float | None
    now_hz: float | None


@dataclass(frozen=True)
class Facts:
    """A board's fingerprint. `boot` changes with every boot; memory is in bytes, as Linux reports it.

    `engine` is the engine at Docker's socket ("Docker", "Podman") and `docker_version` its version. The
    fields from `identity` on describe the hardware. These fields are unset for an emulated board, whose
    hardware is the host's. `gpu_bytes` is the GPU's share of the RAM. If the firmware does not report this
    share, `gpu_bytes` is the RAM that Linux does not see.
    """

    os_release: str | None
    kernel: str | None
    isa: str | None
    cpus: int | None
    memory_bytes: int
    boot: str
    docker_version: str | None
    storage_driver: str | None
    cgroup_version: str | None
    engine: str = "Docker"
    containerd_version: str | None = None
    hypriot_image_version: str | None = None
    hypriot_device: str | None = None
    hypriot_os: str | None = None
    identity: Identity | None = None
    revision_code: str | None = None
    tree_model: str | None = None
    compatible: tuple[str, ...] = ()
    serial: str | None = None
    gpu_bytes: int | None = None
    swap_bytes: int | None = None
    card: Card | None = None
    frequency: Frequency | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as a dict for the run file."""
        return asdict(self)

    @property
    def names(self) -> frozenset[str]:
        """The names of the board's model and operating system, as the board reports them."""
        given = (self.os_release, self.tree_model, self.identity.name if self.identity else None)
        return frozenset(name for name in given if name)

    @property
    def identifiers(self) -> frozenset[str]:
        """The serial numbers of the board and its SD card, which no other board has."""
        of_card = (self.card.cid, self.card.serial) if self.card is not None else ()
        return frozenset(number for number in (self.serial, *of_card) if number)


def boot_identity(link: Link) -> str:
    """Return an identifier of the current boot: the kernel's boot id and the start time of the first process.

    The start time distinguishes the boots of an emulated board, which runs on the host's kernel.
    """
    return _boot(_ask(link, BOOT))


def read(link: Link, *, hardware: bool = True, engine: bool = True) -> Facts:
    """Read the facts of the board. Raises BoardError.

    If `hardware` or `engine` is false, the facts about the hardware or the engine are left out.
    """
    reported = _ask(link, BOOT + SYSTEM + (HARDWARE if hardware else ""))
    with Gauge(link) as gauge:
        memory_bytes = gauge.read().total_bytes
    if not engine:
        return parsed(reported, memory_bytes, {}, {})
    with explained(link.board, "asking Docker for its version"):
        client = link.docker()
        info, version = client.info(), client.version()
    return parsed(reported, memory_bytes, info, version)


def key_values(output: str) -> dict[str, str]:
    """Parse `key=value` lines that a board printed. If a key is repeated, its first value counts."""
    reported: dict[str, str] = {}
    for line in output.split("\n"):
        key, equals, value = line.partition("=")
        if equals:
            reported.setdefault(key, value)
    return reported


def parsed(reported: Mapping[str, str], memory_bytes: int, info: object, version: object) -> Facts:
    """Return the facts from a board's report and its engine's replies to /info and /version (untrusted)."""
    info, version = (answer if isinstance(answer, dict) else {} for answer in (info, version))
    release = {key.removeprefix("os."): _unquoted(reported[key]) for key in reported if key.startswith("os.")}
    components = _components(version)
    tree_model = text(reported.get("tree.model"))
    compatible = tuple(
        entry[:LONGEST] for entry in (text(reported.get("tree.compatible"), 1000) or "").split()
    )
    code = _revision_code(reported, tree_model)
    board = identity.recognised(code, compatible, tree_model, memory_bytes)
    return Facts(
        os_release=_os_release(release),
        kernel=text(reported.get("kernel")),
        isa=text(reported.get("isa")),
        cpus=_number(reported.get("cpus")),
        memory_bytes=memory_bytes,
        boot=_boot(reported),
        docker_version=text(info.get("ServerVersion")) or text(version.get("Version")),
        storage_driver=text(info.get("Driver")),
        cgroup_version=text(info.get("CgroupVersion")) or CGROUP.get(reported.get("cgroup", "")),
        engine="Podman" if any(name.startswith("Podman") for name in components) else "Docker",
        containerd_version=components.get("containerd"),
        hypriot_image_version=text(release.get("HYPRIOT_IMAGE_VERSION")),
        hypriot_device=text(release.get("HYPRIOT_DEVICE")),
        hypriot_os=text(release.get("HYPRIOT_OS")),
        identity=board,
        revision_code=code,
        tree_model=tree_model,
        compatible=compatible,
        serial=_serial(reported.get("cpuinfo.Serial")) or _serial(reported.get("tree.serial")),
        gpu_bytes=_gpu_bytes(reported.get("vc.gpu"), board, memory_bytes),
        swap_bytes=_times(_number(reported.get("swap_kb")), 1024),
        card=_card(reported),
        frequency=_frequency(reported),
    )


CGROUP = {"cgroup2fs": "2", "tmpfs": "1"}
"""A dict from the type of the file system at /sys/fs/cgroup to the cgroup version."""


def _ask(link: Link, script: str) -> dict[str, str]:
    return key_values(link.run(f"{script}exit 0").stdout)


def _boot(reported: Mapping[str, str]) -> str:
    return f"{text(reported.get('boot')) or ''}/{text(reported.get('init')) or ''}"


def _unquoted(value: str) -> str:
    try:
        return " ".join(shlex.split(value))
    except ValueError:
        return value


def _os_release(release: Mapping[str, str]) -> str | None:
    image = text(release.get("HYPRIOT_IMAGE_VERSION"))
    named = (f"HypriotOS {image}" if image else None, text(release.get("PRETTY_NAME") or release.get("NAME")))
    return ", ".join(name for name in named if name) or None


def _revision_code(reported: Mapping[str, str], tree_model: str | None) -> str | None:
    """Return a Raspberry Pi's revision code; None for other boards, where `Revision` means something else."""
    chip = reported.get("cpuinfo.Hardware", "")
    if (chip and not chip.startswith("BCM")) or (tree_model and "Raspberry Pi" not in tree_model):
        return None
    for key in ("cpuinfo.Revision", "tree.revision"):
        code = reported.get(key, "").strip().lower()
        if identity.CODE.fullmatch(code) and code.strip("0"):  # all zeros: not programmed
            return code.lstrip("0").rjust(4, "0")
    return None


def _serial(value: str | None) -> str | None:
    serial = (value or "").strip()
    return serial if re.fullmatch(r"[0-9A-Fa-f]{1,32}", serial) and serial.strip("0") else None


def _gpu_bytes(firmware: str | None, board: Identity | None, memory_bytes: int) -> int | None:
    if reported := re.fullmatch(r"(\d{1,6})M", (firmware or "").strip()):
        return int(reported[1]) << 20
    rest = board.ram_bytes - memory_bytes if board is not None and board.ram_bytes else 0
    return rest if rest > 0 else None


def _card(reported: Mapping[str, str]) -> Card | None:
    fields = ("cid", "name", "serial", "manfid", "oemid", "date")
    card = Card(*(text(reported.get(f"card.{field}"), 40) for field in fields))
    return card if any(asdict(card).values()) else None


def _frequency(reported: Mapping[str, str]) -> Frequency | None:
    governors = dict.fromkeys(filter(None, (text(name, 40) for name in _of_cpus(reported, "governor"))))
    lowest, highest, now = (
        [khz for each in _of_cpus(reported, f"khz.{bound}") if (khz := _number(each)) is not None]
        for bound in ("min", "max", "cur")
    )
    frequency = Frequency(
        ", ".join(governors) or None,
        _times(min(lowest, default=None), 1000),
        _times(max(highest, default=None), 1000),
        _times(max(now, default=None), 1000),
    )
    return frequency if any(asdict(frequency).values()) else None


def _of_cpus(reported: Mapping[str, str], key: str) -> list[str]:
    return [value for name, value in reported.items() if name.startswith(f"{key}.cpu")]


def _components(version: Mapping[str, Any]) -> dict[str, str]:
    listed = version.get("Components")
    parts = [part for part in listed if isinstance(part, dict)] if isinstance(listed, list) else []
    return {
        name: number
        for part in parts
        if (name := text(part.get("Name"))) and (number := text(part.get("Version")))
    }


def _number(value: str | None) -> int | None:
    number = (value or "").strip()
    return int(number) if re.fullmatch(r"[0-9]{1,15}", number) else None


def _times(number: int | None, factor: int) -> int | None:
    return None if number is None else number * factor
