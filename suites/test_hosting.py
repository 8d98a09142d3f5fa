"""Hosting capability (section 4.II of the paper)."""

import pytest

from pytest_microcloud.experiments import hosting

pytestmark = pytest.mark.experiment("hosting")


@pytest.mark.sweep("workload")
def test_containers_until_memory_runs_short(deploy, effort, measure, limit, workload):
    deployment = deploy(workload)
    filled = measure.repeat(effort.fillings, hosting.fill, deployment, at_most_s=effort.filling_seconds)
    limit(filled)
