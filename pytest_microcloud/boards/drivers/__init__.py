"""Drivers, which provide boards and control their power."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_microcloud.boards.drivers.protocol import Driver, DriverContext, DriverRegistry

DEFAULT = "ssh"
"""The name of the driver of hosts for which the inventory does not set `microcloud_driver`."""


def register(registry: DriverRegistry) -> None:
    """Register the drivers that this package ships."""
    registry.driver("container", _container, variables=["microcloud_cpu_share"], addressed=False)
    registry.driver("ssh", _ssh)


def _ssh(context: DriverContext) -> Driver:
    from pytest_microcloud.boards.drivers.ssh import SshDriver

    return SshDriver(context)


def _container(context: DriverContext) -> Driver:
    from pytest_microcloud.boards.drivers.container import ContainerDriver

    return ContainerDriver(context)
