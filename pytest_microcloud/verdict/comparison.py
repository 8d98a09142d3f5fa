"""Two runs side by side: which boards of theirs can be compared, and what the gate says of these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_microcloud.errors import RunError
from pytest_microcloud.verdict import gate

if TYPE_CHECKING:
    from pytest_microcloud.runs import Run
    from pytest_microcloud.runs.fingerprint import Fingerprint


@dataclass(frozen=True)
class Comparison:
    """What came of comparing a candidate run with a baseline run, both by their ids.

    `refused` and `warnings` are sentences that name the board; what is refused has no findings. `confirmed`
    is whether suspects were measured again, in fresh boots of both sides.
    """

    baseline: str
    candidate: str
    findings: list[gate.Finding]
    refused: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    confirmed: bool = False

    @property
    def verdict(self) -> str:
        """One verdict for all metrics."""
        return gate.overall(self.findings)

    @property
    def fails(self) -> bool:
        """Whether it fails a session: something regressed."""
        return any(finding.fails for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "verdict": self.verdict,
            "baseline": self.baseline,
            "candidate": self.candidate,
            "confirmed": self.confirmed,
            "refused": self.refused,
            "warnings": self.warnings,
            "metrics": [finding.as_dict() for finding in self.findings],
        }


def compare(baseline: Run, candidate: Run, rules: gate.Rules | None = None) -> Comparison:
    """Compare two runs; raises RunError if no board or no metric of one can be compared with the other's."""
    pairs = paired(baseline, candidate)
    before: dict[gate.Key, gate.Series] = {}
    refused, warnings = [], []
    measured = gate.series(baseline)
    for theirs, ours in pairs.items():
        old, new = baseline.boards[theirs], candidate.boards[ours]
        if reasons := list(old.differences(new)):
            refused += [f"{ours}: {reason}" for reason in reasons]
            continue
        warnings += [f"{ours}: {reservation}" for reservation in reservations(old, new)]
        before |= {(ours, *key[1:]): values for key, values in measured.items() if key[0] == theirs}
    if not pairs or (refused and not before):
        why = "; ".join(refused) or (
            f"it has {', '.join(baseline.boards) or 'no boards'}, "
            f"and {candidate.id} {', '.join(candidate.boards) or 'none'}"
        )
        raise RunError(f"{candidate.id} cannot be compared with {baseline.id}: {why}")
    if baseline.effort != candidate.effort:
        warnings.append(f"the baseline's effort was {baseline.effort}, the candidate's {candidate.effort}")
    warnings += _alone_in_one(baseline, pairs)
    warnings += _alone_in_one(candidate, pairs.values())
    after = gate.series(candidate)
    warnings += _not_measured_again(before, after)
    rules = rules or gate.Rules()
    warnings += rules.idle({metric for _, metric, _ in (*measured, *after)})
    found = gate.compare(before, after, rules)
    if not found:
        raise RunError(
            f"{candidate.id} cannot be compared with {baseline.id}: they have no metric in common "
            "that was measured and can be trusted"
        )
    return Comparison(baseline.id, candidate.id, found, refused, warnings)


def _alone_in_one(run: Run, pairs: Collection[str]) -> Iterator[str]:
    """Yield which boards have nothing to be compared with, so that none is missed unseen."""
    for name in run.boards:
        if name not in pairs:
            yield f"{name}: {run.id} alone has it, and no other board of its model stands for it"


def _not_measured_again(before: Collection[gate.Key], after: Collection[gate.Key]) -> Iterator[str]:
    """Yield what is in the baseline alone, so that what no longer works does not pass unseen."""
    gone = [key for key in before if key not in after]
    for board in dict.fromkeys(board for board, _, _ in gone):
        metrics = Counter(metric for name, metric, _ in gone if name == board)
        listed = ", ".join(f"{metric} ({count})" for metric, count in metrics.items())
        yield f"{board}: the baseline has metrics that the candidate lacks, or has as invalid only: {listed}"


def paired(baseline: Run, candidate: Run) -> dict[str, str]:
    """Return which board of the baseline goes with which of the candidate: by name, else by model."""
    pairs = {name: name for name in candidate.boards if name in baseline.boards}
    alone = dict(_alone(baseline, pairs))
    return pairs | {alone[m]: name for m, name in _alone(candidate, pairs) if m in alone}


def _alone(run: Run, pairs: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield model and name of the boards that are the only ones of their model among those not paired yet."""
    left = {name: facts.model for name, facts in run.boards.items() if name not in pairs}
    for name, model in left.items():
        if list(left.values()).count(model) == 1:
            yield model, name


def reservations(old: Fingerprint, new: Fingerprint) -> Iterator[str]:
    """Yield what to bear in mind when two boards are compared."""
    before, now = set(old.not_emulated), set(new.not_emulated)
    yield from (f"only now is not emulated: {gap}" for gap in sorted(now - before))
    yield from (f"only in the baseline was not emulated: {gap}" for gap in sorted(before - now))
    if new.emulated and old.kernel == new.kernel:
        yield "both sides ran the host's kernel: a change of kernel shows on real boards only"
    if bool(old.others_containers) != bool(new.others_containers):
        who = "the candidate" if new.others_containers else "the baseline"
        yield f"containers of others ran on {who} alone"
    known = [facts.card is not None and bool(facts.card.cid) for facts in (old, new)]
    if known[0] != known[1]:
        yield "whether it is the same SD card is not known: one side has no CID"
