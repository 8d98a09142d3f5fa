"""Docker engines through docker-py: each call has a timeout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from docker.errors import NotFound

from pytest_microcloud.controller import images
from pytest_microcloud.controller.engine import within
from pytest_microcloud.errors import DeadlineExceeded

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = pytest.mark.engine

TRICKLE = "while :; do echo more; sleep 0.1; done"


def test_a_stream_that_trickles_on_for_ever_has_a_deadline(host_engine: DockerClient) -> None:
    base = images.base(host_engine, images.WORKLOAD_SUITE, print)
    container = host_engine.containers.run(base, ["sh", "-c", TRICKLE], detach=True)
    try:
        with pytest.raises(DeadlineExceeded, match="desk: reading on: did not end within 1 s"):
            within(1, "desk", "reading on", lambda: list(container.logs(stream=True, follow=True)))
        container.reload()
        assert container.status == "running"  # and so does its stream
    finally:
        container.remove(force=True)


def test_a_call_within_its_timeout_returns_its_result(host_engine: DockerClient) -> None:
    assert within(30, "desk", "asking", host_engine.ping) is True
    with pytest.raises(NotFound):
        within(30, "desk", "asking", lambda: host_engine.containers.get("no-such-container"))
