"""Hosting with real containers on an emulated board, including boards that fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.errors import NotMeasured
from pytest_microcloud.experiments import hosting
from pytest_microcloud.experiments.deploy import deploy

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.catalog import Catalog
    from pytest_microcloud.measurement import Measurement

pytestmark = pytest.mark.engine

AWAY = "systemctl stop docker.socket docker; systemd-run -q --on-active=3 systemctl start docker"
"""Stops a board's engine and starts it again after some seconds."""


def by_metric(measurements: list[Measurement]) -> dict[str, Measurement]:
    return {m.metric.removeprefix("hosting."): m for m in measurements}


@pytest.fixture
def after_containers(pi3b: Board, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, str], None]]:
    """Run a command on the board once a filling has reported that many containers."""
    commands: dict[str, str] = {}

    def say(text: str) -> None:
        for beginning, command in list(commands.items()):
            if f": {beginning} containers, " in text:
                del commands[beginning]
                pi3b.link.run(command)

    monkeypatch.setattr(pi3b, "say", say)

    def arrange(count: int, command: str) -> None:
        commands[str(count)] = command

    yield arrange
    pi3b.link.run("rm -f /etc/docker/daemon.json; systemctl reset-failed docker; systemctl start docker")
    pi3b.link.run("pkill -x -HUP dockerd")
    assert pi3b.docker.containers.list(all=True) == []


@pytest.mark.slow
def test_a_filling_that_takes_too_long_is_projected_and_labelled(pi3b: Board, catalog: Catalog) -> None:
    seen = by_metric(hosting.fill(deploy(pi3b, catalog.workload("zookeeper")), at_most_s=0.1))
    started = len(seen["start_time"].samples)
    assert started == hosting.FEWEST_TO_PROJECT
    assert seen["containers"].labels == {"workload": "zookeeper", "basis": "projected"}
    assert seen["containers"].samples[0] > started
    assert f"{started} containers were started" in seen["containers"].reason
    assert "projected" in seen["containers"].reason
    taken = seen["containers"].samples[0] * seen["memory_per_container"].statistic("mean")
    assert taken < pi3b.facts.memory_bytes
    assert len(seen["response_time"].samples) == len(seen["memory_per_container"].samples) == started
    assert min(seen["memory_per_container"].samples) > 0
    assert pi3b.docker.containers.list(all=True) == []


def test_an_engine_that_dies_ends_the_filling_with_the_containers_that_still_respond(
    pi3b: Board, catalog: Catalog, after_containers: Callable[[int, str], None]
) -> None:
    deployment = deploy(pi3b, catalog.workload("httpd"))
    pi3b.link.run("mkdir -p /etc/docker; echo '{\"live-restore\": true}' > /etc/docker/daemon.json")
    pi3b.link.run("pkill -x -HUP dockerd; sleep 0.5")
    after_containers(3, AWAY)
    seen = by_metric(hosting.fill(deployment, at_most=6))
    assert seen["containers"].samples == [3.0]
    assert "failed after 3 containers" in seen["containers"].reason
    assert len(seen["response_time"].samples) == 3


def test_an_engine_that_ends_with_its_containers_results_in_0_containers(
    pi3b: Board, catalog: Catalog, after_containers: Callable[[int, str], None]
) -> None:
    after_containers(2, AWAY)
    seen = by_metric(hosting.fill(deploy(pi3b, catalog.workload("httpd")), at_most=6))
    assert seen["containers"].samples == [0.0]
    assert "failed after 2 containers" in seen["containers"].reason
    assert "response_time" not in seen
    assert len(seen["start_time"].samples) == 2


def test_an_image_that_no_registry_has_is_not_measured_with_that_reason(
    pi3b: Board, catalog: Catalog
) -> None:
    nowhere = dataclasses.replace(catalog.workload("jenkins"), image="registry.invalid/jenkins/jenkins:lts")
    with pytest.raises(NotMeasured, match=r"Jenkins: no image registry\.invalid.*no registry"):
        deploy(pi3b, nowhere)
