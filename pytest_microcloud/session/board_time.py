"""Board time for pytest-benchmark."""

from __future__ import annotations

import pytest

from pytest_microcloud import fixtures
from pytest_microcloud.session.measuring import BoardClock


class OnBoardTime:
    """The hook that has the benchmark of each test that measures run on board time."""

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Set its timer, whatever timer a mark of the test names."""
        if fixtures.uses(item, ("measure",)):
            own = item.get_closest_marker("benchmark")
            arguments = {**(own.kwargs if own else {}), "timer": BoardClock()}
            item.add_marker(pytest.mark.benchmark(**arguments), append=False)
