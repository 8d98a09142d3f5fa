"""The network interface through which this machine reaches an address, and its speed."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

INTERFACES = Path("/sys/class/net")
TIMEOUT_S = 5.0


def bits_per_s(address: str) -> float | None:
    """Return the speed (bit/s) of the interface towards an address; None if the kernel reports no speed.

    Virtual interfaces and Wi-Fi often report no speed.
    """
    try:
        address = str(socket.getaddrinfo(address, None)[0][4][0])
        found = subprocess.run(
            ["ip", "-json", "route", "get", address],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        (route,) = json.loads(found.stdout)
        megabits = int((INTERFACES / route["dev"] / "speed").read_text())
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None
    return megabits * 1e6 if megabits > 0 else None
