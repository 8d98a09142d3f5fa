"""Sites for tests: a board in a network that its gateway alone reaches, and a login to the gateway."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.machines import OWN

if TYPE_CHECKING:
    from tests.support.real import RealBoards

ROOT = Path(__file__).parent.parent.parent
PYTHON = f"env PYTHONPATH={ROOT} {sys.executable}"
"""This environment's interpreter with this checkout, on a gateway."""
# Of files, names; not of other file systems. The file for turns stays, as on a controller.
FILES = f"find / -xdev -regextype posix-extended -regex '{OWN}' -prune -o -print | grep -v microcloud-turns"
PROCESSES = "ps -eo args | grep -E '[p]ython|[s]sh -|[a]b '"


class Site:
    """A gateway that has the plugin, and a board behind it. `remove` removes all."""

    def __init__(self, boards: RealBoards, name: str, board: str) -> None:
        self.name = name
        mounts = tuple(dict.fromkeys((str(ROOT), sys.prefix, sys.base_prefix)))
        self.gateway = boards.new(name, engine=None, mounts=mounts)
        self._network = boards.engine.networks.create(
            f"microcloud-tests-{secrets.token_hex(4)}", internal=True, labels=boards.labels
        )
        self._network.connect(self.gateway.container)
        self.board = boards.new(board)
        self.board.move(self._network)
        bridge = f"br-{str(self._network.id)[:12]}"
        subprocess.run(["ip", "address", "flush", "dev", bridge], check=True, timeout=10)
        self.inner_address = self.gateway.shell("hostname -I").split()[-1]
        known = shlex.quote(self.board.known_hosts.read_text())
        self.gateway.shell(f"printf %s {known} > /root/.ssh/known_hosts")

    def left(self) -> list[str]:
        """Return what is on the gateway: files and processes of a session."""
        return [
            *self.gateway.shell(f"{FILES} | sort").splitlines(),
            *self.gateway.shell(PROCESSES, check=False).splitlines(),
        ]

    def left_since(self, before: list[str], *, patience_s: float) -> list[str]:
        """Wait until nothing has been added since an earlier state; return what has."""
        deadline = time.monotonic() + patience_s
        while (left := sorted({*self.left()} - {*before})) and time.monotonic() < deadline:
            time.sleep(0.5)
        return left

    def reaches(self, other: Site) -> bool:
        """Whether the gateway reaches the board of a site."""
        found = self.gateway.shell(f"ssh-keyscan -T 2 {other.board.address} 2>/dev/null", check=False)
        return bool(found.strip())

    def ssh_config(self) -> str:
        """Return the section of an ssh configuration for the login to the gateway."""
        gateway = self.gateway
        return (
            f"Host {self.name}\n  HostName {gateway.address}\n  User root\n  IdentityFile {gateway.key}\n"
            f"  UserKnownHostsFile {gateway.known_hosts}\n  ForwardAgent yes\n"
        )

    def inventory_line(self) -> str:
        """Return the board's line for hosts.ini. Its key is in the agent, its host key on the gateway."""
        board = self.board
        return f"{board.name} ansible_host={board.address} ansible_user=root microcloud_site={self.name}"

    def remove(self) -> None:
        """Remove gateway, board and network."""
        self.gateway.remove()
        self.board.remove()
        self._network.remove()


@contextmanager
def agent(key: Path, directory: Path) -> Iterator[dict[str, str]]:
    """Run an ssh-agent that has a key; yield the environment that leads to it."""
    socket = directory / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL) as process:
        try:
            while not socket.exists():
                assert process.poll() is None
                time.sleep(0.02)
            environment = os.environ | {"SSH_AUTH_SOCK": str(socket)}
            subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True, timeout=10)
            yield environment
        finally:
            process.terminate()
