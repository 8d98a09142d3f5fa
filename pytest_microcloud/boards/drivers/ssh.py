"""The `ssh` driver: real boards, which exist already and are reached with the user's ssh configuration."""

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
    """An existing board that only the experiments change.

    With `over`, the link to the running board, `start` writes the target's image onto it.
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
        """Do nothing, since the board exists. To replace its image, flash the board and boot it."""
        target = self._target
        if self._over is None or target.flash is None or target.image is None:
            return
        power.flash(target.name, target.flash, target.image)
        if self.cuts_power:
            self.cut_power()  # without a sync: the old system has nothing to write onto the new one
        else:
            with suppress(BoardError):  # the command may have rebooted it already
                self._over.run("systemctl reboot", root=True, check=False)

    def endpoint(self) -> Endpoint:
        """Return the inventory's address, user and key; the user's ssh configuration provides the rest."""
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
        """Return the configured key. A missing one is an error; ssh itself would continue without it."""
        named = self._target.private_key_file
        if named is None:
            return None
        path = Path(named).expanduser()
        if not os.access(path, os.R_OK):
            what = "is not readable" if path.exists() else "does not exist"
            raise LoginRejected(self._target.name, f"the key {path} {what}: see ansible_ssh_private_key_file")
        return path

    def gaps(self, link: Link) -> tuple[str, ...]:
        """Return nothing: a real board is not emulated."""
        del link
        return ()

    def made_of(self) -> dict[str, Any]:
        """Return the flashed image that the inventory names."""
        return {"image": self._target.image} if self._target.image else {}

    def emulated_by(self) -> dict[str, str]:
        """Return nothing: the board is real."""
        return {}

    def failure(self) -> str:
        """Return nothing: this driver knows no more than the board reports."""
        return ""

    def like(self, made_of: Mapping[str, Any]) -> dict[str, object]:
        """Return the image, if it is known on both sides and a command can flash it."""
        name, image = self._target.name, made_of.get("image")
        if self._target.flash is None:
            raise BoardError(name, "there is no command that flashes it: set microcloud_flash")
        if self._target.image is None:
            raise BoardError(name, "its image is not known: set microcloud_image")
        if not image:
            raise BoardError(name, "the other run does not state its image")
        return {"microcloud_image": image}

    def power_on_uptime_s(self, link: Link) -> float:
        """Return 0: a machine's uptime starts with its kernel and does not include the firmware."""
        del link
        return 0.0

    @property
    def cuts_power(self) -> bool:
        """Whether the inventory has a command that cuts the power."""
        return self._target.power_cycle is not None

    def power_cycle(self, link: Link) -> float | None:
        """Cut the power after a sync, if there is a command for it; otherwise reboot with systemd."""
        if self.cuts_power:
            link.run("sync", root=True)
            return self.cut_power()
        with suppress(LinkError):  # it may close the connection before it responds
            link.run("systemctl reboot", root=True, check=False)
        return None

    def cut_power(self) -> float:
        """Cut and restore the power with the inventory's command."""
        if self._target.power_cycle is None:
            raise BoardError(
                self._target.name, "has no command that cuts its power: set microcloud_power_cycle"
            )
        return power.cycle(self._target.name, self._target.power_cycle)

    def stop(self, *, keep: bool = False) -> None:
        """Do nothing: the board stays up."""
        del keep
