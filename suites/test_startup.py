"""Startup latency (section 4.IV of the paper)."""

import pytest

from pytest_microcloud.experiments import startup

pytestmark = pytest.mark.experiment("startup")


def test_boot(deploy, effort, measure, limit):
    deployment = deploy("httpd")
    limit(measure.repeat(effort.boots, startup.reboot, deployment))
