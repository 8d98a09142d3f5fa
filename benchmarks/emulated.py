"""Starts an emulated board for a benchmark, and records the steps that its experiments report."""

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
from pytest_microcloud.controller.progress import Progress
from pytest_microcloud.controller.workspace import Workspace, new_run_id
from pytest_microcloud.inventory.target import Target

SUITE = "bookworm"


@dataclass
class Recorded(Progress):
    """Prints what the board does, and records each step of an experiment with its time (s).

    The times are those of `time.monotonic`.
    """

    lines: list[tuple[float, str]] = field(default_factory=list)

    def announce(self, subject: str, text: str) -> None:
        """Print a step of the board."""
        announce(subject, text)

    def update(self, _subject: str, text: str) -> None:
        """Record a step of an experiment, with the current time."""
        self.lines.append((time.monotonic(), text))

    def last(self, word: str) -> float:
        """Return the time (s) of the last recorded step whose text contains `word`."""
        return next(at for at, text in reversed(self.lines) if word in text)


def announce(subject: str, text: str) -> None:
    """Print a step to stderr, because stdout is for the table of results."""
    print(f"  {subject}: {text}", file=sys.stderr, flush=True)


@contextmanager
def emulated(model: str, catalog: Catalog, progress: Recorded) -> Iterator[Board]:
    """Yield an emulated board of a model, powered on, and remove the board afterwards."""
    target = Target(f"{model}-bench", model, "container", {"microcloud_image": SUITE}, (model,))
    drivers = shipped.registry().drivers
    rack = Rack([target], catalog, drivers, Workspace(new_run_id()), progress)
    try:
        yield rack.board(target.name)
    finally:
        rack.close()
