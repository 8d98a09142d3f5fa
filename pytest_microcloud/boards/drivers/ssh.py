"""Real boards: machines that are there already, reached as the user's own ssh would reach them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_microcloud.boards.link import Endpoint

if TYPE_CHECKING:
    from pytest_microcloud.boards.link import Link
    from pytest_microcloud.inventory import Target


class SshDriver:
    """A board that somebody set up; all that is ours on it is what experiments put there."""

    name = "ssh"
    emulated = False
    boot_timeout_s = 0.0

    def __init__(self, target: Target) -> None:
        self._target = target

    def start(self) -> None:
        """Do nothing: the board is there."""

    def endpoint(self) -> Endpoint:
        """Return the inventory's address, user and key; the user's ssh config gives what it leaves out."""
        target = self._target
        return Endpoint(
            address=target.address,
            port=target.port,
            user=target.user,
            identity_file=Path(target.private_key_file).expanduser() if target.private_key_file else None,
            arguments=tuple(shlex.split(target.ssh_common_args or "")),
        )

    def gaps(self, link: Link) -> tuple[str, ...]:
        """Return nothing: a real board is what it is."""
        del link
        return ()

    def power_on_uptime_s(self, link: Link) -> float:
        """Return 0: a machine's uptime counts from the start of its kernel (firmware is not in it)."""
        del link
        return 0.0

    def power_cycle(self, link: Link) -> None:
        """Reboot the board by systemd."""
        link.run("systemctl reboot", root=True, check=False)

    def stop(self, *, keep: bool = False) -> None:
        """Do nothing: the board stays."""
        del keep
