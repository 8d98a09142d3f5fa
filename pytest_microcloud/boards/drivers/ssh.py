"""Real boards: machines that are there already, reached as the user's own ssh would reach them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_microcloud.boards import power
from pytest_microcloud.boards.endpoint import DOCKER_SOCKET, Endpoint
from pytest_microcloud.errors import BoardError, LinkError, LoginRejected

if TYPE_CHECKING:
    from pytest_microcloud.boards.link import Link
    from pytest_microcloud.inventory.target import Target


class SshDriver:
    """A board that somebody set up; all that is ours on it is what experiments put there.

    With `over`, a link to the board as it is, its target's image is written onto it by `start`.
    """

    name = "ssh"
    labelled = False
    disposable = False
    own_hardware = True
    boot_timeout_s = 0.0

    def __init__(self, target: Target, *, over: Link | None = None) -> None:
        self._target = target
        self._over = over

    def start(self) -> None:
        """Do nothing, as the board is there; unless it is to have another image, and boot it."""
        target = self._target
        if self._over is None or target.flash is None or target.image is None:
            return
        power.flash(target.name, target.flash, target.image)
        if self.cuts_power:
            self.cut_power()  # without a sync: the old system has nothing to write onto the new one
        else:
            with suppress(BoardError):  # the command may have seen to it already
                self._over.run("systemctl reboot", root=True, check=False)

    def endpoint(self) -> Endpoint:
        """Return the inventory's address, user and key; the user's ssh config gives what it leaves out."""
        target = self._target
        return Endpoint(
            address=target.address,
            port=target.port,
            user=target.user,
            identity_file=self._key(),
            docker_socket=target.docker_socket or DOCKER_SOCKET,
            arguments=target.ssh_arguments,
        )

    def _key(self) -> Path | None:
        """Return the key that is named; ssh would go on without one that is not there."""
        named = self._target.private_key_file
        if named is None:
            return None
        path = Path(named).expanduser()
        if not os.access(path, os.R_OK):
            what = "may not be read by you" if path.exists() else "is not there"
            raise LoginRejected(self._target.name, f"the key {path} {what}: see ansible_ssh_private_key_file")
        return path

    def gaps(self, link: Link) -> tuple[str, ...]:
        """Return nothing: a real board is what it is."""
        del link
        return ()

    def made_of(self) -> dict[str, Any]:
        """Return the image that the inventory says was flashed."""
        return {"image": self._target.image} if self._target.image else {}

    def emulated_by(self) -> dict[str, str]:
        """Return nothing: the board is real."""
        return {}

    def failure(self) -> str:
        """Return nothing: what the board does not say is not known."""
        return ""

    def like(self, made_of: Mapping[str, Any]) -> dict[str, object]:
        """Return the image, if it is known on both sides and there is a command that writes it."""
        name, image = self._target.name, made_of.get("image")
        if self._target.flash is None:
            raise BoardError(name, "there is no command that flashes it: microcloud_flash")
        if self._target.image is None:
            raise BoardError(name, "which image it has is not said: microcloud_image")
        if not image:
            raise BoardError(name, "the other run does not state the image that it had")
        return {"microcloud_image": image}

    def power_on_uptime_s(self, link: Link) -> float:
        """Return 0: a machine's uptime counts from the start of its kernel (firmware is not in it)."""
        del link
        return 0.0

    @property
    def cuts_power(self) -> bool:
        """Whether the inventory has a command for it."""
        return self._target.power_cycle is not None

    def power_cycle(self, link: Link) -> float | None:
        """Cut the power after a sync, if there is a command for it; else reboot by systemd."""
        if self.cuts_power:
            link.run("sync", root=True)
            return self.cut_power()
        with suppress(LinkError):  # it may take the connection with it before it has said anything
            link.run("systemctl reboot", root=True, check=False)
        return None

    def cut_power(self) -> float:
        """Cut and restore the power by the inventory's command."""
        if self._target.power_cycle is None:
            raise BoardError(self._target.name, "has no command that cuts its power: microcloud_power_cycle")
        return power.cycle(self._target.name, self._target.power_cycle)

    def stop(self, *, keep: bool = False) -> None:
        """Do nothing: the board stays."""
        del keep
