"""The paper's experiments, which take a board and return measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_microcloud.experiments.record import Experiment


def shipped() -> Iterator[Experiment]:
    """Yield the records of the shipped experiments, in the paper's order."""
    from pytest_microcloud.experiments.hosting import HOSTING
    from pytest_microcloud.experiments.io import IO
    from pytest_microcloud.experiments.serving import SERVING
    from pytest_microcloud.experiments.startup import STARTUP

    yield from (SERVING, HOSTING, IO, STARTUP)
