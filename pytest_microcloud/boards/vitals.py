"""The state of a board at one moment: power supply, temperature, clock, memory and CPU use.

A system container has no firmware, thermometer or kernel of its own, and its /proc describes the host. So for
a container, only the counters of its cgroup are read, and the other values are None. The power supply is read
wherever it is reported, because a fault in the host's supply affects its containers, too.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_microcloud.boards.plain_text import text
from pytest_microcloud.boards.shell import Shell
from pytest_microcloud.errors import BoardError

if TYPE_CHECKING:
    from pytest_microcloud.boards.link import Link

PAGE_BYTES = 4096
UNDER_VOLTAGE = re.compile("under-?voltage detected", re.IGNORECASE)
SEVERAL = ("zone", "clock", "due", "alarm")
"""Keys that occur several times in a board's report. A zone's, clock's or alarm's name follows."""
THROTTLED = re.compile(r"(?:throttled=)?(?:0x)?([0-9a-f]{1,8})", re.IGNORECASE)

# An empty request (a brief reading) starts no process, except vcgencmd if the kernel does not report the
# throttling itself.
_SCRIPT = r"""
PATH=$PATH:/opt/vc/bin:/usr/sbin:/sbin
cgroup=/sys/fs/cgroup; cpus=/sys/devices/system/cpu
inside=; firmware=; alarms=; log=; vcgencmd=; clocks=
if [ -e /run/systemd/container ] || [ -e /.dockerenv ]; then inside=1; fi
for file in /sys/devices/platform/soc*/*:firmware/get_throttled; do [ -r "$file" ] && firmware=$file; done
for file in /sys/class/hwmon/hwmon*/in0_lcrit_alarm; do [ -r "$file" ] && alarms="$alarms $file"; done
for file in $cpus/cpu[0-9]*/cpufreq; do # one per clock: CPUs that share a clock report the same
  [ -d "$file" ] || continue
  cpu=${file%/cpufreq}; cpu=${cpu##*/cpu}; sharing=; read -r sharing <"$file/related_cpus"
  [ "$cpu" = "${sharing%% *}" ] || [ -z "$sharing" ] || continue
  clocks="$clocks $cpu"; eval "sharing_$cpu=\$sharing"
done 2>/dev/null
for file in $cgroup/cpuacct/cpuacct.usage $cgroup/cpu,cpuacct/cpuacct.usage; do
  [ -r "$file" ] && cpuacct=$file
done
command -v vcgencmd >/dev/null && vcgencmd=1
dmesg </dev/null >/dev/null 2>&1 && log=1

report() { [ -r "$2" ] && read -r value <"$2" && echo "$1 $value"; }

answer() {
  read -r value _ </proc/uptime; echo "uptime_s $value"
  if [ -z "$inside" ]; then
    while read -r name user nice system _ _ irq softirq steal _; do
      used=$(((user + nice + system + irq + softirq + steal) * 10000))
      case $name in
        cpu) all_us=$used; echo "busy_us $used" ;;
        cpu[0-9]*) eval "busy_${name#cpu}=$used" ;;
        *) break ;;
      esac
    done </proc/stat
    for file in /sys/class/thermal/thermal_zone*/temp; do
      zone=${file%/temp}; report "zone ${zone##*/}" "$file"
    done 2>/dev/null
    for cpu in $clocks; do
      eval "sharing=\$sharing_$cpu"; used=0
      for one in $sharing; do eval "used=\$((used + \${busy_$one:-0}))"; done
      read -r value <"$cpus/cpu$cpu/cpufreq/cpuinfo_cur_freq" ||
        read -r value <"$cpus/cpu$cpu/cpufreq/scaling_cur_freq" || continue
      [ "$sharing" ] || used=$all_us
      echo "clock cpu$cpu $value $used"
    done 2>/dev/null
  elif [ -r $cgroup/cpu.stat ]; then
    read -r _ value <$cgroup/cpu.stat; echo "busy_us $value"
  else
    read -r value <"$cpuacct"; echo "busy_us $((value / 1000))"
  fi
  if [ "$firmware" ]; then report throttled "$firmware"
  elif [ "$vcgencmd" ]; then echo "throttled $(vcgencmd get_throttled </dev/null)"
  fi
  for file in $alarms; do report "alarm ${file%/*}" "$file"; done
  [ "$1" = all ] && all
}

all() {
  read -r boot </proc/sys/kernel/random/boot_id; read -r value </proc/1/stat
  set -- ${value##*) }; shift 19; echo "boot $boot/$1"
  grep -hE '^(btime|pswpin|pswpout|oom_kill) ' /proc/stat /proc/vmstat </dev/null
  if [ "$inside" ]; then own
  else
    for cpu in $clocks; do
      file=$cpus/cpu$cpu/cpufreq; governor=; read -r governor <"$file/scaling_governor"
      case $governor in
        powersave) report "due cpu$cpu" "$file/scaling_min_freq" ;;
        userspace) report "due cpu$cpu" "$file/scaling_setspeed" ;;
        *) report "due cpu$cpu" "$file/scaling_max_freq" ;;
      esac
    done 2>/dev/null
  fi
  [ "$log" ] && echo "log_is read" && dmesg </dev/null 2>/dev/null |
    sed -n 's/.*nder-\{0,1\}voltage detected.*/log &/p; s/.*Killed process.*/log &/p'
}

own() {
  echo "inside 1"; killed=0
  for file in $cgroup/memory.events $cgroup/memory/memory.oom_control $cgroup/memory/*/memory.oom_control \
              $cgroup/memory/*/*/memory.oom_control; do
    [ -r "$file" ] && while read -r key value; do
      [ "$key" = oom_kill ] && killed=$((killed + value))
    done <"$file"
  done
  echo "own_oom_kill $killed"; [ -r $cgroup/memory.events ] && echo "own_oom_kill_is all"
  { read -r _; swap=; read -r swap _; } </proc/swaps
  if [ -z "$swap" ]; then echo "own_swap_bytes 0"
  elif [ -r $cgroup/memory.swap.current ]; then report own_swap_bytes $cgroup/memory.swap.current
  else
    while read -r key value; do [ "$key" = total_swap ] && echo "own_swap_bytes $value"; done \
      <$cgroup/memory/memory.stat
  fi
  if [ -r $cgroup/cpu.max ]; then read -r quota period <$cgroup/cpu.max
  else read -r quota <$cgroup/cpu/cpu.cfs_quota_us; read -r period <$cgroup/cpu/cpu.cfs_period_us
  fi
  echo "quota $quota"; echo "period $period"
}
"""


COLDEST_C, HOTTEST_C = -40.0, 150.0
DEGREES = 200
"""Temperatures up to this number are taken as degrees: some drivers do not report millidegrees."""
FASTEST_HZ = 2e10


@dataclass(frozen=True)
class Clock:
    """A clock that one or more CPUs share: its frequency (Hz), and the CPUs' busy time since boot (s)."""

    hz: float
    busy_s: float


@dataclass(frozen=True, kw_only=True)
class Vitals:
    """The state of a board at one moment. A value that was not read or is not available is None.

    `zones_c` maps thermal zones to temperatures. `clocks` maps the first CPU of each clock to that clock.
    `implausible` describes readings outside the possible range.

    `asked_s` and `answered_s` are on the controller's monotonic clock, `uptime_s` on the board's, and
    `booted_at_s` on the board's wall clock. `busy_s` is CPU time since boot. `throttled` has the bits of
    `vcgencmd get_throttled`.
    """

    asked_s: float
    answered_s: float
    uptime_s: float
    busy_s: float
    throttled: int | None = None
    alarm: bool | None = None
    zones_c: Mapping[str, float] = field(default_factory=dict)
    clocks: Mapping[str, Clock] = field(default_factory=dict)
    implausible: tuple[str, ...] = ()
    # Not set in a brief reading:
    boot: str | None = None
    booted_at_s: float | None = None
    due_hz: Mapping[str, float] = field(default_factory=dict)
    """A dict from the first CPU of each clock to the frequency (Hz) at which the governor runs a busy CPU."""
    swapped_pages: int | None = None
    oom_kills: int | None = None
    oom_kills_of_host: int | None = None
    """The host's OOM kills; set only for a container on cgroup v1, whose own count omits removed cgroups."""
    log: tuple[str, ...] | None = None
    inside: bool = False
    cpus: float | None = None
    """The number of CPUs that a container may use; None if there is no limit."""

    @property
    def changes(self) -> bool:
        """Whether repeated brief readings are useful, because the board reports values that change."""
        return self.throttled is not None or self.alarm is not None or bool(self.zones_c or self.clocks)

    @property
    def temperature_c(self) -> float | None:
        """The temperature of the hottest zone."""
        return max(self.zones_c.values(), default=None)


class VitalsReader:
    """Reads the state of a board as root. Use it as a context manager; its methods may raise BoardError."""

    def __init__(self, link: Link) -> None:
        self._board = link.board
        self._shell = Shell(link, _SCRIPT, "its state", root=True)

    def brief(self) -> Vitals:
        """Read only the values that may change during a measurement."""
        return self._read("")

    def whole(self) -> Vitals:
        """Read all values."""
        return self._read("all")

    def hang_up(self) -> None:
        """Close the connection from another thread; see `Shell.hang_up`."""
        self._shell.hang_up()

    def close(self) -> None:
        """End the shell on the board."""
        self._shell.close()

    def __enter__(self) -> VitalsReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, what: str) -> Vitals:
        asked_s = time.monotonic()
        lines = self._shell.ask(what)
        return parsed(self._board, lines, asked_s, time.monotonic())


def parsed(board: str, lines: Iterable[str], asked_s: float, answered_s: float) -> Vitals:
    """Parse a board's report, which has one key and value per line.

    Raises BoardError if the uptime or the CPU time is missing.
    """
    log: list[str] = []
    reported: dict[str, str] = {}
    parts: dict[str, dict[str, str]] = {key: {} for key in SEVERAL}
    for line in lines:
        key, _, value = line.partition(" ")
        if key == "log":
            log.append(value)
        elif key in SEVERAL:
            name, _, reading = value.partition(" ")
            parts[key][name] = reading
        else:
            reported[key] = value
    zones_c, no_temperatures = _temperatures(parts["zone"])
    clocks, no_clocks = _clocks(parts["clock"])
    due_hz, no_due = _due(parts["due"])
    alarms = [alarm for each in parts["alarm"].values() if (alarm := _truth(_finite(each))) is not None]
    uptime_s, busy_us = _number(reported, "uptime_s"), _number(reported, "busy_us")
    if uptime_s is None or busy_us is None:
        raise BoardError(
            board, f"its state cannot be read; it reported {text(' '.join(reported)) or 'nothing'!r}"
        )
    inside = "inside" in reported
    wanted = log if not inside else [line for line in log if UNDER_VOLTAGE.search(line)]
    return Vitals(
        asked_s=asked_s,
        answered_s=answered_s,
        uptime_s=uptime_s,
        busy_s=busy_us / 1e6,
        throttled=_bits(reported.get("throttled", "")),
        alarm=any(alarms) if alarms else None,
        zones_c=zones_c,
        clocks=clocks,
        implausible=(*no_temperatures, *no_clocks, *no_due),
        boot=reported.get("boot"),
        booted_at_s=_number(reported, "btime"),
        due_hz=due_hz,
        swapped_pages=_swapped(reported, inside),
        oom_kills=_whole(_number(reported, "own_oom_kill" if inside else "oom_kill")),
        oom_kills_of_host=_whole(_number(reported, "oom_kill")) if _misses_some(reported, inside) else None,
        log=tuple(wanted) if "log_is" in reported else None,
        inside=inside,
        cpus=_cpus(reported),
    )


def _temperatures(readings: Mapping[str, str]) -> tuple[dict[str, float], list[str]]:
    """Return a dict from each zone to its temperature (°C), and descriptions of implausible readings."""
    zones: dict[str, float] = {}
    wrong = []
    for name, reading in readings.items():
        if (number := _finite(reading)) is None:
            continue
        degrees = number if abs(number) <= DEGREES else number / 1000
        if COLDEST_C <= degrees <= HOTTEST_C:
            zones[name] = degrees
        else:
            wrong.append(f"{text(name)} reads {text(reading)}, which is not a temperature")
    return zones, wrong


def _clocks(readings: Mapping[str, str]) -> tuple[dict[str, Clock], list[str]]:
    """Return a dict from the first CPU of each clock to that clock.

    The second value describes the implausible readings, which the dict omits.
    """
    clocks: dict[str, Clock] = {}
    wrong = []
    for name, reading in readings.items():
        khz, busy_us = (_finite(word) for word in (*reading.split(), "", "")[:2])
        if khz is None or busy_us is None:
            continue
        if _is_frequency(khz):
            clocks[name] = Clock(khz * 1e3, busy_us / 1e6)
        else:
            wrong.append(f"{text(name)} reads {khz:g} kHz, which is not a frequency")
    return clocks, wrong


def _due(readings: Mapping[str, str]) -> tuple[dict[str, float], list[str]]:
    """Return a dict from the first CPU of each clock to the clock's expected frequency (Hz).

    The second value describes the implausible frequencies, which the dict omits.
    """
    due_hz: dict[str, float] = {}
    wrong = []
    for name, reading in readings.items():
        if (khz := _finite(reading)) is None:  # the governor "userspace" without a speed
            continue
        if _is_frequency(khz):
            due_hz[name] = khz * 1e3
        else:
            wrong.append(f"{text(name)} should run at {khz:g} kHz, which is not a frequency")
    return due_hz, wrong


def _is_frequency(khz: float) -> bool:
    return 0 < khz * 1e3 <= FASTEST_HZ


def _number(reported: dict[str, str], key: str) -> float | None:
    return _finite(reported.get(key, ""))


def _finite(reading: str) -> float | None:
    try:
        number = float(reading)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _truth(number: float | None) -> bool | None:
    return None if number is None else bool(number)


def _scaled(number: float | None, factor: float) -> float | None:
    return None if number is None else number * factor


def _bits(reported: str) -> int | None:
    found = THROTTLED.fullmatch(reported.strip())
    return int(found[1], 16) if found else None


def _swapped(reported: dict[str, str], inside: bool) -> int | None:
    """Return how many pages were swapped in and out since boot; for a container, how many are in swap now."""
    if inside:
        return _whole(_scaled(_number(reported, "own_swap_bytes"), 1 / PAGE_BYTES))
    went_in, went_out = _number(reported, "pswpin"), _number(reported, "pswpout")
    return None if went_in is None or went_out is None else int(went_in + went_out)


def _misses_some(reported: dict[str, str], inside: bool) -> bool:
    return inside and "own_oom_kill_is" not in reported


def _cpus(reported: dict[str, str]) -> float | None:
    quota, period = _number(reported, "quota"), _number(reported, "period")
    return quota / period if quota and period and quota > 0 else None
