"""Creates a session's registry, which this package and the user's conftest.py and plugins fill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_microcloud.registry import Registry

REGISTRY: pytest.StashKey[Registry] = pytest.StashKey()


class _Complete:
    """The hook that refuses `pytest_microcloud_register` in plugins loaded after the inventory was read."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._called = self._implementing()

    def pytest_plugin_registered(self, plugin_name: str) -> None:
        """Raise UsageError if a plugin with the hook is loaded late; earlier plugins are accepted."""
        if plugin_name in self._implementing() - self._called:
            raise pytest.UsageError(
                f"{plugin_name}: pytest_microcloud_register comes too late, after the inventory was read: "
                "load the plugin with -p or as an entry point, or move the hook to the conftest.py of the "
                "root directory or of a directory on the command line"
            )

    def _implementing(self) -> set[str]:
        return {impl.plugin_name for impl in self._config.hook.pytest_microcloud_register.get_hookimpls()}


def registered(config: pytest.Config) -> Registry:
    """Return the session's registry; the first call fills it by calling `pytest_microcloud_register`.

    Raises UserMistake if two entries have the same name, or if an experiment's record contradicts itself.
    """
    if (known := config.stash.get(REGISTRY, None)) is not None:
        return known
    from pytest_microcloud.catalog import add_metrics
    from pytest_microcloud.registry import Registry

    registry = Registry()
    config.hook.pytest_microcloud_register(registry=registry)
    config.pluginmanager.register(_Complete(config), "microcloud-registry")
    add_metrics(metric for experiment in registry.experiments.values() for metric in experiment.metrics)
    config.stash[REGISTRY] = registry
    return registry
