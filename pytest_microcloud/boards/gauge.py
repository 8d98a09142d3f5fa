"""Reads how much memory a board uses, cheaply enough to do so often during a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_microcloud.boards.shell import Shell
from pytest_microcloud.errors import LinkError

if TYPE_CHECKING:
    from pytest_microcloud.boards.link import Link

# Outside a container, available memory is Linux's MemAvailable. In a container with a memory limit it is
# computed from the cgroup: limit - usage + reclaimable page cache.
_SCRIPT = r"""
v1=/sys/fs/cgroup/memory; v2=/sys/fs/cgroup; meminfo=/proc/meminfo
answer() {
  total=; available=; free=0; shared=0
  while read -r key value _; do
    case $key in
      MemTotal:) total=$value ;;
      MemAvailable:) available=$value ;;
      MemFree:|Buffers:|Cached:) free=$((free + value)) ;;
      Shmem:) shared=$value ;;
    esac
  done <"$meminfo"
  [ "$total" ] || { echo "no MemTotal in $meminfo"; return; }
  : "${available:=$((free - shared))}" # before Linux 3.14: free memory and caches without shared memory
  total=$((total * 1024)); available=$((available * 1024)); limit=$total; swapped=0; usage=
  if [ -r $v2/memory.max ]; then
    read -r limit <$v2/memory.max; read -r usage <$v2/memory.current; stat=$v2/memory.stat
    [ "$limit" = max ] && limit=$total
  elif [ -r $v1/memory.limit_in_bytes ]; then
    read -r limit <$v1/memory.limit_in_bytes; read -r usage <$v1/memory.usage_in_bytes; stat=$v1/memory.stat
  fi
  if [ "$limit" -lt "$total" ]; then
    cache=0
    while read -r key value; do
      case $key in
        total_inactive_file|total_active_file) cache=$((cache + value)) ;;
        slab_reclaimable) cache=$((cache + value)) ;;
        inactive_file|active_file) [ -r $v2/memory.max ] && cache=$((cache + value)) ;;
      esac
    done <$stat
    case $usage in ''|*[!0-9]*) echo "a memory limit without a memory usage in $v2 or $v1"; return ;; esac
    total=$limit; available=$((limit - usage + cache)) # swapped=0, since /proc/vmstat counts the host's pages
  else
    while read -r key value; do
      case $key in pswpin|pswpout) swapped=$((swapped + value)) ;; esac
    done </proc/vmstat
  fi
  read -r uptime _ </proc/uptime
  echo "$total $available $swapped $uptime"
}
"""


@dataclass(frozen=True)
class Reading:
    """A board's memory at one moment (bytes), the pages swapped in or out since boot, and the uptime (s)."""

    total_bytes: int
    available_bytes: int
    swapped_pages: int
    uptime_s: float


class Gauge(Shell):
    """Reads a board's memory. Use it as a context manager; `read` raises LinkError or DeadlineExceeded."""

    def __init__(self, link: Link) -> None:
        super().__init__(link, _SCRIPT, "its memory")

    def read(self) -> Reading:
        """Return the current state of the board's memory."""
        fields = " ".join(self.ask()).split()
        try:
            total, available, swapped, uptime = fields
            return Reading(int(total), int(available), int(swapped), float(uptime))
        except ValueError:
            raise LinkError(self._board, f"reported its memory as {' '.join(fields)[:100]!r}") from None
