"""Reading a board's memory often and cheaply: one shell on the board that answers a line with a line.

It uses the shell's builtins only, since every process that a slow board starts would disturb what is
measured.
"""

from __future__ import annotations

import contextlib
import select
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_microcloud.errors import DeadlineExceeded, LinkError

if TYPE_CHECKING:
    from pytest_microcloud.boards.link import Link

DEADLINE_S = 30.0

# What Linux calls available on a whole machine; in a container that has a memory limit of its own, the same
# from its cgroup: limit - usage + page cache that can be given up.
_SCRIPT = r"""
v1=/sys/fs/cgroup/memory; v2=/sys/fs/cgroup
while read -r _; do
  while read -r key value _; do
    case $key in MemTotal:) total=$value ;; MemAvailable:) available=$value ;; esac
  done </proc/meminfo
  total=$((total * 1024)); available=$((available * 1024)); limit=$total; swapped=0
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
    total=$limit; available=$((limit - usage + cache)) # and /proc/vmstat is another machine's
  else
    while read -r key value; do
      case $key in pswpin|pswpout) swapped=$((swapped + value)) ;; esac
    done </proc/vmstat
  fi
  read -r uptime _ </proc/uptime
  echo "$total $available $swapped $uptime"
done
"""


@dataclass(frozen=True)
class Reading:
    """Memory of a board at one moment: bytes, pages swapped in or out since boot, the board's uptime (s)."""

    total_bytes: int
    available_bytes: int
    swapped_pages: int
    uptime_s: float


class Gauge:
    """An open gauge; use it as a context manager. `read` raises LinkError or DeadlineExceeded."""

    def __init__(self, link: Link) -> None:
        self._board = link.board
        self._shell = link.start(_SCRIPT)

    def read(self) -> Reading:
        """Ask the board once."""
        if self._shell.stdin is None or self._shell.stdout is None:
            raise LinkError(self._board, "the memory gauge has no pipes")
        try:
            self._shell.stdin.write(b"\n")
            self._shell.stdin.flush()
        except BrokenPipeError:
            raise LinkError(self._board, "the connection broke while memory was read") from None
        deadline = time.monotonic() + DEADLINE_S
        if not select.select([self._shell.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise DeadlineExceeded(self._board, f"did not tell its memory within {DEADLINE_S:.0f} s")
        fields = self._shell.stdout.readline().split()
        if len(fields) != 4:
            raise LinkError(self._board, "the connection broke while memory was read")
        return Reading(int(fields[0]), int(fields[1]), int(fields[2]), float(fields[3]))

    def __enter__(self) -> Gauge:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._shell.stdin, self._shell.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._shell.wait(5)
        except subprocess.TimeoutExpired:
            self._shell.kill()
            self._shell.wait()
