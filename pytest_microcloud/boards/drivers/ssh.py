"""The `ssh` driver: real boards, which exist already and are reached with the user's ssh configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_microcloud.boards import power
from pytest_microcloud.boards.drivers.protocol import Driver
from pytest_microcloud.boards.endpoint import DOCKER_SOCKET, Endpoint
from pytest_microcloud.errors import BoardError, LinkError, LoginRejected

if TYPE_CHECKING:
    from pytest_microcloud.boards.link import Link


class SshDriver(Driver):
    """A board that exists already. The driver changes nothing on the board, with one exception.

    To boot another image on a running board (`context.over`), `start` flashes the board with that image.
    """

    def start(self) -> None:
        """Flash and boot the board if another image replaces its current image. Otherwise do nothing."""
        target = self.target
        if self.context.over is None or target.flash is None or target.image is None:
            return
        power.flash(target.name, target.flash, target.image)
        if self.cuts_power:
            self.cut_power()  # without a sync, which would write the old system's data onto the new image
        else:
            with suppress(BoardError):  # the flash command may have rebooted the board already
                self.context.over.run("systemctl reboot", root=True, check=False)

    def endpoint(self) -> Endpoint:
        """Return the inventory's address, user and key. The user's ssh configuration provides the rest."""
        target = self.target
        return Endpoint(
            address=target.address,
            port=target.port,
            user=target.user,
            identity_file=self._key(),
            docker_socket=target.docker_socket or DOCKER_SOCKET,
            arguments=target.ssh_arguments,
        )

    def _key(self) -> Path | None:
        """Return the configured key's path. A missing file is an error, although ssh would only warn."""
        named = self.target.private_key_file
        if named is None:
            return None
        path = Path(named).expanduser()
        if not os.access(path, os.R_OK):
            what = "is not readable" if path.exists() else "does not exist"
            remedy = "see ansible_ssh_private_key_file"
            if site := self.context.gateway:
                what += f" on the gateway of the site {site}"
                remedy = (
                    "copy the key to the gateway, or remove it from the inventory and forward your agent "
                    "(--tx 'ssh=-A GATEWAY//…')"
                )
            raise LoginRejected(self.target.name, f"the key {path} {what}: {remedy}")
        return path

    def made_of(self) -> dict[str, Any]:
        """Return a dict with the flashed image, if the inventory names the image."""
        return {"image": self.target.image} if self.target.image else {}

    def like(self, made_of: Mapping[str, Any]) -> dict[str, object]:
        """Return a dict with the variable `microcloud_image`.

        Raises BoardError if either run's image is unknown, or if no command flashes the board.
        """
        name, image = self.target.name, made_of.get("image")
        if self.target.flash is None:
            raise BoardError(name, "there is no command that flashes the board: set microcloud_flash")
        if self.target.image is None:
            raise BoardError(name, "its image is not known: set microcloud_image")
        if not image:
            raise BoardError(name, "the other run does not state its image")
        return {"microcloud_image": image}

    @property
    def cuts_power(self) -> bool:
        """Whether the inventory has a command that cuts the power."""
        return self.target.power_cycle is not None

    def reboot(self, link: Link) -> float | None:
        """Sync and cut the power if the inventory has a command for that; otherwise reboot with systemd."""
        if self.cuts_power:
            link.run("sync", root=True)
            return self.cut_power()
        with suppress(LinkError):  # the board may close the connection before it responds
            link.run("systemctl reboot", root=True, check=False)
        return None

    def cut_power(self) -> float:
        """Cut and restore the power with the inventory's command."""
        if self.target.power_cycle is None:
            raise BoardError(
                self.target.name, "has no command that cuts its power: set microcloud_power_cycle"
            )
        return power.cycle(self.target.name, self.target.power_cycle)
