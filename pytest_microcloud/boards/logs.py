"""Reads a board's journal and kernel log since a run began, and finds causes of failures in them.

Each method runs one command on the board, with limits on time and size.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pytest_microcloud.boards.facts import BOOT

if TYPE_CHECKING:
    from pytest_microcloud.boards.link import Link

MOST_BYTES = 200_000
"""Maximum size of each log. Only the end of a longer log is kept."""
FULL_KB = 1024
"""A file system with less free space counts as full."""

# On cgroup v1, the script adds up the OOM kills of all cgroups: a parent's count omits those of its children.
_FUNCTIONS = r"""
exec 2>/dev/null
killed() {
    if [ -r /sys/fs/cgroup/memory.events ]; then cat /sys/fs/cgroup/memory.events
    elif [ -d /sys/fs/cgroup/memory ]; then
        find /sys/fs/cgroup/memory -name memory.oom_control -exec cat {} +
    else cat /proc/vmstat; fi | awk '$1 == "oom_kill" { n += $2 } END { print n + 0 }'
}
disks() { # prints what is wrong with the file systems
    for mount in / /var /var/tmp /var/lib/docker; do
        case ",$(awk -v at="$mount" '$2 == at { options = $4 } END { print options }' /proc/mounts)," in
            *,ro,*) echo "its disk has become read-only" ;;
        esac
    done | sort -u
    df -P / /var/tmp /var/lib/docker | awk '$6 ~ "^/" && $4 < FULL { print "its disk is full" }' | sort -u
}
boot() { (BOOT) | tr -d '\n'; }
""".replace("FULL", str(FULL_KB)).replace("BOOT", BOOT)
_BEGIN = (
    _FUNCTIONS
    + r"""
echo "$(boot)"
cut -d ' ' -f 1 /proc/uptime
killed
journalctl -q -n 0 --show-cursor | sed -n 's/^-- cursor: //p' | grep . || echo
disks
exit 0
"""
)
_LOG = (
    _FUNCTIONS
    + r"""
journal() { timeout 20 journalctl -q --no-pager -o short-precise "$@" 2>&1 | tail -c MOST; }
if [ "$boot" = "$(boot)" ]; then
    echo '== journal'; journal ${cursor:+--after-cursor="$cursor"}
else
    since=0
    echo '== journal of the boot before'; journal -b -1 ${cursor:+--after-cursor="$cursor"}
    echo '== journal of this boot'; journal -b
fi
if systemd-detect-virt -q -c; then
    echo '== kernel: a container has no log of its own'
else
    echo '== kernel'
    dmesg | sed 's/^\[ */[/' | awk -v since="$since" 'substr($0, 2) + 0 >= since' | tail -c MOST
fi
""".replace("MOST", str(MOST_BYTES))
)
_CAUSE = (
    _FUNCTIONS
    + r"""
now=$(disks)
if [ "$now" ] && [ "$now" != "$disks_before" ]; then echo "$now" | head -n 1; exit; fi
[ "$boot" = "$(boot)" ] || killed_before=0
[ "$(killed)" -le "${killed_before:-0}" ] || echo "it ran out of memory, and the kernel killed processes"
exit 0
"""
)


class Logs:
    """The logs of one board since `begin`. Every method may raise BoardError."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._began = ""

    def begin(self) -> None:
        """Remember where the logs end now, so that `log` and `cause` report only what is logged later."""
        lines = [*self._link.run(_BEGIN, root=True, timeout_s=30).stdout.splitlines(), *[""] * 4]
        names = ("boot", "since", "killed_before", "cursor", "disks_before")
        values = [*lines[:4], "\n".join(lines[4:]).strip()]
        self._began = "".join(
            f"{name}={shlex.quote(value)}\n" for name, value in zip(names, values, strict=True)
        )

    def log(self) -> str:
        """Return journal and kernel log since `begin`, including the previous boot if the board rebooted."""
        return self._link.run(self._began + _LOG, root=True, timeout_s=60).stdout

    def cause(self) -> str:
        """Describe what went wrong on a board since `begin`; an empty string if the logs show nothing."""
        return self._link.run(self._began + _CAUSE, root=True, timeout_s=30).stdout.strip()
