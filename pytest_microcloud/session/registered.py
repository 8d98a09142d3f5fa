"""The registry of a session: what ships with the package, and what a user's conftest.py or plugin adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_microcloud.registry import Registry

REGISTRY: pytest.StashKey[Registry] = pytest.StashKey()


def registered(config: pytest.Config) -> Registry:
    """Return the registry, filled by `pytest_microcloud_register` when it is first asked for.

    Raises UserMistake if two entries have the same name, or a record contradicts itself.
    """
    if (known := config.stash.get(REGISTRY, None)) is not None:
        return known
    from pytest_microcloud.catalog import add_metrics
    from pytest_microcloud.registry import Registry

    registry = Registry()
    config.hook.pytest_microcloud_register(registry=registry)
    add_metrics(metric for experiment in registry.experiments.values() for metric in experiment.metrics)
    config.stash[REGISTRY] = registry
    return registry
