"""Boots as samples: every test that measures runs once in each boot of its board."""

from __future__ import annotations

import pytest

from pytest_microcloud import fixtures
from pytest_microcloud.session.items import PHASE, phase_of
from pytest_microcloud.session.state import SESSION, Phase


class Boots:
    """The hooks that spread tests over boots, and run the tests of one boot before those of the next."""

    def __init__(self, config: pytest.Config) -> None:
        self._session = config.stash[SESSION]

    @pytest.hookimpl(trylast=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a test that measures in every boot; the boot is the last word of its name."""
        if self._session.boots > 1 and fixtures.uses(metafunc.definition, ("measure",)):
            phases = [Phase(boot) for boot in range(1, self._session.boots + 1)]
            metafunc.fixturenames.append(PHASE)
            metafunc.parametrize(PHASE, phases, ids=str)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Finish one boot before the next, and measure before results are read; else the order stays.

        After all that reorder, as --failed-first does.
        """

        def place(item: pytest.Item) -> tuple[bool, int]:
            phase = phase_of(item)
            return fixtures.uses(item, ("results",)), phase.boot if phase else 1

        session.items.sort(key=place)
