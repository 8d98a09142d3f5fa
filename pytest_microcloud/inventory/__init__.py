"""Reads an Ansible inventory and returns targets."""

from pytest_microcloud.inventory.ansible import holds_boards, read, words
from pytest_microcloud.inventory.target import DriverRules, Target

__all__ = ["DriverRules", "Target", "holds_boards", "read", "words"]
