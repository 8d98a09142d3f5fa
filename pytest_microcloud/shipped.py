"""Registers the shipped drivers and experiments."""

from __future__ import annotations

from pytest_microcloud import experiments
from pytest_microcloud.boards import drivers
from pytest_microcloud.registry import Registry


def register(registry: Registry) -> None:
    """Register the shipped drivers and experiments, as any plugin would."""
    drivers.register(registry)
    for experiment in experiments.shipped():
        registry.experiment(experiment)


def registry() -> Registry:
    """Return a registry of only the shipped drivers and experiments."""
    found = Registry()
    register(found)
    return found
