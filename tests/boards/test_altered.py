"""Boards that the inventory alters; they do not represent their model."""

from __future__ import annotations

import pytest

from pytest_microcloud.boards.drivers.container.alterations import altered
from pytest_microcloud.catalog import Catalog
from pytest_microcloud.inventory.target import Target


def of(catalog: Catalog, model: str, **variables: object) -> dict[str, str]:
    target = Target(
        "desk", model, "container", {f"microcloud_{key}": value for key, value in variables.items()}
    )
    return altered(target, catalog.model(model))


@pytest.mark.parametrize("model", ["pi3b", "t2_small", "ec2_tokyo"])
def test_a_board_as_its_model_is_not_altered(catalog: Catalog, model: str) -> None:
    assert of(catalog, model) == {}


def test_the_models_own_figures_are_not_an_alteration(catalog: Catalog) -> None:
    assert of(catalog, "pi3b", cpu_share=1, rate_mbps=94, rtt_ms=20) == {}
    assert of(catalog, "ec2_tokyo", rtt_ms=166) == {}
    assert of(catalog, "t2_small", rtt_ms=0) == {}


def test_changes_of_cpu_and_link_are_reported_as_short_phrases_and_as_gaps(catalog: Catalog) -> None:
    assert of(catalog, "pi3b", cpu_share=0.8, rate_mbps=1000, rtt_ms=50) == {
        "0.8 of the model's CPU": "CPU: 0.8 of the model's (microcloud_cpu_share)",
        "a link of 1000 Mbit/s": "link rate: 1000 Mbit/s instead of the model's (microcloud_rate_mbps)",
        "a round trip of 50 ms": "round trip: 50 ms instead of the model's (microcloud_rtt_ms)",
    }


def test_a_link_where_the_model_has_none_is_an_alteration(catalog: Catalog) -> None:
    assert list(of(catalog, "t2_small", rate_mbps=94, rtt_ms=5)) == [
        "a link of 94 Mbit/s",
        "a round trip of 5 ms",
    ]
