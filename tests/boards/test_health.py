"""What a watch finds on a board that is not well; the faults are made on the board, while it is watched."""

from __future__ import annotations

import dataclasses
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud import catalog
from pytest_microcloud.boards import health
from pytest_microcloud.boards.health import Watch, judged
from pytest_microcloud.boards.vitals import Clock, Vitals, VitalsReader, parsed
from pytest_microcloud.errors import BoardError, LinkError
from pytest_microcloud.experiments import shipped

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from tests.conftest import NewRealBoard
    from tests.support.real import RealBoard, RealBoards

POLL_S = 0.2
SPIN = "timeout {seconds} sh -c 'while :; do :; done'"
# A Pi has these of its firmware; here files stand in for it. No mark of a container is left either.
PI = r"""
set -e
rm -f /.dockerenv /run/systemd/container
mkdir -p /run/class/hwmon/hwmon1 /run/class/thermal/thermal_zone0
cp -a /sys/class/net /run/class
mount --bind /run/class /sys/class
mount -t tmpfs none /sys/devices/platform
mount -t tmpfs none /sys/devices/system/cpu
mkdir -p /sys/devices/platform/soc/soc:firmware /sys/devices/system/cpu/cpu0/cpufreq
cd /sys/devices/system/cpu/cpu0/cpufreq
echo ondemand > scaling_governor
for what in cpuinfo_cur_freq scaling_max_freq; do echo 1200000 > $what; done
echo 0 > /sys/devices/platform/soc/soc:firmware/get_throttled
echo 0 > /sys/class/hwmon/hwmon1/in0_lcrit_alarm
echo 48312 > /sys/class/thermal/thermal_zone0/temp
for file in uptime vmstat stat; do cp /proc/$file /run/$file; done
"""
CLOCK = "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_cur_freq"
TEMPERATURE = "/sys/class/thermal/thermal_zone0/temp"
FIRMWARE = "/sys/devices/platform/soc/soc:firmware/get_throttled"
ALARM = "/sys/class/hwmon/hwmon1/in0_lcrit_alarm"
# `vcgencmd` and `dmesg` as they come before the system's own.
TOLD = """\
#!/bin/sh
cat /run/told-by-{name}
"""
HOG = """
tar -ch /usr/bin/tail $(ldd /usr/bin/tail | grep -o '/[^ ]*') 2>/dev/null | docker import - somebody/hog:1
"""


@pytest.fixture(scope="module")
def machine(real_boards: RealBoards) -> RealBoard:
    """A real board to furnish and to break: a container that has none of a Pi's firmware."""
    return real_boards.new("machine")


@pytest.fixture(scope="module")
def board(machine: RealBoard) -> Board:
    return machine.in_rack().board("machine")


@pytest.fixture(scope="module")
def pi(real_boards: RealBoards) -> RealBoard:
    """A real board that looks like a Pi, and not like a container."""
    made = real_boards.new("pi")
    made.shell(PI)
    return made


@pytest.fixture(scope="module")
def pi_board(pi: RealBoard) -> Board:
    return pi.in_rack().board("pi")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "POLL_S", POLL_S)


@pytest.fixture
def says(machine: RealBoard) -> Iterator[Callable[[str, str], None]]:
    """Let a program of the board say something, until the test ends."""
    programs = set()

    def say(name: str, text: str) -> None:
        machine.shell(f"printf '%s\\n' {shlex.quote(text)} > /run/told-by-{name}")
        if name not in programs:
            programs.add(name)
            program = shlex.quote(TOLD.format(name=name))
            path = f"/usr/local/bin/{name}"
            machine.shell(f"printf %s {program} > {path} && chmod 755 {path}")

    yield say
    for name in programs:
        machine.shell(f"rm -f /usr/local/bin/{name} /run/told-by-{name}")


def found(
    board: Board, meanwhile: Callable[[], object] = lambda: None, *, expected: str = "load"
) -> list[str]:
    """Return the reasons of a watch over what is done; others may load this machine, and so the board."""
    with Watch(board, expected=expected.split()) as watch:
        meanwhile()
    return watch.verdict()


def polled() -> None:
    """Let the board be looked at a few times."""
    time.sleep(5 * POLL_S)


@pytest.mark.engine
def test_a_board_that_is_well_is_given_no_reason_and_keeps_no_process(
    machine: RealBoard, board: Board
) -> None:
    before = machine.shell("pgrep -c sh || true")
    assert found(board, polled) == []
    assert machine.shell("pgrep -c sh || true") == before


@pytest.mark.engine
@pytest.mark.parametrize(
    ("bits", "reasons"),
    [
        ("0x1", ["its supply voltage was too low (vcgencmd get_throttled, bit 0)"]),
        ("0x2", ["its frequency was capped (vcgencmd get_throttled, bit 1)"]),
        ("0x4", ["it was throttled (vcgencmd get_throttled, bit 2)"]),
        ("0x8", ["it reached its soft temperature limit (vcgencmd get_throttled, bit 3)"]),
        (
            "0x50005",
            [
                "its supply voltage was too low (vcgencmd get_throttled, bit 0)",
                "it was throttled (vcgencmd get_throttled, bit 2)",
            ],
        ),
    ],
)
def test_what_the_firmware_throttles_is_found_even_if_it_passes(
    board: Board, says: Callable[[str, str], None], bits: str, reasons: list[str]
) -> None:
    says("vcgencmd", "throttled=0x0")

    def trouble() -> None:
        says("vcgencmd", f"throttled={bits}")
        polled()
        says("vcgencmd", "throttled=0x0")

    assert found(board, trouble) == reasons


@pytest.mark.engine
def test_bits_of_any_time_since_boot_count_if_they_are_new(
    board: Board, says: Callable[[str, str], None]
) -> None:
    says("vcgencmd", "throttled=0x40000")
    assert found(board, polled) == []
    reasons = found(board, lambda: says("vcgencmd", "throttled=0x50000"))
    assert reasons == ["its supply voltage was too low (vcgencmd get_throttled, bit 0)"]


@pytest.mark.engine
def test_bits_that_hide_new_events_are_told(board: Board, says: Callable[[str, str], None]) -> None:
    says("vcgencmd", "throttled=0x50000")
    told = "; ".join(health.unwatched(board))
    assert "short new events of a kind that has already happened since boot" in told
    assert "its supply voltage was too low, it was throttled" in told
    assert "throttling" not in told


@pytest.mark.engine
def test_a_vcgencmd_that_cannot_tell_counts_as_none(board: Board, says: Callable[[str, str], None]) -> None:
    says("vcgencmd", "VCHI initialization failed")
    assert found(board, polled) == []
    assert "throttling" in "; ".join(health.unwatched(board))


@pytest.mark.engine
@pytest.mark.parametrize(
    "line", ["Under-voltage detected! (0x00050005)", "hwmon hwmon1: Undervoltage detected!"]
)
def test_under_voltage_in_the_kernel_log_is_found_once(
    board: Board, says: Callable[[str, str], None], line: str
) -> None:
    old, new = f"[12.345678] {line}", f"[456.789012] {line}"
    says("dmesg", old)
    assert found(board) == []
    assert found(board, lambda: says("dmesg", f"{old}\n[400.000001] eth0: up\n{new}")) == [
        f"its kernel reports: {new}"
    ]
    assert found(board) == []


@pytest.mark.engine
def test_text_of_the_kernel_log_is_shown_without_control_characters(
    board: Board, says: Callable[[str, str], None]
) -> None:
    says("dmesg", "booted")
    (reason,) = found(
        board, lambda: says("dmesg", "[1.0] Under-voltage detected! \x1b[2J\x07 is what\tit said")
    )
    assert reason == "its kernel reports: [1.0] Under-voltage detected! [2J is what it said"


@pytest.mark.engine
def test_a_process_killed_for_want_of_memory_is_found_unless_it_is_what_is_measured(
    machine: RealBoard, board: Board
) -> None:
    machine.shell(HOG)

    def exhaust() -> None:
        machine.shell("docker run --rm -m 30m somebody/hog:1 /usr/bin/tail /dev/zero", check=False)

    reasons = ["it ran out of memory, and its kernel killed a process"]
    assert found(board, exhaust) == reasons
    assert found(board) == []
    assert found(board, exhaust, expected="load oom") == []
    machine.shell("docker rmi somebody/hog:1")


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
    ids=["told", "goes-on", "told-too-late", "on-request", "by-themselves"],
)
def test_a_container_that_sigkill_ended_unasked_counts_as_out_of_memory(
    events: list[dict[str, Any]], count: int
) -> None:
    assert health.killed_for_memory(events) == count


@pytest.mark.engine
def test_a_reboot_is_found_unless_it_is_what_is_measured(new_real_board: NewRealBoard) -> None:
    real = new_real_board("desk")
    board = real.in_rack().board("desk")
    boot_id = "cat /proc/sys/kernel/random/boot_id"

    def reboot() -> None:
        before = real.shell(boot_id)
        real.shell("systemctl reboot", check=False)
        while real.container.status != "running" or real.shell(boot_id, check=False) == before:
            time.sleep(0.1)
            real.container.reload()

    assert found(board, reboot) == ["it rebooted"]
    assert found(board, board.reboot, expected="load reboot") == []


@pytest.mark.engine
def test_a_board_that_is_gone_is_an_error_unless_that_is_what_is_measured(
    new_real_board: NewRealBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "RECOVERY_S", 3.0)
    real = new_real_board("desk")
    board = real.in_rack().board("desk")
    with Watch(board, expected=["load", "lost"]) as watch:
        real.container.stop(timeout=1)
    assert watch.verdict() == []
    real.container.start()
    real.wait_until_up()
    board.reconnect(60)
    with pytest.raises(LinkError, match=r"^desk: "):
        found(board, lambda: real.container.stop(timeout=1))


@pytest.mark.engine
def test_load_of_others_before_the_start_is_found(
    machine: RealBoard, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "SETTLE_S", 1.0)
    spinning = threading.Thread(target=machine.shell, args=[f"{SPIN.format(seconds=6)} || true"])
    spinning.start()
    time.sleep(0.5)
    with Watch(board) as watch:
        pass
    spinning.join()
    (reason,) = watch.verdict()
    assert reason.startswith("it was busy with something else before the start (")


@pytest.mark.engine
def test_load_that_ends_in_time_was_our_own(machine: RealBoard, board: Board) -> None:
    spinning = threading.Thread(target=machine.shell, args=[f"{SPIN.format(seconds=3)} || true"])
    spinning.start()
    time.sleep(0.5)
    with Watch(board) as watch:
        pass
    spinning.join()
    assert watch.verdict() == []


@pytest.mark.engine
def test_what_is_measured_may_fail_and_is_then_watched_no_more(machine: RealBoard, board: Board) -> None:
    before = machine.shell("pgrep -c sh || true")
    with pytest.raises(ZeroDivisionError), Watch(board, expected=["load"]) as watch:
        raise ZeroDivisionError
    assert watch.verdict() == []
    assert machine.shell("pgrep -c sh || true") == before


@pytest.mark.engine
def test_a_system_container_says_once_what_it_has_not(board: Board) -> None:
    told = health.unwatched(board)
    missing = "throttling, under-voltage, temperature, CPU frequency (a system container has none of its own)"
    assert missing in told


@pytest.mark.engine
def test_containers_of_others_are_told_by_name(new_real_board: NewRealBoard) -> None:
    board = new_real_board("desk", others_containers=2).in_rack().board("desk")
    assert health.others(board) == ("theirs-1", "theirs-2")


@pytest.mark.engine
def test_a_user_with_sudo_sees_what_only_root_may(new_real_board: NewRealBoard) -> None:
    real = new_real_board("desk", user="pirate")
    real.shell("printf '#!/bin/sh\\n[ $(id -u) = 0 ] && echo nothing\\n' > /usr/local/bin/dmesg")
    real.shell("chmod 755 /usr/local/bin/dmesg")
    with VitalsReader(real.in_rack().board("desk").link) as reader:
        assert reader.whole().log == ()


@pytest.mark.engine
def test_an_emulated_board_is_watched_by_its_own_counters(pi3b: Board) -> None:
    with VitalsReader(pi3b.link) as reader:
        seen = reader.whole()
    assert seen.inside
    assert seen.cpus is not None
    assert seen.cpus < pi3b.model.cores
    assert (seen.oom_kills, seen.swapped_pages) == (0, 0)
    assert not seen.changes


# A Pi by its files


@pytest.mark.engine
def test_a_pi_is_watched_in_all(pi_board: Board) -> None:
    with VitalsReader(pi_board.link) as reader:
        seen = reader.whole()
    assert not seen.inside
    assert (seen.throttled, seen.alarm) == (0, False)
    assert seen.temperature_c == pytest.approx(48.312)
    assert ({name: clock.hz for name, clock in seen.clocks.items()}, seen.due_hz) == (
        {"cpu0": 1200e6},
        {"cpu0": 1200e6},
    )
    assert health.unwatched(pi_board) == ()


@pytest.mark.engine
@pytest.mark.parametrize(
    ("file", "text", "well", "reasons"),
    [
        (FIRMWARE, "50001", "0", ["its supply voltage was too low (vcgencmd get_throttled, bit 0)"]),
        (ALARM, "1", "0", ["its supply voltage was too low (hwmon's alarm)"]),
        (TEMPERATURE, "81700", "48312", ["it was 82 °C hot"]),
        (TEMPERATURE, "79200", "48312", []),
    ],
)
def test_what_a_pi_tells_in_passing_is_found(
    pi: RealBoard, pi_board: Board, file: str, text: str, well: str, reasons: list[str]
) -> None:
    def trouble() -> None:
        pi.shell(f"echo {text} > {file}")
        polled()
        pi.shell(f"echo {well} > {file}")

    told = found(pi_board, trouble)
    assert told[: len(reasons)] == reasons
    assert bool(told) == bool(reasons)


@pytest.mark.engine
def test_a_clock_that_is_slow_while_the_board_is_busy_is_found(pi: RealBoard, pi_board: Board) -> None:
    def work() -> None:
        pi.shell(f"echo 600000 > {CLOCK}; {SPIN.format(seconds=3)}; echo 1200000 > {CLOCK}")

    assert found(pi_board, work) == ["it ran at 600 MHz while busy, where 1200 MHz are expected"]


@pytest.mark.engine
def test_swapping_is_found_unless_it_is_what_is_measured(pi: RealBoard, pi_board: Board) -> None:
    swapped = "sed -i 's/^pswpout .*/pswpout {pages}/' /run/vmstat && cat /run/vmstat > /run/vmstat.now"
    pi.shell(f"{swapped.format(pages=0)} && mount --bind /run/vmstat.now /proc/vmstat")
    try:
        assert found(pi_board, lambda: pi.shell(swapped.format(pages=200))) == []
        reasons = found(pi_board, lambda: pi.shell(swapped.format(pages=1200)))
        assert reasons == ["it swapped (1000 pages)"]
        assert found(pi_board, lambda: pi.shell(swapped.format(pages=9000)), expected="load swap") == []
    finally:
        pi.shell("umount /proc/vmstat")


@pytest.mark.engine
def test_a_wall_clock_that_jumps_is_found(pi: RealBoard, pi_board: Board) -> None:
    jump = "sed 's/^btime .*/btime {now}/' /run/stat > /run/stat.now"
    pi.shell(f"{jump.format(now=1_700_000_000)} && mount --bind /run/stat.now /proc/stat")
    try:
        assert found(pi_board, lambda: pi.shell(jump.format(now=1_700_000_001))) == []
        reasons = found(pi_board, lambda: pi.shell(jump.format(now=1_700_003_601)))
        assert reasons == ["its wall clock jumped by +3600 s"]
    finally:
        pi.shell("umount /proc/stat")


@pytest.mark.engine
def test_a_clock_that_does_not_run_as_the_controllers_does_is_found(pi: RealBoard, pi_board: Board) -> None:
    pi.shell("mount --bind /run/uptime /proc/uptime")
    try:
        (reason,) = found(pi_board, lambda: time.sleep(2))
    finally:
        pi.shell("umount /proc/uptime")
    told = re.match(r"its clock counted 0\.0 s in (\d+\.\d) s of the controller's", reason)
    assert told, reason
    assert float(told[1]) >= 2


@pytest.mark.engine
def test_a_board_that_tells_nonsense_is_told(pi: RealBoard, pi_board: Board) -> None:
    pi.shell("echo 'soon enough' > /run/uptime.now && mount --bind /run/uptime.now /proc/uptime")
    try:
        with pytest.raises(BoardError, match="pi: its state cannot be read; it reported "):
            found(pi_board)
    finally:
        pi.shell("umount /proc/uptime")


# Looks as they were, or might be


def look(at_s: float, **more: object) -> Vitals:
    plain = Vitals(
        asked_s=at_s, answered_s=at_s + 0.01, uptime_s=at_s + 100, busy_s=0.0, boot="a/1", booted_at_s=1e9
    )
    return dataclasses.replace(plain, **more)  # type: ignore[arg-type]


def symptoms(*seen: Vitals) -> list[str]:
    return [finding.symptom for finding in judged(seen)]


def test_one_look_is_not_enough_to_find_anything() -> None:
    assert symptoms(look(0, throttled=0xF)) == []


def test_a_new_boot_starts_to_count_anew() -> None:
    before = look(0, throttled=0x50000, swapped_pages=9000, oom_kills=3, log=("[1] Under-voltage detected!",))
    after = look(60, boot="b/1", booted_at_s=2e9, uptime_s=5.0)
    well = dataclasses.replace(after, throttled=0, swapped_pages=0, oom_kills=0, log=())
    assert symptoms(before, well) == ["reboot"]
    ill = dataclasses.replace(after, throttled=0x10000, swapped_pages=300, oom_kills=1, log=before.log)
    assert symptoms(before, ill) == ["reboot", "undervoltage", "undervoltage", "swap", "oom"]


@pytest.mark.parametrize(
    ("took_s", "told_s", "is_found"),
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
    took_s: float, told_s: float, is_found: bool
) -> None:
    assert symptoms(look(0), look(took_s, uptime_s=100 + told_s)) == ["clock"] * is_found


def test_an_answer_that_took_long_is_no_proof_of_a_wrong_clock() -> None:
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


def test_kills_are_taken_from_the_log_only_of_a_kernel_that_does_not_count_them() -> None:
    line = "[9.1] Killed process 42 (java) total-vm:1kB"
    assert symptoms(look(0, log=()), look(9, log=(line,))) == ["oom"]
    assert symptoms(look(0, log=(), oom_kills=0), look(9, log=(line,), oom_kills=1)) == ["oom"]


@pytest.mark.parametrize(
    "answer", [[], ["busy_us 1"], ["uptime_s nan", "busy_us 1"], ["uptime_s 1", "busy_us inf"]]
)
def test_an_answer_without_a_clock_is_none(answer: list[str]) -> None:
    with pytest.raises(BoardError, match="desk: its state cannot be read"):
        parsed("desk", answer, 0.0, 0.1)


def test_what_makes_no_sense_is_unknown() -> None:
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
        "it ran at 600 MHz while busy, where 2000 MHz are expected (cpu4)",
    ]


def test_a_cluster_that_is_idle_may_be_slow() -> None:
    assert judged([board_at(n, big_khz=600_000, zone1=50_000, busy_cpu4=0.2) for n in range(3)]) == []


@pytest.mark.parametrize(
    ("reading", "degrees"), [("97", 97.0), ("97000", 97.0), ("-5000", -5.0), ("48312", 48.312), ("0", 0.0)]
)
def test_a_temperature_is_read_in_degrees_and_in_millidegrees(reading: str, degrees: float) -> None:
    assert board_at(0, big_khz=2_000_000, zone1=reading).zones_c["thermal_zone1"] == pytest.approx(degrees)


@pytest.mark.parametrize("reading", ["-274000", "2147483647", "160000", "-32768000"])
def test_a_temperature_that_cannot_be_is_not_watched_and_that_is_said(reading: str) -> None:
    seen = board_at(0, big_khz=2_000_000, zone1=reading)
    assert list(seen.zones_c) == ["thermal_zone0"]
    assert f"thermal_zone1 reads {reading}, which is not a temperature" in list(health._unwatched(seen))


@pytest.mark.parametrize("khz", [0, -1, 10**9])
def test_a_frequency_that_cannot_be_is_not_watched_and_that_is_said(khz: int) -> None:
    seen = board_at(0, big_khz=khz, zone1=48_000)
    assert list(seen.clocks) == ["cpu0"]
    assert f"cpu4 reads {khz:g} kHz, which is not a frequency" in list(health._unwatched(seen))


def test_thresholds_and_tolerated_symptoms_are_data() -> None:
    experiments = {experiment.name: experiment for experiment in shipped()}
    for experiment in experiments.values():
        for symptom in experiment.tolerates:
            assert catalog.threshold(symptom) >= 0
    assert "oom" in experiments["hosting"].tolerates
    assert "reboot" in experiments["startup"].tolerates
    assert experiments["io"].tolerates == ()
