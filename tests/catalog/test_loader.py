"""Reading the catalog: what a user's file can add or replace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_microcloud.catalog import load, threshold
from pytest_microcloud.errors import CatalogError
from tests.support.catalog_files import BOARD, LIMIT, WORKLOAD, written


def test_the_shipped_catalog_reads_without_a_users_file() -> None:
    catalog = load()
    assert catalog.model("pi3b").name == "Raspberry Pi 3 Model B"
    assert catalog.workload("httpd").id == "httpd"
    assert catalog.effort("paper").id == "paper"


def test_every_effort_has_at_least_four_requests_a_client() -> None:
    for effort in load().efforts.values():
        assert effort.requests >= 4 * max(effort.clients), effort.id


def test_an_unknown_name_is_reported_with_the_nearest_one() -> None:
    catalog = load()
    with pytest.raises(CatalogError, match="no board model is named 'pi3'; did you mean 'pi3b"):
        catalog.model("pi3")
    with pytest.raises(CatalogError, match="no workload is named 'http'; did you mean 'httpd'"):
        catalog.workload("http")
    with pytest.raises(CatalogError, match="no effort is named 'papers'; did you mean 'paper'"):
        catalog.effort("papers")


def test_an_unknown_symptom_is_reported_with_the_nearest_one() -> None:
    assert threshold("oom") == 0
    with pytest.raises(CatalogError, match="no symptom is named 'swapp'; did you mean 'swap'"):
        threshold("swapp")


def test_a_users_file_adds_a_board_model(tmp_path: Path) -> None:
    catalog = load([written(tmp_path, BOARD)])
    model = catalog.model("mine")
    assert (model.id, model.name, model.kind, model.cores) == ("mine", "My board", "board", 2)
    assert model.sources["cores"] == "its data sheet"
    assert model.ethernet_bits_per_s is None
    assert set(catalog.models) == {*load().models, "mine"}


def test_a_users_file_replaces_a_shipped_board_model_as_a_whole(tmp_path: Path) -> None:
    model = load([written(tmp_path, BOARD.replace("boards.mine", "boards.pi3b"))]).model("pi3b")
    assert (model.id, model.name, model.cores) == ("pi3b", "My board", 2)
    assert model.soc is None


def test_of_two_files_the_later_one_applies(tmp_path: Path) -> None:
    first = written(tmp_path, BOARD, "first.toml")
    second = written(tmp_path, BOARD.replace("My board", "My other board"), "second.toml")
    assert load([first, second]).model("mine").name == "My other board"
    assert load([second, first]).model("mine").name == "My board"


def test_a_model_like_another_inherits_figures_and_their_sources(tmp_path: Path) -> None:
    text = '[boards.mine]\nname = "Mine"\nlike = "pi3b"\ncores = { value = 2, source = "two are broken" }\n'
    catalog = load([written(tmp_path, text)])
    mine, pi3b = catalog.model("mine"), catalog.model("pi3b")
    assert (mine.cores, mine.sources["cores"]) == (2, "two are broken")
    assert (mine.clock_hz, mine.sources["clock_hz"]) == (pi3b.clock_hz, pi3b.sources["clock_hz"])
    assert (pi3b.cores, pi3b.sources["cores"]) == (4, "the paper, Table 1")


def test_a_model_like_a_vm_is_a_vm(tmp_path: Path) -> None:
    text = '[boards.mine]\nname = "Mine"\nlike = "t2_small"\n'
    assert load([written(tmp_path, text)]).model("mine").kind == "vm"


def test_like_can_name_a_derived_model_of_a_later_file(tmp_path: Path) -> None:
    first = written(tmp_path, '[boards.one]\nlike = "two"\n', "first.toml")
    second = written(tmp_path, '[boards.two]\nname = "Two"\nlike = "pi3b"\n', "second.toml")
    model = load([first, second]).model("one")
    assert (model.id, model.name, model.cores) == ("one", "Two", 4)


def test_a_model_like_a_replaced_model_changes_with_it(tmp_path: Path) -> None:
    catalog = load([written(tmp_path, BOARD.replace("boards.mine", "boards.pi1b"))])
    assert catalog.model("pi1bplus").cores == 2
    assert catalog.model("pi1bplus").name == "Raspberry Pi 1 Model B+"


def test_a_users_file_adds_a_workload_with_a_dockerfile_beside_it(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    workload = load([written(tmp_path, WORKLOAD)]).workload("mine")
    assert workload.built_here
    assert workload.directory == tmp_path / "mine"
    assert (workload.ready.kind, workload.ready.path, workload.ready.expect) == ("http", "/", "hello")


def test_a_workload_may_name_the_directory_of_its_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    workload = load([written(tmp_path, WORKLOAD + 'directory = "docker"\n')]).workload("mine")
    assert workload.directory == tmp_path / "docker"


def test_a_workload_with_an_image_needs_no_dockerfile(tmp_path: Path) -> None:
    workload = load([written(tmp_path, WORKLOAD + 'image = "httpd:2.4"\n')]).workload("mine")
    assert not workload.built_here


def test_a_users_file_replaces_a_shipped_workload(tmp_path: Path) -> None:
    text = WORKLOAD.replace("workloads.mine", "workloads.httpd") + 'image = "httpd:2.4"\n'
    catalog = load([written(tmp_path, text)])
    assert catalog.workload("httpd").name == "My server"
    assert set(catalog.workloads) == set(load().workloads)


def test_a_users_file_adds_a_limit(tmp_path: Path) -> None:
    text = LIMIT.replace("serving.page_time", "mine.latency")
    catalog = load([written(tmp_path, text)])
    limit = catalog.limit("pi3b", "mine.latency", {"clients": 250})
    assert limit is not None
    assert (limit.max, limit.min, limit.statistic, limit.source) == (0.5, None, "median", "my users")
    assert catalog.limit("pi2b", "mine.latency", {}) is None
    assert catalog.limit("pi3b", "mine.another_metric", {}) is None


def test_a_users_file_replaces_any_shipped_limit(tmp_path: Path) -> None:
    shipped, text = load().limits, ""
    for limit in shipped:
        labels = ", ".join(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in limit.labels.items())
        text += f"""
        [[limits.{limit.model}.{limit.metric}]]
        min = 0.125
        labels = {{ {labels} }}
        source = "my users"
        """
    catalog = load([written(tmp_path, text)])
    for limit in shipped:
        mine = catalog.limit(limit.model, limit.metric, limit.labels)
        assert mine is not None
        assert (mine.min, mine.max, mine.source) == (0.125, None, "my users")


def test_a_custom_limit_takes_precedence_over_shipped_ones_with_more_labels(tmp_path: Path) -> None:
    labelled = next(limit for limit in load().limits if limit.labels)
    text = f'[limits.{labelled.model}.{labelled.metric}]\nmin = 0.125\nsource = "my users"\n'
    catalog = load([written(tmp_path, text)])
    mine = catalog.limit(labelled.model, labelled.metric, labelled.labels)
    assert mine is not None
    assert (mine.min, mine.source) == (0.125, "my users")


def test_a_limit_may_be_that_of_a_board_model_in_a_later_file(tmp_path: Path) -> None:
    first = written(tmp_path, LIMIT.replace("pi3b", "mine"), "first.toml")
    second = written(tmp_path, BOARD, "second.toml")
    limit = load([first, second]).limit("mine", "serving.page_time", {})
    assert limit is not None
    assert limit.max == 0.5


def test_of_two_equal_limits_the_later_one_applies(tmp_path: Path) -> None:
    first = written(tmp_path, LIMIT, "first.toml")
    second = written(tmp_path, LIMIT.replace("0.5", "0.25"), "second.toml")
    limit = load([first, second]).limit("pi3b", "serving.page_time", {})
    assert limit is not None
    assert limit.max == 0.25


def test_of_several_limits_the_one_with_the_most_labels_applies(tmp_path: Path) -> None:
    text = """
    [[limits.pi3b.mine.latency]]
    max = 3
    labels = { setting = "docker", clients = 50 }
    source = "docker with 50 clients"
    [[limits.pi3b.mine.latency]]
    max = 2
    labels = { setting = "docker" }
    source = "docker"
    [[limits.pi3b.mine.latency]]
    max = 1
    source = "any"
    """
    catalog = load([written(tmp_path, text)])

    def source(**labels: str | int) -> str:
        limit = catalog.limit("pi3b", "mine.latency", labels)
        assert limit is not None
        return limit.source

    assert source(setting="docker", clients=50) == "docker with 50 clients"
    assert source(setting="docker", clients="50") == "docker with 50 clients"
    assert source(setting="docker", clients=250) == "docker"
    assert source(setting="native", clients=50) == "any"
    assert source() == "any"


def test_an_empty_file_adds_nothing(tmp_path: Path) -> None:
    assert load([written(tmp_path, "")]) == load()
