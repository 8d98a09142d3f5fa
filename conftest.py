"""Defaults of this repository alone; everything else is the plugin's."""

pytest_plugins = ["pytester"]
