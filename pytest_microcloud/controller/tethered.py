"""Containers that end with this process, even after SIGKILL.

The standard input of such a container is a connection of this process, and the container's command ends when
its standard input closes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_microcloud.controller.engine import host_labels

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

END_TIMEOUT_S = 60.0


class Tethered:
    """A container that runs until `end`, or until this process ends."""

    def __init__(self, container: Container) -> None:
        """Connect to the container's standard input, and start the container."""
        self._container = container
        self._input: Any = container.attach_socket(params={"stdin": 1, "stream": 1})
        try:
            container.start()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End the container, and wait until it is removed and its name is free."""
        from docker.errors import APIError, NotFound

        with contextlib.suppress(OSError):
            getattr(self._input, "_sock", self._input).close()  # docker-py wraps the socket in a SocketIO
        self._input.close()
        with contextlib.suppress(APIError):  # the engine also removes it (auto_remove)
            self._container.remove(force=True)
        with contextlib.suppress(NotFound):
            self._container.wait(condition="removed", timeout=END_TIMEOUT_S)


def create(
    engine: DockerClient,
    image: str,
    arguments: Sequence[str],
    *,
    name: str,
    run_id: str,
    cpu_shares: int | None = None,
) -> Container:
    """Create a container whose shell gets `arguments`, to be started by `Tethered`.

    `cpu_shares` is Docker's CPU weight. Raises docker-py's exceptions.
    """
    api = engine.api
    created = api.create_container(
        image,
        list(arguments),
        name=name,
        entrypoint="sh",
        stdin_open=True,
        detach=False,  # standard input closes when its first client disconnects
        labels=host_labels(run_id),
        host_config=api.create_host_config(auto_remove=True, network_mode="none", cpu_shares=cpu_shares),
    )
    return engine.containers.get(created["Id"])
