"""Findings in readings of a board's state, and the parsing of a board's report."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pytest_microcloud.boards import health
from pytest_microcloud.boards.health import judged
from pytest_microcloud.boards.vitals import Clock, Vitals, parsed
from pytest_microcloud.errors import BoardError


def happened(action: str, container: str, **attributes: str) -> dict[str, Any]:
    return {"Action": action, "Actor": {"ID": container, "Attributes": attributes}}


@pytest.mark.parametrize(
    ("events", "count"),
    [
        ([happened("oom", "a"), happened("die", "a", exitCode="137")], 1),
        ([happened("oom", "a")], 1),
        ([happened("die", "a", exitCode="137"), happened("die", "b", exitCode="137")], 2),
        ([happened("kill", "a", signal="9"), happened("die", "a", exitCode="137")], 0),
        ([happened("die", "a", exitCode="1"), happened("die", "b", exitCode="0")], 0),
    ],
    ids=["reported", "continues", "reported-too-late", "on-request", "by-themselves"],
)
def test_a_container_that_got_an_unrequested_sigkill_counts_as_out_of_memory(
    events: list[dict[str, Any]], count: int
) -> None:
    assert health.killed_for_memory(events) == count


def look(at_s: float, **more: object) -> Vitals:
    plain = Vitals(
        asked_s=at_s, answered_s=at_s + 0.01, uptime_s=at_s + 100, busy_s=0.0, boot="a/1", booted_at_s=1e9
    )
    return dataclasses.replace(plain, **more)  # type: ignore[arg-type]


def symptoms(*seen: Vitals) -> list[str]:
    return [finding.symptom for finding in judged(seen)]


def test_a_single_reading_yields_no_findings() -> None:
    assert symptoms(look(0, throttled=0xF)) == []


def test_counters_restart_with_a_new_boot() -> None:
    before = look(0, throttled=0x50000, swapped_pages=9000, oom_kills=3, log=("[1] Under-voltage detected!",))
    after = look(60, boot="b/1", booted_at_s=2e9, uptime_s=5.0)
    well = dataclasses.replace(after, throttled=0, swapped_pages=0, oom_kills=0, log=())
    assert symptoms(before, well) == ["reboot"]
    ill = dataclasses.replace(after, throttled=0x10000, swapped_pages=300, oom_kills=1, log=before.log)
    assert symptoms(before, ill) == ["reboot", "undervoltage", "undervoltage", "swap", "oom"]


@pytest.mark.parametrize(
    ("took_s", "counted_s", "is_found"),
    [
        (10, 10.5, False),
        (10, 12, True),
        (10, 8, True),
        (3600, 3603, False),
        (3600, 3605, True),
        (0.5, 1.2, False),
    ],
)
def test_a_boards_clock_may_differ_by_a_second_and_by_a_thousandth(
    took_s: float, counted_s: float, is_found: bool
) -> None:
    assert symptoms(look(0), look(took_s, uptime_s=100 + counted_s)) == ["clock"] * is_found


def test_a_slow_answer_is_not_proof_of_a_wrong_clock() -> None:
    slow = dataclasses.replace(look(10, uptime_s=117.0), answered_s=18.0)
    assert symptoms(look(0), slow) == []


def clock_of(*hz: float, busy: float = 1.0) -> list[Vitals]:
    return [
        look(
            5 * n,
            clocks={"cpu0": Clock(each, 5 * n * busy)},
            due_hz={"cpu0": 1200e6} if n == 0 else {},
            busy_s=5 * n * busy,
        )
        for n, each in enumerate(hz)
    ]


@pytest.mark.parametrize(
    ("seen", "is_found"),
    [
        (clock_of(1200e6, 1200e6, 1200e6), False),
        (clock_of(1200e6, 600e6, 1200e6), True),
        (clock_of(1200e6, 1150e6, 1200e6), False),
        (clock_of(600e6, 1200e6, 600e6), False),
        (clock_of(600e6, 600e6, 600e6, busy=0.3), False),
        (clock_of(600e6, 600e6), False),
    ],
    ids=["fast", "slow", "nearly fast", "slow when idle before and after", "idle", "no time to see"],
)
def test_a_slow_clock_counts_only_between_busy_moments(seen: list[Vitals], is_found: bool) -> None:
    assert [finding.symptom for finding in judged(seen)] == ["frequency"] * is_found


def test_kills_are_read_from_the_log_only_if_the_kernel_does_not_count_them() -> None:
    line = "[9.1] Killed process 42 (java) total-vm:1kB"
    assert symptoms(look(0, log=()), look(9, log=(line,))) == ["oom"]
    assert symptoms(look(0, log=(), oom_kills=0), look(9, log=(line,), oom_kills=1)) == ["oom"]


@pytest.mark.parametrize(
    "answer", [[], ["busy_us 1"], ["uptime_s nan", "busy_us 1"], ["uptime_s 1", "busy_us inf"]]
)
def test_an_answer_without_a_clock_is_an_error(answer: list[str]) -> None:
    with pytest.raises(BoardError, match="desk: its state cannot be read"):
        parsed("desk", answer, 0.0, 0.1)


def test_implausible_values_are_unknown() -> None:
    answer = [
        "uptime_s 1",
        "busy_us 1",
        "throttled error=1",
        "zone thermal_zone0 hot",
        "clock cpu0 - 1",
        "clock cpu1 5",
        "btime",
        "oom_kill 0x1",
    ]
    seen = parsed("desk", answer, 0.0, 0.1)
    assert (seen.throttled, seen.temperature_c, seen.booted_at_s, seen.oom_kills) == (None,) * 4
    assert (seen.clocks, seen.implausible) == ({}, ())


def board_at(n: int, *, big_khz: int, zone1: object, busy_cpu4: float = 1.0) -> Vitals:
    """What a big.LITTLE board reports after 5 n seconds: four small CPUs, and a cluster of big ones."""
    answer = [
        f"uptime_s {100 + 5 * n}",
        f"busy_us {5e6 * n}",
        "zone thermal_zone0 48312",
        f"zone thermal_zone1 {zone1}",
        f"clock cpu0 1400000 {5e6 * n}",
        f"clock cpu4 {big_khz} {5e6 * n * busy_cpu4}",
        "due cpu0 1400000",
        "due cpu4 2000000",
    ]
    return parsed("desk", answer, 5.0 * n, 5.0 * n + 0.01)


def test_every_clock_and_every_thermal_zone_is_watched() -> None:
    found = judged([board_at(n, big_khz=600_000, zone1=95_000) for n in range(3)])
    assert [finding.what for finding in found] == [
        "it was 95 °C hot (thermal_zone1)",
        "it ran at 600 MHz while busy, instead of the expected 2000 MHz (cpu4)",
    ]


def test_a_cluster_that_is_idle_may_be_slow() -> None:
    assert judged([board_at(n, big_khz=600_000, zone1=50_000, busy_cpu4=0.2) for n in range(3)]) == []


@pytest.mark.parametrize(
    ("reading", "degrees"), [("97", 97.0), ("97000", 97.0), ("-5000", -5.0), ("48312", 48.312), ("0", 0.0)]
)
def test_a_temperature_is_read_in_degrees_and_in_millidegrees(reading: str, degrees: float) -> None:
    assert board_at(0, big_khz=2_000_000, zone1=reading).zones_c["thermal_zone1"] == pytest.approx(degrees)


@pytest.mark.parametrize("reading", ["-274000", "2147483647", "160000", "-32768000"])
def test_an_impossible_temperature_is_not_watched_and_is_reported(reading: str) -> None:
    seen = board_at(0, big_khz=2_000_000, zone1=reading)
    assert list(seen.zones_c) == ["thermal_zone0"]
    assert f"thermal_zone1 reads {reading}, which is not a temperature" in list(health._unwatched(seen))


@pytest.mark.parametrize("khz", [0, -1, 10**9])
def test_an_impossible_frequency_is_not_watched_and_is_reported(khz: int) -> None:
    seen = board_at(0, big_khz=khz, zone1=48_000)
    assert list(seen.clocks) == ["cpu0"]
    assert f"cpu4 reads {khz:g} kHz, which is not a frequency" in list(health._unwatched(seen))


@pytest.mark.parametrize("khz", [0, -1, 10**9])
def test_an_impossible_expected_frequency_is_not_applied_and_is_reported(khz: int) -> None:
    seen = parsed("desk", ["uptime_s 1", "busy_us 1", "clock cpu0 1200000 1", f"due cpu0 {khz}"], 0.0, 0.1)
    assert seen.due_hz == {}
    unwatched = list(health._unwatched(seen))
    assert f"cpu0 should run at {khz:g} kHz, which is not a frequency" in unwatched
    assert any("CPU frequency" in what for what in unwatched)


@pytest.mark.parametrize(
    "counter",
    [
        {"swapped_pages": 9000},
        {"oom_kills": 3},
        {"throttled": 0x50000},
        {"log": ("Under-voltage detected!",)},
    ],
    ids=lambda counter: next(iter(counter)),
)
def test_a_counter_that_the_first_reading_lacks_yields_no_finding(counter: dict[str, Any]) -> None:
    assert symptoms(look(0), look(5, **counter), look(10, **counter)) == []
