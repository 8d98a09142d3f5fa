"""What a session with boards knows, and its hooks and fixtures share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.boards.rack import Rack
    from pytest_microcloud.catalog import Catalog, Effort
    from pytest_microcloud.redaction import Redactor
    from pytest_microcloud.registry import Registry
    from pytest_microcloud.runs import Entry, Run
    from pytest_microcloud.runs.unfinished import Unfinished
    from pytest_microcloud.session.progress import Shown
    from pytest_microcloud.verdict.comparison import Comparison
    from pytest_microcloud.verdict.gate import Rules


@dataclass
class Session:
    """What a session with boards knows: kept in `config.stash[SESSION]`.

    Invalid measurements are retried, `retries` times a test.
    `boots` is in how many boots each test that measures runs, and `phases` in which one each board is.
    `entries` are what the tests came to, `confirmations` what the gate's own came to. `gate` is what the run
    is compared with, if it is, and `comparison` what came of it, or `refused` why nothing did.
    """

    registry: Registry
    catalog: Catalog
    rack: Rack
    effort: Effort
    run_file: Path
    redactor: Redactor
    progress: Shown
    retries: int = 0
    boots: int = 1
    entries: list[Entry] = field(default_factory=list)
    confirmations: list[Entry] = field(default_factory=list)
    boards: dict[str, Board] = field(default_factory=dict)
    phases: dict[str, Phase] = field(default_factory=dict)
    resumed: Unfinished | None = None
    gate: Against | None = None
    comparison: Comparison | None = None
    refused: str = ""


@dataclass(frozen=True)
class Against:
    """What a run is compared with; `made_of` tells what the baseline's boards were, by our boards' names."""

    baseline: Run
    rules: Rules
    made_of: dict[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    """A boot of a board, from 1; `stage` is the side that it is of in the gate's confirmation."""

    boot: int = 1
    stage: str = ""

    def __str__(self) -> str:
        return f"boot{self.boot}{f'-{self.stage}' if self.stage else ''}"


SESSION: pytest.StashKey[Session] = pytest.StashKey()
