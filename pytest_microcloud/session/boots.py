"""Boots as samples: every test that measures runs once in each boot of its board."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_microcloud import fixtures
from pytest_microcloud.session.items import PHASE, board_of, phase_of
from pytest_microcloud.session.state import SESSION, Phase

if TYPE_CHECKING:
    from pytest_microcloud.session.incident_log import Aftermath


class Boots:
    """The hooks that spread tests over boots, and have a board boot anew before a boot's first test."""

    def __init__(self, config: pytest.Config, aftermath: Aftermath) -> None:
        self._config = config
        self._session = config.stash[SESSION]
        self._aftermath = aftermath

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

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Bring the test's board into the boot that the test is to run in.

        Called after the board was powered on: this is registered before the hook that does so.
        """
        name, wanted = board_of(item), phase_of(item)
        if name is None or wanted is None or self._config.getoption("setupplan", False):
            return
        if wanted == self._session.phases.setdefault(name, Phase()):
            return
        self._aftermath.keep(name)
        self._session.phases[name] = wanted
        if wanted.stage:
            rack, gate = self._session.rack, self._session.gate
            made_of = gate.made_of[name] if gate and wanted.stage == "baseline" else rack.original(name)
            rack.exchange(name, made_of, f"{wanted.stage}, boot {wanted.boot}")
        else:
            self._session.rack.reboot(name, f"boot {wanted.boot} of {self._session.boots}")
