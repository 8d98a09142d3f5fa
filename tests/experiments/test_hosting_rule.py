"""When a filling ends, and how many more would have been started: arithmetic, without a board."""

from __future__ import annotations

import pytest

from pytest_microcloud.boards.gauge import Reading
from pytest_microcloud.experiments import hosting

MB = 1_000_000


def started(available: float, each: float) -> tuple[int, float, str]:
    """Start containers of that many bytes each, and return how many, what is left, and why it ended."""
    filling = hosting._Filling()
    while hosting._another_fits(Reading(10**10, int(available), 0, 0.0), filling):
        filling.hosted.append(object())  # type: ignore[arg-type]
        filling.memory_bytes.append(each)
        available -= each
    return len(filling.hosted), available, filling.ended


def test_containers_are_started_until_less_than_50_mb_is_left() -> None:
    assert started(800 * MB, 12 * MB) == (63, 44 * MB, "less than 50 MB were left")


def test_another_one_that_would_leave_the_system_next_to_nothing_does_not_fit() -> None:
    count, left, why = started(860 * MB, 50 * MB)
    assert (count, left) == (16, 60 * MB)
    assert why == "60 MB were left, in which another one of 50 MB does not fit"


@pytest.mark.parametrize("each", [5 * MB, 12 * MB, 26 * MB, 50 * MB, 200 * MB])
@pytest.mark.parametrize("available", [60 * MB, 330 * MB, 801 * MB, 1900 * MB])
def test_what_is_projected_is_what_would_have_been_started(available: int, each: int) -> None:
    first = 1  # before anything is known of its size, one is started
    whole, _, _ = started(available, each)
    assert first + hosting._more(available - each, each) == whole
