"""How many boots the gate needs: the simulation is of the gate's own test."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from pytest_microcloud.verdict import detection, gate, ranks

RULES = gate.Rules()
RULE = RULES.of("io.memory_time")
KEY = ("desk", "io.memory_time", ())


@pytest.mark.parametrize(("boots", "cv", "change"), [(6, 0.03, 0.1), (10, 0.08, 0.2), (9, 0.05, 0.06)])
def test_a_simulated_run_is_judged_as_by_the_gate(boots: int, cv: float, change: float) -> None:
    random = np.random.default_rng(boots)
    before = random.normal(0, cv, (60, boots))
    after = random.normal(math.log1p(change), cv, (60, boots))
    sides = [
        [{KEY: gate.Series("s", "lower", tuple(map(float, np.exp(run))))} for run in side]
        for side in (before, after)
    ]
    by_the_gate = [
        gate.compare(baseline, candidate, RULES)[0].verdict == gate.REGRESSED
        for baseline, candidate in zip(*sides, strict=True)
    ]
    found = detection.found(before, after, RULE.q, RULE.effect)
    assert list(found) == by_the_gate
    assert 0 < sum(by_the_gate) <= 60


@pytest.mark.parametrize(("boots", "level"), [((5, 5), 0.01), ((8, 6), 0.001), ((20, 20), 0.01)])
def test_so_many_wins_are_the_least_that_reach_the_level(boots: tuple[int, int], level: float) -> None:
    wins = ranks.critical_wins(*boots, level)
    assert wins is not None
    assert p_of(boots, wins) <= level < p_of(boots, wins - 1)


def p_of(boots: tuple[int, int], wins: int) -> float:
    """Return the p of values of which the candidate's win so many pairs."""
    baseline = [float(place) for place in range(boots[0])]
    each, more = divmod(wins, boots[1])
    candidate = [each - 0.5 + place / 100 for place in range(boots[1] - more)]
    return ranks.p_value(baseline, candidate + [each + 0.5 + place / 100 for place in range(more)])


def test_too_few_boots_reach_no_level() -> None:
    assert ranks.critical_wins(4, 4, 0.01) is None
    assert not detection.found(np.zeros((1, 4)), np.ones((1, 4)), 0.01, 0.05).any()


def test_noisier_boards_and_smaller_changes_need_more_boots() -> None:
    needed = [detection.boots_needed(cv, 0.1, RULE, 20) for cv in (0.0, 0.03, 0.05, 0.08)]
    assert needed[0] == ranks.boots_needed(RULE.q / 20)
    assert None not in needed
    assert needed == sorted(needed)  # type: ignore[type-var]
    large = detection.boots_needed(0.08, 0.2, RULE, 20)
    assert large is not None
    assert large < (needed[-1] or 0)


def test_the_boots_agree_with_the_simulation_of_whole_runs() -> None:
    # 19 boots find +10 % in simulated runs of 200 metrics with a CV of 5 % in a boot and 2 % between boots.
    needed = detection.boots_needed(math.hypot(0.05, 0.02), 0.1, RULE, 200)
    assert needed == pytest.approx(20, abs=3)


def test_a_change_no_larger_than_the_smallest_effect_is_never_found_often_enough() -> None:
    assert detection.boots_needed(0.001, 0.05, RULE, 1) is None
    keen = dataclasses.replace(RULE, effect=0.02)
    assert detection.boots_needed(0.01, 0.05, keen, 1) is not None


def test_a_board_that_is_too_noisy_has_no_number_of_boots() -> None:
    assert detection.boots_needed(0.5, 0.1, RULE, 40) is None
