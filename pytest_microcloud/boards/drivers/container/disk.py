"""Bandwidth and IOPS of an emulated board's SD card, as limits on the host's block device."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_microcloud.controller.engine import explained

if TYPE_CHECKING:
    from docker import DockerClient

    from pytest_microcloud.catalog import BoardModel

IO_PER_SYNCED_WRITE = 4
"""On its block device, the host counts up to this many I/Os for one synced write (data, journal, commit,
flush), but only two if the write replaces existing data."""


@dataclass(frozen=True)
class DiskLimits:
    """docker-py's options that limit a board's disk, and descriptions of the limits that are not emulated."""

    options: dict[str, Any]
    gaps: tuple[str, ...]

    @classmethod
    def of(cls, engine: DockerClient, model: BoardModel) -> DiskLimits:
        """Return limits that slow the disk of the engine's volumes to the speed of the model's SD card."""
        with explained("this machine", "reading the directory of the engine's volumes"):
            info = engine.info()
        device = _device(Path(str(info["DockerRootDir"])))
        if device is None:
            return cls({}, ("SD card: the engine's volumes are not on a block device of this host",))
        figures = {
            "device_read_bps": model.disk_read_bytes_per_s,
            "device_write_bps": model.disk_write_bytes_per_s,
            "device_read_iops": model.disk_read_iops,
            "device_write_iops": model.disk_write_iops and model.disk_write_iops * IO_PER_SYNCED_WRITE,
        }
        options = {
            key: [{"Path": device, "Rate": int(figure)}]
            for key, figure in figures.items()
            if figure is not None
        }
        if not options:
            return cls({}, ("disk: no figures are published for this model",))
        if str(info.get("CgroupVersion", "1")) == "1":
            return cls(
                options, ("SD card: buffered writes are not slowed (cgroup v1 limits direct I/O only)",)
            )
        return cls(options, ())


def _device(path: Path) -> str | None:
    """Return the device of the whole disk that `path` is on: the kernel limits disks, not partitions."""
    try:
        number = path.stat().st_dev
    except OSError:
        return None
    node = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
    if not (node / "dev").is_file():
        return None
    disk = node.parent if (node / "partition").is_file() else node
    device = Path("/dev") / disk.name
    return str(device) if device.is_block_device() else None
