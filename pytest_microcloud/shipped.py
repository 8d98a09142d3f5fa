"""What this package registers with the registry: its own drivers and experiments."""

from __future__ import annotations

from pytest_microcloud import experiments
from pytest_microcloud.boards import drivers
from pytest_microcloud.registry import Registry


def register(registry: Registry) -> None:
    """Register what ships with this package, as a plugin of anybody's would."""
    drivers.register(registry)
    for experiment in experiments.shipped():
        registry.experiment(experiment)


def registry() -> Registry:
    """Return a registry of what ships with this package alone."""
    found = Registry()
    register(found)
    return found
