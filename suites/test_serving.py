"""Serving latency (section 4.I of the paper)."""

import pytest

from pytest_microcloud.experiments import serving

pytestmark = pytest.mark.experiment("serving")


@pytest.mark.sweep("clients", "setting")
def test_page_time(serve, effort, measure, limit, setting, clients):
    server = serve("httpd", setting)
    pages = measure.repeat(
        effort.serving_rounds, serving.load, server, clients=clients, requests=effort.requests
    )
    limit(pages)


@pytest.mark.sweep("setting")
def test_capacity(serve, effort, measure, limit, setting):
    server = serve("httpd", setting)
    limit(measure(serving.capacity, server, requests=effort.requests))
