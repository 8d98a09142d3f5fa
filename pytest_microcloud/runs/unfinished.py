"""A run that was interrupted: it tells what it set out to do, so that a later session can go on with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_microcloud import runs
from pytest_microcloud.controller import workspace
from pytest_microcloud.errors import BoardError, RunError, UserMistake
from pytest_microcloud.verdict import comparison

FINISHED = ("feasible", "infeasible", "not measured")
"""What is taken over; what broke or cannot be trusted is measured again."""
SYSTEM = ("os_release", "kernel", "docker_version")
"""What of a fingerprint has to be the same throughout a run, beside what the gate asks for."""
TOLD = 5
"""So many of the newest runs are named where none is unfinished."""


@dataclass(frozen=True)
class Plan:
    """What a run sets out to do: `tests` are the node ids of those that measure, `baseline` as it was named.

    `session` is the id of the session that works on it, by whose lock it is known whether it still does.
    """

    hosts: tuple[str, ...]
    effort: str
    boots: int
    tests: tuple[str, ...] = ()
    baseline: str = ""
    session: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as the run file holds it."""
        return vars(self) | {"hosts": list(self.hosts), "tests": list(self.tests)}

    def is_like(self, other: Plan) -> bool:
        """Whether it is of the same boards, effort and boots."""
        return (set(self.hosts), self.effort, self.boots) == (set(other.hosts), other.effort, other.boots)

    def __str__(self) -> str:
        boots = f"{self.boots} boot{'s' if self.boots > 1 else ''}"
        return f"{', '.join(self.hosts)}; {self.effort}; {boots}"


@dataclass(frozen=True)
class Unfinished:
    """Such a run, with what of it is taken over: entries, and as they are stored benchmarks and outcomes."""

    file: Path
    plan: Plan
    entries: tuple[runs.Entry, ...]
    benchmarks: tuple[dict[str, Any], ...]
    outcomes: tuple[dict[str, Any], ...]
    boards: dict[str, dict[str, Any]]

    @property
    def tests(self) -> frozenset[str]:
        """The node ids of the tests that are not run again."""
        return frozenset(entry.test for entry in self.entries)

    def take_over(self, session: str) -> None:
        """Let the run be that session's, so that no other goes on with it, too."""
        for half_written in self.file.parent.glob(f".{self.file.name}.*"):
            half_written.unlink(missing_ok=True)
        document = runs.read(self.file)
        document["machine_info"]["microcloud"]["plan"]["session"] = session
        runs.write(self.file, document)

    def must_be(self, board: str, fingerprint: Mapping[str, Any]) -> None:
        """Raise BoardError if a board is not what it was in the run, by its fingerprint now."""
        if not (before := self.boards.get(board)):
            return
        reasons = list(comparison.differences(before, fingerprint))
        reasons += [
            f"{what} is {fingerprint.get(what)}, and was {before.get(what)}"
            for what in SYSTEM
            if before.get(what) != fingerprint.get(what)
        ]
        if reasons:
            told = "; ".join(reasons)
            raise BoardError(
                board,
                f"is not what the interrupted run was measured on: {told}. Run without --microcloud-resume",
            )

    def last_boot(self, board: str) -> int:
        """Return the boot that a board was in when the run was interrupted; 1 if it was never up."""
        return max((e.boot for e in self.entries if e.board == board), default=1)


def find(directory: Path, plan: Plan) -> Unfinished:
    """Return the newest run of a directory that is like a plan, and unfinished. Raises UserMistake."""
    there = []
    for file in sorted(directory.glob("*.json"), reverse=True):
        try:
            document = runs.read(file)
            theirs = _plan(document["machine_info"]["microcloud"])
            if theirs is None:
                continue
            if workspace.alive(workspace.lock_of(theirs.session or file.stem)):
                there.append(f"{file.stem} ({theirs}; still going on)")
            elif not _missing(document, theirs, gate=bool(plan.baseline)):
                there.append(f"{file.stem} ({theirs}; finished)")
            elif not theirs.is_like(plan):
                there.append(f"{file.stem} ({theirs}; unfinished)")
            else:
                return _taken_over(file, document, theirs)
        except RunError:
            continue
    told = "; ".join(there[:TOLD]) + (f"; and {len(there) - TOLD} more" if there[TOLD:] else "")
    raise UserMistake(
        f"--microcloud-resume: no run in {directory} of {plan} is unfinished; there is: {told or 'none'}"
    )


def _plan(ours: dict[str, Any]) -> Plan | None:
    """Return a stored plan; None of a run of an earlier version, or of another make."""
    try:
        told = ours["plan"]
        return Plan(
            hosts=tuple(map(str, told["hosts"])),
            effort=str(told["effort"]),
            boots=int(told["boots"]),
            tests=tuple(map(str, told["tests"])),
            baseline=str(told.get("baseline", "")),
            session=str(told.get("session", "")),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _missing(document: dict[str, Any], plan: Plan, *, gate: bool) -> bool:
    """Whether tests, or with `gate` the comparison, are still to be done."""
    ours = document["machine_info"]["microcloud"]
    done = {str(outcome.get("test")) for outcome in ours.get("outcomes", ())}
    return bool(set(plan.tests) - done) or (gate and bool(plan.baseline) and "gate" not in ours)


def _taken_over(file: Path, document: dict[str, Any], plan: Plan) -> Unfinished:
    run = runs.load(file)
    entries = tuple(
        entry
        for entry in run.entries
        if not entry.stage and entry.verdict in FINISHED and entry.test in plan.tests
    )
    tests = {entry.test for entry in entries}
    ours = document["machine_info"]["microcloud"]
    return Unfinished(
        file,
        plan,
        entries,
        tuple(b for b in document["benchmarks"] if b.get("fullname") in tests),
        tuple(outcome for outcome in ours.get("outcomes", ()) if outcome.get("test") in tests),
        {name: dict(facts) for name, facts in run.boards.items()},
    )


def joined(plan: Plan, before: Unfinished | None, skipped: Collection[str] = ()) -> Plan:
    """Return a plan with what an interrupted run had planned, less what turned out to be skipped."""
    tests = dict.fromkeys((*(before.plan.tests if before else ()), *plan.tests))
    return replace(plan, tests=tuple(test for test in tests if test not in skipped))
