"""The end of a filling and its projection, computed without a board."""

from __future__ import annotations

import pytest

from pytest_microcloud.boards.gauge import Reading
from pytest_microcloud.experiments import hosting

MB = 1_000_000


def started(available: float, each: float) -> tuple[int, float, str]:
    """Start containers of that size; return their number, the projected number and the reason."""
    filling = hosting._Filling()
    while hosting._another_fits(Reading(10**10, int(available), 0, 0.0), filling):
        filling.hosted.append(object())  # type: ignore[arg-type]
        filling.memory_bytes.append(each)
        available -= each
    return len(filling.hosted), available, filling.ended


@pytest.mark.parametrize(("available", "each", "count"), [(800, 12, 62), (860, 50, 16), (850, 50, 16)])
def test_containers_are_started_until_another_one_would_leave_less_than_50_mb(
    available: int, each: int, count: int
) -> None:
    hosted, left, why = started(available * MB, each * MB)
    assert hosted == count
    assert 50 * MB <= left < (50 + each) * MB
    assert why == f"{left / MB:.0f} MB were left: another container of {each} MB would leave less than 50 MB"


def test_a_larger_container_than_those_before_ends_the_filling_if_less_than_50_mb_is_left() -> None:
    filling = hosting._Filling(hosted=[object()], memory_bytes=[5 * MB])  # type: ignore[list-item]
    assert not hosting._another_fits(Reading(10**10, 40 * MB, 0, 0.0), filling)
    assert filling.ended == "less than 50 MB were left"


@pytest.mark.parametrize("each", [5 * MB, 12 * MB, 26 * MB, 50 * MB, 200 * MB])
@pytest.mark.parametrize("available", [60 * MB, 330 * MB, 801 * MB, 1900 * MB])
def test_a_projection_counts_the_containers_that_would_have_been_started(available: int, each: int) -> None:
    first = 1  # before anything is known of its size, one is started
    whole, _, _ = started(available, each)
    assert first + hosting._more(available - each, each) == whole
