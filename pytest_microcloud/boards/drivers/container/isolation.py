"""What an emulated board has of the host: capabilities, and which parts of its kernel are out of reach.

A board runs systemd and Docker without `--privileged`, but CAP_SYS_ADMIN is near to it. Hiding the host's
kernel guards against accidents, such as an OS image that sets `kernel.panic` at boot; it does not contain a
root who means to break out (docs/emulation.md). `board-init` gives back what of /proc/sys is the board's own.
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
"""Empty on the board. /sys as a whole is read-only, as in every container."""


def paths() -> dict[str, Any]:
    """Return these paths as the engine's API has them, in place of the engine's own choice."""
    return {"MaskedPaths": MASKED, "ReadonlyPaths": READ_ONLY}
