"""An emulated board for the duration of a benchmark, and a record of the steps that it reports."""

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
    """Keeps the steps of experiments, each with its time (monotonic, s), and prints the board's steps."""

    lines: list[tuple[float, str]] = field(default_factory=list)

    def announce(self, subject: str, text: str) -> None:
        """Print a step of the board."""
        announce(subject, text)

    def update(self, _subject: str, text: str) -> None:
        """Keep a step of an experiment."""
        self.lines.append((time.monotonic(), text))

    def last(self, word: str) -> float:
        """Return the time of the last step whose text contains this word."""
        return next(at for at, text in reversed(self.lines) if word in text)


def announce(subject: str, text: str) -> None:
    """Print a step to stderr; the table goes to stdout."""
    print(f"  {subject}: {text}", file=sys.stderr, flush=True)


@contextmanager
def emulated(model: str, catalog: Catalog, progress: Recorded) -> Iterator[Board]:
    """Power on an emulated board of a model, and remove the board afterwards."""
    target = Target(f"{model}-bench", model, "container", {"microcloud_image": SUITE}, (model,))
    drivers = shipped.registry().drivers
    rack = Rack([target], catalog, drivers, Workspace(new_run_id()), progress)
    try:
        yield rack.board(target.name)
    finally:
        rack.close()
