"""The Docker image of an emulated board: a Debian release or any image, plus packages that a board needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_microcloud.controller import images
from pytest_microcloud.controller.engine import explained

if TYPE_CHECKING:
    from docker import DockerClient

IMAGE_ID = "sha256:"

Say = Callable[[str], None]


def board_image(engine: DockerClient, suite: str, say: Say) -> str:
    """Return the tag of a board's image; build it if it is missing.

    `suite` is a Debian release, the name of a Docker image, or the id of a board's image, which is used
    unchanged. Raises EngineError.
    """
    if suite.startswith(IMAGE_ID):
        with explained("this machine", f"looking for {suite}"):
            return next(iter(engine.images.get(suite).tags), suite)
    base = suite if "/" in suite or ":" in suite else images.base(engine, suite, say)
    return images.build(engine, "board", Path(__file__).parent / "board", base, say)
