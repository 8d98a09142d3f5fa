"""The ladder of capacities: its rungs, and on which of them a capacity stands."""

from __future__ import annotations

import itertools

import pytest

from pytest_microcloud import ladder


@pytest.mark.parametrize("most", [1, 2, 9, 10, 11, 100, 250, 1000])
def test_it_rises_from_one_client_to_the_most_and_never_repeats_a_rung(most: int) -> None:
    rungs = ladder.rungs(most)
    assert (rungs[0], rungs[-1]) == (1, most)
    assert all(below < above for below, above in itertools.pairwise(rungs))


def test_each_rung_is_the_one_below_times_1_1_to_the_nearest_client() -> None:
    steps = [(below, above) for below, above in itertools.pairwise(ladder.rungs()) if below >= 10]
    assert len(steps) > 30
    assert all(abs(above / ladder.STEP - below) <= 0.5 for below, above in steps)


def test_low_rungs_where_a_tenth_is_no_client_go_up_by_one() -> None:
    assert ladder.rungs()[:10] == tuple(range(1, 11))


def test_every_rung_has_its_own_rank_one_above_the_one_below() -> None:
    ranks = [ladder.rank(clients) for clients in (0, *ladder.rungs())]
    assert ranks == list(range(len(ladder.rungs()) + 1))


def test_a_capacity_between_two_rungs_stands_between_their_ranks() -> None:
    low, high = ladder.rungs()[-2:]
    assert ladder.rank(low) < ladder.rank((low + high) / 2) < ladder.rank(high)


def test_above_the_ladder_it_goes_on_in_the_same_steps() -> None:
    top = ladder.rank(ladder.MOST_CLIENTS)
    assert ladder.rank(ladder.MOST_CLIENTS * ladder.STEP**3) == pytest.approx(top + 3)


@pytest.mark.parametrize("clients", [0, 0.5, 1, 14, 15, 82.5, 249, 250, 400, 1e300])
def test_a_rank_tells_how_many_clients_it_was(clients: float) -> None:
    assert ladder.clients_on(ladder.rank(clients)) == pytest.approx(clients)


def test_what_is_below_the_ladder_or_far_above_it_has_a_number_of_clients_too() -> None:
    assert ladder.clients_on(-3.5) == 0
    assert ladder.clients_on(1e6) > 1e200
