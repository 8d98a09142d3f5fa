"""Types for the fingerprint of a board in a run file.

A fingerprint shows how two boards differ, and how the inventory altered a board's model. Other modules read
it through these types, so that they need not know which keys a driver writes. Keys that earlier versions did
not write have defaults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SAME_CPUS = 0.01
"""Two calibrations on one host count as equal if their numbers of CPUs differ by at most this share."""
LARGEST = 1e18
"""The largest absolute value of a number in a run file, whatever the unit."""


CONTROLLER = "controller"
"""The value of `Fingerprint.load_from` if the load generator ran on the controller and not at a site."""


@dataclass(frozen=True)
class Card:
    """A board's SD card (or eMMC); the CID distinguishes one card from another."""

    cid: str | None = None
    name: str | None = None
    serial: str | None = None


@dataclass(frozen=True)
class Frequency:
    """The governor of the CPU's clock, the clock's limits, and its frequency when it was read (Hz)."""

    governor: str | None = None
    min_hz: float | None = None
    max_hz: float | None = None
    now_hz: float | None = None


@dataclass(frozen=True)
class Hardware:
    """A board's hardware as the board reports it; `evidence` is the source. RAM is in bytes, as sold."""

    name: str | None = None
    evidence: str | None = None
    pcb: str | None = None
    ram_bytes: float | None = None
    soc: str | None = None
    manufacturer: str | None = None


@dataclass(frozen=True)
class MadeOf:
    """How a driver made a board: the keys of `Fingerprint.made_of` that are read. All are optional.

    `calibrated_cpus` is the number of host CPUs that emulate the model's CPU; the board gets the fraction
    `cpu_share` of them. `altered` lists the differences from the model that the inventory sets (None in runs
    of earlier versions).
    """

    image: str | None = None
    calibrated_cpus: float | None = None
    cpu_share: float | None = None
    altered: tuple[str, ...] | None = None
    link_bits_per_s: float | None = None
    round_trip_s: float | None = None
    host: str | None = None

    def __post_init__(self) -> None:
        for name in ("calibrated_cpus", "cpu_share"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= LARGEST:
                raise ValueError(f"{name} is {value}, which is neither a share nor a number of CPUs")


@dataclass(frozen=True)
class Fingerprint:
    """Describes a board and its system in a run. Memory is in bytes, as Linux reports it.

    `made_of` is data from which the driver can make an equal board (see `Driver.made_of`). `emulated_by` maps
    each emulated aspect to the means of emulation, such as {"round_trip": "netem"}. `waited_s` is how long
    the board's measurements waited for this machine's CPUs and network.
    `load_from` is where the load generator ran: the name of a site, or CONTROLLER.
    """

    model: str = "?"
    driver: str | None = None
    load_from: str = CONTROLLER
    emulated: bool = False
    not_emulated: tuple[str, ...] = ()
    not_watched: tuple[str, ...] = ()
    others_containers: tuple[str, ...] = ()
    made_of: dict[str, Any] = field(default_factory=dict)
    emulated_by: dict[str, str] = field(default_factory=dict)
    address: str | None = None
    os_release: str | None = None
    kernel: str | None = None
    isa: str | None = None
    cpus: int | None = None
    memory_bytes: float | None = None
    engine: str | None = None
    docker_version: str | None = None
    containerd_version: str | None = None
    storage_driver: str | None = None
    cgroup_version: str | None = None
    hypriot_image_version: str | None = None
    hypriot_os: str | None = None
    identity: Hardware | None = None
    revision_code: str | None = None
    tree_model: str | None = None
    serial: str | None = None
    gpu_bytes: float | None = None
    swap_bytes: float | None = None
    card: Card | None = None
    frequency: Frequency | None = None
    waited_s: float = 0.0

    def __post_init__(self) -> None:
        _ = self.emulation  # checks the types in made_of

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Fingerprint:
        """Return the fingerprint that a dict from a run file describes. Raises msgspec.ValidationError."""
        import msgspec

        return msgspec.convert(dict(facts), cls)

    @property
    def emulation(self) -> MadeOf:
        """The data of `made_of`, as far as it is read here, with checked types."""
        import msgspec

        try:
            return msgspec.convert(self.made_of, MadeOf)
        except msgspec.ValidationError as error:
            raise ValueError(f"made_of: {error}") from error

    @property
    def altered(self) -> tuple[str, ...]:
        """How the inventory made the board differ from its model; for old runs, the CPU share only."""
        made = self.emulation
        if made.altered is None and made.cpu_share is not None and made.cpu_share < 1:
            return (f"{made.cpu_share:.3g} of the model's CPU",)
        return made.altered or ()

    @property
    def release(self) -> str | None:
        """The board's OS release: the version of its HypriotOS image, or else the name of the OS."""
        return self.hypriot_image_version or self.os_release

    @property
    def releases(self) -> tuple[str, ...]:
        """All names by which a user can refer to the board's OS release."""
        return tuple(filter(None, (self.os_release, self.hypriot_image_version, self.hypriot_os)))

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The identifiers that distinguish this board from all others."""
        card = self.card or Card()
        return tuple(filter(None, (self.serial, self.address, card.cid, card.serial)))

    def differences(self, other: Fingerprint, *, cards: bool = True) -> Iterator[str]:
        """Yield the reasons why this board and `other`, a board of a later run, cannot be compared.

        If `cards` is false, the SD cards may differ, as they do between the boards of a fleet.
        """
        for name in ("model", "driver"):
            was, is_now = getattr(self, name), getattr(other, name)
            if was != is_now:
                yield f"the {name} is {is_now}, but was {was}"
        if self.load_from != other.load_from:
            yield f"the load came from {other.load_from}, but came from {self.load_from} before"
        both = self.card or Card(), other.card or Card()
        if cards and all(card.cid for card in both) and both[0].cid != both[1].cid:
            was, is_now = (card.name or "no name" for card in both)
            yield f"the SD card is {is_now}, but was {was} (their CIDs differ)"
        yield from _of_emulation(self.emulation, other.emulation)
        for aspect in sorted(self.emulated_by.keys() & other.emulated_by.keys()):
            was, is_now = self.emulated_by[aspect], other.emulated_by[aspect]
            if was != is_now:
                what = aspect.replace("_", " ")
                yield f"the {what} is emulated by {is_now}, but was emulated by {was}"


def _of_emulation(before: MadeOf, now: MadeOf) -> Iterator[str]:
    was, cpus = before.calibrated_cpus, now.calibrated_cpus
    if was and cpus and abs(cpus / was - 1) > SAME_CPUS:
        yield (
            f"the host's calibration differs: {cpus:.3g} of its CPUs emulate the model's CPU, "
            f"but {was:.3g} did before"
        )
    for what, name in (("link_bits_per_s", "link rate (bit/s)"), ("round_trip_s", "round trip (s)")):
        there = getattr(before, what), getattr(now, what)
        if None not in there and there[0] != there[1]:
            yield f"the emulated {name} is {there[1]}, but was {there[0]}"
    if before.host and now.host and before.host != now.host:
        yield f"the board is emulated on host {now.host}, but was emulated on {before.host}"
