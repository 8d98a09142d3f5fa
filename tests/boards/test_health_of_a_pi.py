"""The health of a board with a Pi's firmware, thermometer and clock, which files on the board emulate."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.boards import health
from pytest_microcloud.boards.vitals import VitalsReader
from pytest_microcloud.errors import BoardError
from tests.support.watching import SPIN, found, polled

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from tests.support.real import RealBoard, RealBoards

pytestmark = pytest.mark.usefixtures("impatient")

# Files that emulate a Pi's firmware. The marks of a container are removed.
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


@pytest.fixture(scope="module")
def pi(real_boards: RealBoards) -> RealBoard:
    """A real board that looks like a Pi and not like a container."""
    made = real_boards.new("pi")
    made.shell(PI)
    return made


@pytest.fixture(scope="module")
def pi_board(pi: RealBoard) -> Board:
    return pi.in_rack().board("pi")


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
def test_brief_events_on_a_pi_are_found(
    pi: RealBoard, pi_board: Board, file: str, text: str, well: str, reasons: list[str]
) -> None:
    def trouble() -> None:
        pi.shell(f"echo {text} > {file}")
        polled()
        pi.shell(f"echo {well} > {file}")

    counted = found(pi_board, trouble)
    assert counted[: len(reasons)] == reasons
    assert bool(counted) == bool(reasons)


@pytest.mark.engine
def test_a_clock_that_is_slow_while_the_board_is_busy_is_found(pi: RealBoard, pi_board: Board) -> None:
    def work() -> None:
        pi.shell(f"echo 600000 > {CLOCK}; {SPIN.format(seconds=3)}; echo 1200000 > {CLOCK}")

    assert found(pi_board, work) == ["it ran at 600 MHz while busy, instead of the expected 1200 MHz"]


@pytest.mark.engine
def test_swapping_is_found_unless_the_experiment_tolerates_it(pi: RealBoard, pi_board: Board) -> None:
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
def test_a_clock_that_drifts_from_the_controllers_is_found(pi: RealBoard, pi_board: Board) -> None:
    pi.shell("mount --bind /run/uptime /proc/uptime")
    try:
        (reason,) = found(pi_board, lambda: time.sleep(2))
    finally:
        pi.shell("umount /proc/uptime")
    counted = re.match(r"its clock counted 0\.0 s in (\d+\.\d) s of the controller's", reason)
    assert counted, reason
    assert float(counted[1]) >= 2


@pytest.mark.engine
def test_a_board_with_implausible_readings_is_reported(pi: RealBoard, pi_board: Board) -> None:
    pi.shell("echo 'soon enough' > /run/uptime.now && mount --bind /run/uptime.now /proc/uptime")
    try:
        with pytest.raises(BoardError, match="pi: its state cannot be read; it reported "):
            found(pi_board)
    finally:
        pi.shell("umount /proc/uptime")
