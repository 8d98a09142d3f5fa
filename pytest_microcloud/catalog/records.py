"""The catalog's records, in SI units. In a board model, `None` means that no figure is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class BoardModel:
    """A kind of board, with its specification and published figures.

    `sources` maps the name of every figure to its source. A board identifies itself by one of
    `revision_codes` (of a Raspberry Pi) or one of `compatible` (the first entry of that list in its device
    tree).
    """

    id: str
    name: str
    kind: str = "board"
    soc: str | None = None
    core: str | None = None
    cores: int
    clock_hz: float | None = None
    l1_cache_bytes: int | None = None
    l2_cache_bytes: int | None = None
    ram_bytes: int | None = None
    mem_total_bytes: int
    isa: tuple[str, ...] = ()
    pcb_version: str | None = None
    supply_current_a: float | None = None
    revision_codes: tuple[str, ...] = ()
    compatible: tuple[str, ...] = ()
    sevenzip_mips_one_thread: float | None = None
    sevenzip_mips_all_cores: float
    sevenzip_compress_mips: float | None = None
    sevenzip_decompress_mips: float | None = None
    memcpy_bytes_per_s: float | None = None
    memset_bytes_per_s: float | None = None
    random_read_s: float | None = None
    ethernet_bits_per_s: float | None = None
    disk_read_bytes_per_s: float | None = None
    disk_write_bytes_per_s: float | None = None
    disk_read_iops: float | None = None
    disk_write_iops: float | None = None
    round_trip_s: float | None = None
    boot_s: float | None = None
    boot_with_container_s: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PiType:
    """A type of Raspberry Pi: short name (`type`), full name, and its device tree's `compatible` entries."""

    id: str
    type: str
    name: str
    compatible: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OldCode:
    """The meaning of an old-style revision code. `ram_bytes` is None if the code stands for several sizes."""

    id: str
    type: str
    pcb: str
    ram_bytes: int | None = None
    manufacturer: str


@dataclass(frozen=True, kw_only=True)
class Revisions:
    """The tables that decode a Raspberry Pi's revision code."""

    processors: tuple[str, ...]
    manufacturers: tuple[str, ...]
    memory_bytes: tuple[int, ...]
    types: Mapping[int, PiType]
    old: Mapping[int, OldCode]


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The readiness probe of a workload's containers.

    `kind` is "http" (GET `path`), "tcp" (send `send`) or "stdin" (write the line `send` to the main process).
    The container is ready when the response contains `expect`.
    """

    kind: str
    path: str = "/"
    send: str = ""
    expect: str = ""
    timeout_s: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Workload:
    """An application that boards host, from an official `image` or a Dockerfile in `directory`.

    If the workload is a web server, `page` is the file name of the picture page (`catalog.picture`). The page
    has this name in the build context of the image and below the root of the server's URLs.
    """

    id: str
    name: str
    type: str
    source: str
    ready: Ready
    image: str | None = None
    page: str | None = None
    port: int | None = None
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    typical_memory_bytes: int
    typical_start_s: float
    directory: Path

    @property
    def built_here(self) -> bool:
        """Whether the image is built from this workload's own Dockerfile."""
        return self.image is None


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit for a metric of a board model. Exactly one of `max` and `min` is set."""

    model: str
    metric: str
    labels: Mapping[str, str | int] = field(default_factory=dict)
    statistic: str = "median"
    max: float | None = None
    min: float | None = None
    source: str

    def covers(self, metric: str, labels: Mapping[str, str | int]) -> bool:
        """Whether this limit applies to a measurement of `metric` with `labels`.

        Labels that the limit does not name are ignored.
        """
        return metric == self.metric and all(
            str(labels.get(key)) == str(value) for key, value in self.labels.items()
        )


@dataclass(frozen=True, kw_only=True)
class Symptom:
    """A symptom that invalidates a measurement if it exceeds `most`; `source` justifies this threshold."""

    id: str
    most: float
    unit: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Load:
    """A load of the control (control.toml): its `command` is repeated for `seconds`, at most `most` times."""

    id: str
    about: str
    command: str
    seconds: float
    most: int
    needs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much a session measures: the repetitions of each experiment, and the points of each axis."""

    id: str
    about: str
    clients: tuple[int, ...]
    requests: int
    serving_rounds: int
    fillings: int
    filling_seconds: float
    sizes: tuple[int, ...]
    io_rounds: int
    io_seconds: float
    boots: int
