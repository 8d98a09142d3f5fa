"""Interrupted runs: a run file holds the run's plan, so that a later session can resume the run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_microcloud import runs
from pytest_microcloud.errors import BoardError, RunError, UserMistake
from pytest_microcloud.runs.fingerprint import Fingerprint
from pytest_microcloud.runs.plan import Plan
from pytest_microcloud.runs.writer import Writer, is_being_written

FINISHED = ("feasible", "infeasible", "not measured")
"""A session that resumes a run takes over tests with these outcomes, and runs all other tests."""
SYSTEM = ("os_release", "kernel", "docker_version")
"""Fields of a board's fingerprint that must be the same when a run is resumed (see also `differences`)."""
MOST_LISTED = 5
"""How many runs the error message lists, at most, if there is no run to resume."""


@dataclass(frozen=True)
class Unfinished:
    """An interrupted run, with the data that a session takes over to resume it.

    `entries`, `benchmarks` and `outcomes` are those of finished tests. `benchmarks`, `outcomes`, `boards` and
    `controls` are JSON of the run file, unchanged.
    """

    file: Path
    plan: Plan
    entries: tuple[runs.Entry, ...]
    benchmarks: tuple[dict[str, Any], ...]
    outcomes: tuple[dict[str, Any], ...]
    boards: dict[str, dict[str, Any]]
    controls: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def tests(self) -> frozenset[str]:
        """The node ids of the finished tests, which the resumed run does not repeat."""
        return frozenset(entry.test for entry in self.entries)

    def take_over(self, writer: Writer) -> None:
        """Lock the run's file, and remove its temporary files. Raises OSError (BlockingIOError if locked)."""
        writer.take()
        for half_written in self.file.parent.glob(f".{self.file.name}.*"):
            half_written.unlink(missing_ok=True)

    def must_be(self, board: str, fingerprint: Mapping[str, Any]) -> None:
        """Raise BoardError if the board's fingerprint differs from the one in the interrupted run."""
        if not (before := self.boards.get(board)):
            return
        was, is_now = Fingerprint.of(before), Fingerprint.of(fingerprint)
        reasons = list(was.differences(is_now))
        reasons += [
            f"{what} is {getattr(is_now, what)}, but was {getattr(was, what)}"
            for what in SYSTEM
            if getattr(was, what) != getattr(is_now, what)
        ]
        if reasons:
            differences = "; ".join(reasons)
            raise BoardError(
                board,
                f"has changed since the interrupted run: {differences}. Run without --microcloud-resume",
            )

    def last_boot(self, board: str) -> int:
        """Return the number of the last boot in which a test finished on a board; 1 if none finished."""
        return max((e.boot for e in self.entries if e.board == board), default=1)


def find(directory: Path, plan: Plan, any_of: int = 0) -> Unfinished:
    """Return the newest unfinished run in `directory` that has the boards, effort and boots of `plan`.

    With `any_of`, the run needs exactly that many of the plan's boards instead of all. Raises UserMistake if
    there is no such run.
    """
    there = []
    for file in sorted(directory.glob("*.json"), reverse=True):
        try:
            document = runs.read(file)
            run = runs.understood(file, document)
            theirs = run.plan
            if not theirs.hosts:  # written by an earlier version
                continue
            if is_being_written(file):
                there.append(f"{file.stem} ({theirs}; still running)")
            elif not _missing(run, document, gate=bool(plan.baseline)):
                there.append(f"{file.stem} ({theirs}; finished)")
            elif not theirs.is_like(plan, any_of):
                there.append(f"{file.stem} ({theirs}; unfinished)")
            else:
                return _taken_over(run, document)
        except (RunError, OSError):
            continue
    listed = "; ".join(there[:MOST_LISTED]) + (
        f"; and {len(there) - MOST_LISTED} more" if there[MOST_LISTED:] else ""
    )
    which = f"any {any_of} of " if any_of else ""
    raise UserMistake(
        f"--microcloud-resume: {directory} has no unfinished run with this plan ({which}{plan}). "
        f"Runs in this directory: {listed or 'none'}. "
        "To start a new run, run without --microcloud-resume"
    )


def stored(file: Path, document: dict[str, Any]) -> Unfinished:
    """Return the unfinished run in `file`. `document` is the JSON of that file, as `runs.read` returns it."""
    return _taken_over(runs.understood(file, document), document)


def _missing(run: runs.Run, document: Mapping[str, Any], *, gate: bool) -> bool:
    """Whether a run lacks the outcomes of planned tests or, with `gate`, the gate's comparison."""
    compared = "gate" in document["machine_info"]["microcloud"]
    return run.unfinished or (gate and bool(run.plan.baseline) and not compared)


def _taken_over(run: runs.Run, document: Mapping[str, Any]) -> Unfinished:
    entries = tuple(
        entry
        for entry in run.entries
        if not entry.stage and entry.verdict in FINISHED and entry.test in run.plan.tests
    )
    tests = {entry.test for entry in entries}
    ours = document["machine_info"]["microcloud"]
    return Unfinished(
        run.file,
        run.plan,
        entries,
        tuple(b for b in document["benchmarks"] if b["fullname"] in tests),
        tuple(outcome for outcome in ours.get("outcomes", ()) if outcome["test"] in tests),
        ours.get("boards", {}),
        ours.get("controls", {}),
    )


def joined(plan: Plan, before: Unfinished | None, left_out: Collection[str] = ()) -> Plan:
    """Return `plan` with the tests of the interrupted run `before` added, but without those in `left_out`."""
    tests = dict.fromkeys((*(before.plan.tests if before else ()), *plan.tests))
    return replace(plan, tests=tuple(test for test in tests if test not in left_out))
