"""How a board is reached over SSH."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DOCKER_SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The address of a board's sshd and the parameters of the login.

    `address` is a host name, an IP address, or a `Host` of the user's ssh configuration. If `host_key` (a
    public key) is set, only that key is accepted, and the user's ssh configuration is ignored. `arguments`
    are additional arguments of ssh, and `docker_socket` is the path of the engine's socket on the board.
    """

    address: str
    port: int | None = None
    user: str | None = None
    identity_file: Path | None = None
    host_key: str | None = None
    docker_socket: str = DOCKER_SOCKET
    arguments: tuple[str, ...] = ()
