"""The state that the hooks and fixtures of a session with boards share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud.session.collected import Collected

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.boards.rack import Rack
    from pytest_microcloud.catalog import Catalog, Effort
    from pytest_microcloud.controller.progress import Progress
    from pytest_microcloud.redaction import Redactor
    from pytest_microcloud.registry import Registry
    from pytest_microcloud.runs import Run
    from pytest_microcloud.runs.unfinished import Unfinished
    from pytest_microcloud.verdict.comparison import Comparison
    from pytest_microcloud.verdict.gate import Rules


@dataclass
class Session:
    """The state of a session with boards, kept in `config.stash[SESSION]`.

    - `retries`: how often the invalid measurements of a test are retried;
    - `boots`: the number of boots in which each test that measures runs;
    - `phases`: a dict from each board to the boot that it is in;
    - `boards`: the boards that were powered on; `collected`: the records on pytest's test reports;
    - `readings`: a dict from board to control readings that no test report contains yet;
    - `gate`: the baseline and the rules of the gate, or None;
    - `comparison`: the gate's result; `refused`: the reason why the run could not be compared;
    - `gone`: tests that the resumed run had planned, but that the suite no longer has;
    - `taken_over`: the number of tests that are not run, because the resumed run had finished them;
    - `place`: where the load generator runs: a site, or the controller.
    """

    registry: Registry
    catalog: Catalog
    rack: Rack
    effort: Effort
    run_file: Path
    redactor: Redactor
    progress: Progress
    place: str
    retries: int = 0
    boots: int = 1
    boards: dict[str, Board] = field(default_factory=dict)
    readings: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    phases: dict[str, Phase] = field(default_factory=dict)
    resumed: Unfinished | None = None
    gate: Against | None = None
    comparison: Comparison | None = None
    refused: str = ""
    gone: frozenset[str] = frozenset()
    taken_over: int = 0
    collected: Collected = field(default_factory=Collected)


@dataclass(frozen=True)
class Against:
    """What the gate compares a run with: the baseline, and the rules of the comparison.

    `made_of` has, for each suspect board of this session, what the driver needs to boot the baseline's image.
    """

    baseline: Run
    rules: Rules
    made_of: dict[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    """The number of a board's boot, from 1. In the gate's confirmation, `stage` is the boot's side."""

    boot: int = 1
    stage: str = ""

    def __str__(self) -> str:
        return f"boot{self.boot}{f'-{self.stage}' if self.stage else ''}"


class WithoutBoards(Exception):
    """Raised if --hosts selects no boards. Its text is the reason, which is shown if a test needs a board."""


SESSION: pytest.StashKey[Session] = pytest.StashKey()
WITHOUT_BOARDS: pytest.StashKey[str] = pytest.StashKey()
"""The key, in the config stash, of the text that says why the session has no boards."""
