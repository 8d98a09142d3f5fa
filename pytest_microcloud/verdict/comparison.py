"""Two runs side by side: which boards of theirs can be compared, and what the gate says of these."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_microcloud.errors import RunError
from pytest_microcloud.verdict import gate

if TYPE_CHECKING:
    from pytest_microcloud.runs import Run

SAME_CPUS = 0.01
"""Calibrations of a host that are no further apart (a share) emulate the same CPU."""


@dataclass(frozen=True)
class Comparison:
    """What came of comparing a candidate run with a baseline run, both by their ids.

    `refused` and `warnings` are sentences that name the board; what is refused has no findings. `confirmed`
    tells whether what was suspect has been measured again, on fresh boots of both sides.
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
        if reasons := list(differences(old, new)):
            refused += [f"{ours}: {reason}" for reason in reasons]
            continue
        warnings += [f"{ours}: {doubt}" for doubt in doubts(old, new)]
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
        told = ", ".join(f"{metric} ({count})" for metric, count in metrics.items())
        yield f"{board}: the baseline has what the candidate has not, or not to be trusted: {told}"


def paired(baseline: Run, candidate: Run) -> dict[str, str]:
    """Return which board of the baseline goes with which of the candidate: by name, else by model."""
    pairs = {name: name for name in candidate.boards if name in baseline.boards}
    alone = dict(_alone(baseline, pairs))
    return pairs | {alone[m]: name for m, name in _alone(candidate, pairs) if m in alone}


def _alone(run: Run, pairs: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield model and name of the boards that are the only ones of their model among those not paired yet."""
    left = {name: str(facts.get("model")) for name, facts in run.boards.items() if name not in pairs}
    for name, model in left.items():
        if list(left.values()).count(model) == 1:
            yield model, name


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield why two boards, by their fingerprints, cannot be compared."""
    for what, name in (("model", "another model"), ("driver", "another driver")):
        if old.get(what) != new.get(what):
            yield f"{name}: {new.get(what)}, and the baseline's is {old.get(what)}"
    cards = [facts.get("card") or {} for facts in (old, new)]
    if all(card.get("cid") for card in cards) and cards[0]["cid"] != cards[1]["cid"]:
        was, is_now = (card.get("name") or "no name" for card in cards)
        yield f"another SD card: {is_now}, and the baseline's was {was} (their CIDs differ)"
    made = [facts.get("made_of") or {} for facts in (old, new)]
    cpus = [float(m.get("calibrated_cpus") or math.nan) for m in made]
    if abs(cpus[1] / cpus[0] - 1) > SAME_CPUS:
        yield (
            f"another calibration of the host: {cpus[1]:.3g} CPUs stand for the model's, "
            f"and the baseline had {cpus[0]:.3g}"
        )
    for what, name in (("link_bits_per_s", "link rate (bit/s)"), ("round_trip_s", "round trip (s)")):
        there = [m.get(what) for m in made]
        if None not in there and there[0] != there[1]:
            yield f"another {name} is emulated: {there[1]}, and the baseline's was {there[0]}"
    means = [facts.get("emulated_by") or {} for facts in (old, new)]
    for aspect in sorted(means[0].keys() & means[1].keys()):
        was, is_now = (by[aspect] for by in means)
        if was != is_now:
            what = aspect.replace("_", " ")
            yield f"the {what} is emulated by other means: {is_now}, and the baseline's was by {was}"
    hosts = [m.get("host") for m in made]
    if all(hosts) and hosts[0] != hosts[1]:
        yield f"emulated on another host: {hosts[1]}, and the baseline's was {hosts[0]}"


def doubts(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield what to bear in mind when two boards are compared."""
    before, now = (set(facts.get("not_emulated") or ()) for facts in (old, new))
    yield from (f"only now is not emulated: {gap}" for gap in sorted(now - before))
    yield from (f"only in the baseline was not emulated: {gap}" for gap in sorted(before - now))
    if new.get("emulated") and old.get("kernel") == new.get("kernel"):
        yield "both sides ran the host's kernel: a change of kernel shows on real boards only"
    if bool(old.get("others_containers")) != bool(new.get("others_containers")):
        who = "the candidate" if new.get("others_containers") else "the baseline"
        yield f"containers of others ran on {who} alone"
    cards = [facts.get("card") or {} for facts in (old, new)]
    if bool(cards[0].get("cid")) != bool(cards[1].get("cid")):
        yield "whether it is the same SD card is not known: one side has no CID"
