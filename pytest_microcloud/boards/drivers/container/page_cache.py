"""Fills the host's page cache, so that an emulated board always reads its OS image from the cache.

Linux charges a page of a file to the cgroup that reads it first. So the first board of an image would be
charged for its programs, some 100 MB, and would reread them from its card when memory is short. Later boards
of the image would not. To make all boards equal, the host reads the image before a board is powered on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_microcloud.controller.engine import ended, host_labels

if TYPE_CHECKING:
    from docker import DockerClient

GAP = (
    "pages of the OS image: they are in the host's cache, use none of the board's memory and are not read "
    "from its card"
)
READ_ALL = "find / -xdev -type f -exec cat {} + >/dev/null 2>&1 || true"
DEADLINE_S = 300.0


def read_in(engine: DockerClient, image: str, board: str, run_id: str) -> None:
    """Read all files of an image, in a container with no limits. Raises EngineError, DeadlineExceeded."""
    with ended(
        engine,
        image,
        ["-c", READ_ALL],
        board=board,
        step="reading the OS image",
        timeout_s=DEADLINE_S,
        entrypoint="sh",
        network_mode="none",
        labels=host_labels(run_id),
    ):
        pass
