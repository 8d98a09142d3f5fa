"""Where a board is reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DOCKER_SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a board's sshd is and how to log in.

    `address` may be any name that the user's ssh knows. With a `host_key` (a public key) that key and no
    other is the right one, and the user's ssh configuration does not apply. `arguments` are further ones for
    ssh's command line, and `docker_socket` is the path of the engine's socket on the board.
    """

    address: str
    port: int | None = None
    user: str | None = None
    identity_file: Path | None = None
    host_key: str | None = None
    docker_socket: str = DOCKER_SOCKET
    arguments: tuple[str, ...] = ()
