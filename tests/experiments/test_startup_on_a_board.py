"""Startup, with real reboots of an emulated board."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.boards import facts
from pytest_microcloud.experiments import startup
from pytest_microcloud.experiments.deploy import deploy

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.catalog import Catalog

pytestmark = pytest.mark.engine


def test_a_login_is_possible_before_a_container_answers_and_nothing_stays(
    pi3b: Board, catalog: Catalog
) -> None:
    before, number = facts.boot_identity(pi3b.link), pi3b.boot
    seen = {m.metric: m for m in startup.reboot(deploy(pi3b, catalog.workload("httpd")))}
    assert list(seen) == ["startup.ready_time", "startup.container_time"]
    (ready,), (container,) = (m.samples for m in seen.values())
    assert 0 < ready < container
    assert facts.boot_identity(pi3b.link) != before
    assert pi3b.boot == number + 1
    assert pi3b.docker.containers.list(all=True) == []
