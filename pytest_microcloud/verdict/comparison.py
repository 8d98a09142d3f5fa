"""Compares two runs: decides which boards can be compared, and collects the gate's findings on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_microcloud.errors import RunError
from pytest_microcloud.verdict import gate

if TYPE_CHECKING:
    from pytest_microcloud.runs import Run
    from pytest_microcloud.runs.fingerprint import Fingerprint

BESIDE_DRIFT = "the control of the board drifted, too"


@dataclass(frozen=True)
class Comparison:
    """The result of comparing a candidate run with a baseline run, both given by id.

    `refused` and `warnings` are sentences that name the board; a refused board has no findings. `confirmed`
    is True if suspects (metrics that looked worse) were measured again, in fresh boots of both sides.
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
        """Whether the comparison fails a session, because something regressed."""
        return any(finding.fails for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
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
    """Compare two runs; raises RunError if they have no board or no metric that can be compared."""
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
            f"{baseline.id} has {', '.join(baseline.boards) or 'no boards'}, "
            f"and {candidate.id} has {', '.join(candidate.boards) or 'no boards'}"
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
    drifted = {ours: list(_drift(theirs, ours, baseline, candidate)) for theirs, ours in pairs.items()}
    warnings += [f"{ours}: {sentence}" for ours, sentences in drifted.items() for sentence in sentences]
    found = [_beside(f, drifted[f.board]) for f in gate.compare(before, after, rules)]
    if not found:
        raise RunError(
            f"{candidate.id} cannot be compared with {baseline.id}: no metric has valid "
            "measurements in both runs"
        )
    return Comparison(baseline.id, candidate.id, found, refused, warnings)


def _drift(theirs: str, ours: str, baseline: Run, candidate: Run) -> Iterator[str]:
    """Yield a sentence for each drift of a board (`theirs` in the baseline, `ours` in the candidate run)."""
    for run, name, which in ((baseline, theirs, "baseline"), (candidate, ours, "candidate")):
        for sentence in run.controls[name].drift if name in run.controls else ():
            yield f"drifted while the {which} was measured: {sentence}"


def _beside(finding: gate.Finding, drift: Collection[str]) -> gate.Finding:
    """Return the finding, with `drifted` set if its board drifted; a change or suspect also says so."""
    if not drift:
        return finding
    changed = finding.verdict in (gate.REGRESSED, gate.IMPROVED) or gate.suspects([finding])
    reason = "; ".join(filter(None, (finding.reason, BESIDE_DRIFT if changed else "")))
    return replace(finding, drifted=True, reason=reason)


def _alone_in_one(run: Run, pairs: Collection[str]) -> Iterator[str]:
    """Yield a warning for each board that has no counterpart in the other run."""
    for name in run.boards:
        if name not in pairs:
            yield (
                f"{name}: only {run.id} has this board, and no board of the same model in the other run "
                "can be paired with it"
            )


def _not_measured_again(before: Collection[gate.Key], after: Collection[gate.Key]) -> Iterator[str]:
    """Yield a warning for each board with metrics that the baseline has but the candidate lacks."""
    gone = [key for key in before if key not in after]
    for board in dict.fromkeys(board for board, _, _ in gone):
        metrics = Counter(metric for name, metric, _ in gone if name == board)
        listed = ", ".join(f"{metric} ({count})" for metric, count in metrics.items())
        yield f"{board}: the baseline has metrics for which the candidate has no valid measurement: {listed}"


def paired(baseline: Run, candidate: Run) -> dict[str, str]:
    """Return a dict from the baseline's boards to the candidate's boards, paired by name, else by model."""
    pairs = {name: name for name in candidate.boards if name in baseline.boards}
    alone = dict(_alone(baseline, pairs))
    return pairs | {alone[m]: name for m, name in _alone(candidate, pairs) if m in alone}


def _alone(run: Run, pairs: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield model and name of each unpaired board that is the only unpaired board of its model."""
    left = {name: facts.model for name, facts in run.boards.items() if name not in pairs}
    for name, model in left.items():
        if list(left.values()).count(model) == 1:
            yield model, name


def reservations(old: Fingerprint, new: Fingerprint) -> Iterator[str]:
    """Yield warnings about differences that make a comparison of two boards less reliable."""
    before, now = set(old.not_emulated), set(new.not_emulated)
    yield from (
        f"not emulated in the candidate, unlike in the baseline: {gap}" for gap in sorted(now - before)
    )
    yield from (
        f"not emulated in the baseline, unlike in the candidate: {gap}" for gap in sorted(before - now)
    )
    if new.emulated and old.kernel == new.kernel:
        yield "both sides ran the host's kernel: only real boards can show the effect of a kernel change"
    if bool(old.others_containers) != bool(new.others_containers):
        who = "the candidate" if new.others_containers else "the baseline"
        yield f"other users' containers ran only on {who}"
    known = [facts.card is not None and bool(facts.card.cid) for facts in (old, new)]
    if known[0] != known[1]:
        yield "it is not known whether the SD cards are the same: one side has no CID"
