"""One emulated board for as long as a measurement lasts, and a record of what it says meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pytest_microcloud import shipped
from pytest_microcloud.boards.board import Board
from pytest_microcloud.boards.rack import Rack
from pytest_microcloud.catalog import Catalog
from pytest_microcloud.controller.workspace import Workspace, new_run_id
from pytest_microcloud.inventory.target import Target

SUITE = "bookworm"


@dataclass
class Progress:
    """The lines of progress that a board said, each with the time (monotonic, s) at which it did."""

    lines: list[tuple[float, str]] = field(default_factory=list)

    def say(self, _board: str, text: str) -> None:
        """Take a line."""
        self.lines.append((time.monotonic(), text))

    def last(self, word: str) -> float:
        """Return when a line with that word was said last."""
        return next(at for at, text in reversed(self.lines) if word in text)


def announce(board: str, text: str) -> None:
    """Tell whoever waits, apart from the table."""
    print(f"  {board}: {text}", file=sys.stderr, flush=True)


@contextmanager
def emulated(model: str, catalog: Catalog, progress: Progress) -> Iterator[Board]:
    """Power on an emulated board of that model, and remove it afterwards."""
    target = Target(f"{model}-bench", model, "container", {"microcloud_image": SUITE}, (model,))
    drivers = shipped.registry().drivers
    rack = Rack([target], catalog, drivers, Workspace(new_run_id()), announce, progress.say)
    try:
        yield rack.board(target.name)
    finally:
        rack.close()
