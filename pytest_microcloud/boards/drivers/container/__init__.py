"""Boards emulated in system containers on the host's Docker engine."""

from pytest_microcloud.boards.drivers.container.driver import ContainerDriver

__all__ = ["ContainerDriver"]
