"""Each boot gives one sample: every test that measures runs once in each boot of its board."""

from __future__ import annotations

import pytest

from pytest_microcloud import fixtures
from pytest_microcloud.session.items import PHASE, board_of, phase_of
from pytest_microcloud.session.state import SESSION, Phase


class Boots:
    """The hooks that run tests in several boots: all tests of one boot, then all tests of the next boot."""

    def __init__(self, config: pytest.Config) -> None:
        self._session = config.stash[SESSION]

    @pytest.hookimpl(trylast=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """If a test measures, create one test for each boot; the name of each ends with the boot."""
        if self._session.boots > 1 and fixtures.uses(metafunc.definition, ("measure",)):
            phases = [Phase(boot) for boot in range(1, self._session.boots + 1)]
            metafunc.fixturenames.append(PHASE)
            metafunc.parametrize(PHASE, phases, ids=str)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Tear down fixtures of all scopes before a board reboots, because they may depend on its boot."""
        if nextitem is None or not self._reboots(item, nextitem):
            return None
        return bool(item.ihook.pytest_runtest_protocol(item=item, nextitem=None))

    def _reboots(self, item: pytest.Item, nextitem: pytest.Item) -> bool:
        """Return whether a board has to reboot after `item` and before `nextitem`."""
        needed, name = phase_of(nextitem), board_of(nextitem)
        if needed is None or name is None:
            return False
        now = phase_of(item) if board_of(item) == name else None
        return needed != (now or self._session.phases.get(name, Phase()))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Sort tests by the boot that they need, and put tests that read results (fixture `results`) last.

        Otherwise, tests keep their order. Runs after all that reorders tests, such as --failed-first.
        """

        def place(item: pytest.Item) -> tuple[bool, int]:
            phase = phase_of(item)
            return fixtures.uses(item, ("results",)), phase.boot if phase else 1

        session.items.sort(key=place)
