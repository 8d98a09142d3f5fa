"""SD cards for emulated boards. They contain the workloads' images, so that no run has to load the images.

A card is prepared once: a board without limits loads the images through its own engine, and its
/var/lib/docker is packed into an image on the host. The card of each new board is a copy of that image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from pytest_microcloud.boards.drivers.container.os_image import Say, board_image
from pytest_microcloud.boards.link import Link
from pytest_microcloud.controller import images
from pytest_microcloud.controller.engine import ended, explained, host_labels
from pytest_microcloud.errors import EngineError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from pytest_microcloud.boards.drivers.protocol import DriverContext
    from pytest_microcloud.boards.endpoint import Endpoint
    from pytest_microcloud.catalog import Workload

    class ContainerBoard(Protocol):
        """The part of a container driver that is used to prepare a card."""

        @property
        def container(self) -> Container:
            """The board's container."""

        def start(self) -> None:
            """See `Driver.start`."""

        def endpoint(self) -> Endpoint:
            """See `Driver.endpoint`."""

        def stop(self, *, keep: bool = False) -> None:
            """See `Driver.stop`."""


FLASH_TIMEOUT_S = 1200
PACK_TIMEOUT_S = 600


def prepared(
    context: DriverContext, engine: DockerClient, new_board: Callable[[DriverContext], ContainerBoard]
) -> str:
    """Return the tag of the image that contains the SD card for a target's OS; prepare a missing card.

    The card contains the images of all workloads that are built on this machine. `new_board` returns a driver
    for a board that has neither limits nor a card. Raises EngineError, LinkError.
    """
    target, say, run_id = context.target, context.say, context.run_id
    suite = target.image or images.WORKLOAD_SUITE
    board = board_image(engine, suite, say)
    tags = list(_built(engine, context.workloads, say))
    with explained("this machine", "looking for a prepared SD card"):
        content = "\0".join(str(engine.images.get(tag).id) for tag in (board, *tags))
        tag = f"microcloud/card:{hashlib.sha256(content.encode()).hexdigest()[:12]}"
        if engine.images.list(name=tag):
            return tag
    say(f"preparing an SD card with {len(tags)} workloads (once)")
    driver = new_board(context)
    link = Link(target.name, 999, context.directory)
    try:
        driver.start()
        link.open(driver.endpoint(), timeout_s=60)
        link.run("until docker version; do sleep 0.2; done", timeout_s=60)
        for image in tags:
            with explained(target.name, f"loading {image} onto the card"):
                images.transfer(engine, link.docker(), image, target.name)
        link.run("systemctl stop docker.socket docker containerd; sync", timeout_s=120)
        link.close()
        _pack(engine, board, driver, tag, run_id)
    finally:
        link.close()
        driver.stop()
    return tag


def _built(engine: DockerClient, workloads: Iterable[Workload], say: Say) -> Iterator[str]:
    """Build the images of those workloads that are built on this machine, and yield the images' tags.

    A workload that cannot be built is left out, and its tests report the reason. Official images are large,
    so the card does not contain them: a test loads the image that it needs.
    """
    for workload in workloads:
        if workload.built_here:
            try:
                yield images.workload(engine, workload, say)
            except EngineError as error:
                say(f"the card is prepared without {workload.name}: {error.what}")


def flash(engine: DockerClient, image: str, volume: str, board: str, run_id: str) -> None:
    """Copy the card's contents from `image` to `volume`, the SD card of a new board. Raises EngineError."""
    with ended(
        engine,
        image,
        ["--xattrs", "--xattrs-include=*", "-xpf", "/card.tar", "-C", "/var/lib/docker"],
        board=board,
        step="flashing the SD card",
        timeout_s=FLASH_TIMEOUT_S,
        entrypoint="tar",
        name=f"{volume}-flash",
        labels=host_labels(run_id),
        cap_add=["SYS_ADMIN", "MKNOD"],
        volumes={volume: {"bind": "/var/lib/docker", "mode": "rw"}},
    ):
        pass


def _pack(engine: DockerClient, board: str, driver: ContainerBoard, tag: str, run_id: str) -> None:
    card = next(m["Name"] for m in driver.container.attrs["Mounts"] if m["Destination"] == "/var/lib/docker")
    with explained("this machine", f"packing {tag}"):
        driver.container.stop()
    with ended(
        engine,
        board,
        ["--xattrs", "--xattrs-include=*", "-cpf", "/card.tar", "-C", "/card", "."],
        board="this machine",
        step=f"packing {tag}",
        timeout_s=PACK_TIMEOUT_S,
        entrypoint="tar",
        labels=host_labels(run_id),
        volumes={card: {"bind": "/card", "mode": "ro"}},
    ) as packer:
        repository, _, version = tag.partition(":")
        packer.commit(repository, version, conf={"Labels": {images.CACHE_LABEL: "card"}})
