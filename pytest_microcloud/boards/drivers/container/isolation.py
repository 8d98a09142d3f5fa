"""The access of an emulated board to the host: its capabilities, and the hidden parts of the host's kernel.

A board runs systemd and Docker without `--privileged`, but with CAP_SYS_ADMIN, which gives nearly as much
access. Hiding parts of the host's kernel guards against accidents, such as an OS image that sets
`kernel.panic` at boot. It does not stop a root user who intends to break out (docs/emulation.md).
`board-init` makes the board's own parts of /proc/sys writable again.
"""

from __future__ import annotations

from typing import Any

CAPABILITIES = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "MKNOD", "SYS_BOOT", "SYS_NICE"]
UNCONFINED = ["seccomp=unconfined", "apparmor=unconfined"]
READ_ONLY = [
    "/proc/acpi",
    "/proc/bus",
    "/proc/dynamic_debug",
    "/proc/fs",
    "/proc/irq",
    "/proc/mtrr",
    "/proc/scsi",
    "/proc/sys",
    "/proc/sysrq-trigger",
]
MASKED = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/timer_list",
    "/sys/firmware/efi",
    "/sys/kernel/config",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
]
"""Paths that are empty on the board. /sys as a whole is read-only, as in every container."""


def paths() -> dict[str, Any]:
    """Return the engine's options that hide MASKED and write-protect READ_ONLY, instead of its defaults."""
    return {"MaskedPaths": MASKED, "ReadonlyPaths": READ_ONLY}
