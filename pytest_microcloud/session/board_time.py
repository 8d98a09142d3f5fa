"""Makes pytest-benchmark use board time (the sum of the times measured on the board) as its clock."""

from __future__ import annotations

import pytest

from pytest_microcloud import fixtures
from pytest_microcloud.session.measuring import BoardClock


class OnBoardTime:
    """The hook that makes pytest-benchmark use board time for every test that measures."""

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Set board time as the benchmark's timer, even if a mark of the test sets another timer."""
        if fixtures.uses(item, ("measure",)):
            own = item.get_closest_marker("benchmark")
            arguments = {**(own.kwargs if own else {}), "timer": BoardClock()}
            item.add_marker(pytest.mark.benchmark(**arguments), append=False)
