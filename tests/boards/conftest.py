"""What the tests of a board's health share."""

from __future__ import annotations

import pytest

from pytest_microcloud.boards import health
from tests.support.watching import POLL_S


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll a board's vital signs often."""
    monkeypatch.setattr(health, "POLL_S", POLL_S)
