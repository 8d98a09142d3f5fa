"""Implements `@pytest.mark.sweep(*axes)`: a test runs at every point of the named axes."""

from __future__ import annotations

import pytest

from pytest_microcloud.errors import UserMistake
from pytest_microcloud.session.items import experiment_of
from pytest_microcloud.session.registered import registered
from pytest_microcloud.session.state import SESSION


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Create a test for each combination of the chosen effort's points on the axes of the `sweep` marks.

    An axis is looked up in the test's own experiment first, and then in all other experiments.
    """
    from pytest_microcloud.experiments.record import axes

    test = metafunc.definition
    marks = list(test.iter_markers("sweep"))
    if not marks:
        return
    known = axes(registered(metafunc.config).experiments, experiment_of(test))
    session = metafunc.config.stash.get(SESSION, None)
    for name in (name for mark in marks for name in mark.args):
        if name not in known:
            pytest.fail(
                f"{test.nodeid}: @pytest.mark.sweep({name!r}): expected one of {', '.join(sorted(known))}",
                pytrace=False,
            )
        axis = known[name]
        try:
            points = axis.at(session.effort, session.catalog) if session is not None else []
        except UserMistake as error:
            raise UserMistake(f"@pytest.mark.sweep({name!r}): {error}") from error
        metafunc.parametrize(name, points, ids=[axis.shown(point) for point in points])
