"""Refuses tests that need a board in a session without boards; other tests are left to testinfra."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pytest_microcloud import fixtures
from pytest_microcloud.session.state import WITHOUT_BOARDS


def refuse(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Raise UsageError for the first test that needs a board.

    In a pytest-xdist worker, UsageError would be an internal error, so the tests fail instead.
    """
    needing = [item for item in items if fixtures.uses(item, fixtures.OURS)]
    if not needing:
        return
    if not hasattr(config, "workerinput"):
        raise pytest.UsageError(_reason(needing[0]))
    config.pluginmanager.register(_FailedTests(), "microcloud-without-boards")


def _reason(item: pytest.Item) -> str:
    if item.config.getoption("hosts", None) is None:
        return f"{item.nodeid} needs a board: choose boards with --hosts, e.g. --hosts=pi3b or --hosts=all"
    return f"{item.nodeid} needs a board of an inventory; {item.config.stash[WITHOUT_BOARDS]}"


class _FailedTests:
    """The hook that fails tests that need a board."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Fail a test that needs a board."""
        if fixtures.uses(item, fixtures.OURS):
            pytest.fail(_reason(item), pytrace=False)


class OurMessageFirst:
    """The hook that shows our error before testinfra's, if --hosts does not select boards."""

    @pytest.hookimpl(wrapper=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> Generator[None, None, None]:
        """Suppress testinfra's error about hosts if the test needs a board, because our own error follows."""
        try:
            yield
        except RuntimeError:
            if not fixtures.uses(metafunc.definition, fixtures.OURS):
                raise
