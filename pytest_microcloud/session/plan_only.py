"""With --microcloud-plan, the steps of a session are listed with estimated times, and nothing is run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.session.items import board_of, experiment_of, phase_of
from pytest_microcloud.session.state import SESSION

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_microcloud.session.state import Session

POWER_ON_S = 13.0
UNKNOWN_S = 1.0
"""Estimated time (s) of a test whose experiment is not registered."""


class PlanOnly:
    """The hook that prints the plan instead of running tests."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._session = config.stash[SESSION]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Print the plan."""
        from pytest_microcloud.session import terminal

        if self._config.option.collectonly:
            return None
        reporter: TerminalReporter | None = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            rules, targets = self._session.registry.driver_rules, self._session.rack.targets
            real = {name for name, target in targets.items() if rules[target.driver].addressed}
            terminal.plan(reporter, steps(self._session, session.items), POWER_ON_S, real)
        return True


def steps(session: Session, items: Iterable[pytest.Item]) -> dict[str, list[tuple[str, float]]]:
    """Return a dict from board to the session's steps on the board, each with its estimated time (s).

    A step is a test. A test that runs in several boots is one step. The last step is the reboots, if any.
    """
    from pytest_microcloud.experiments.startup import BOOT_S

    found: dict[str, list[tuple[str, float]]] = {name: [] for name in session.rack.targets}
    phases: dict[str, set[str]] = {name: set() for name in found}
    several: dict[tuple[str, str], list[float]] = {}
    for item in items:
        if (name := board_of(item)) not in found:
            continue
        seconds = _seconds(session, item, name)
        if phase := phase_of(item):
            phases[name].add(str(phase))
            test = f"{item.nodeid.removesuffix(']').removesuffix(f'-{phase}')}]"
            several.setdefault((name, test), []).append(seconds)
        else:
            found[name].append((item.nodeid, seconds))
    for (name, test), each in several.items():
        found[name].append((f"{test} in {len(each)} boots", sum(each)))
    for name, there in phases.items():
        if there:
            found[name].append((f"{len(there) - 1} reboots", (len(there) - 1) * BOOT_S))
    return found


def _seconds(session: Session, item: pytest.Item, board: str) -> float:
    from pytest_microcloud.experiments.record import Step

    experiment = session.registry.experiments.get(experiment_of(item))
    if experiment is None:
        return UNKNOWN_S
    parameters = item.callspec.params  # type: ignore[attr-defined]
    model = session.catalog.model(session.rack.targets[board].model)
    return experiment.step_s(Step(item.name, parameters, model, session.effort, session.catalog))
