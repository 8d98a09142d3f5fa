"""The shipped limits: the judged metrics, the sources, and the order of the generations."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_microcloud.catalog import Catalog, Limit, descriptions, load, metric
from pytest_microcloud.catalog.loader import SHIPPED
from pytest_microcloud.catalog.picture import PICTURE_BYTES
from pytest_microcloud.experiments.record import REFERENCE_MIPS
from pytest_microcloud.experiments.serving import PAGE_CPU_S

FILES = sorted((SHIPPED / "limits").glob("*.toml"))
GENERATIONS = ("pi1b_256", "pi1b", "pi1bplus", "pi2b", "pi3b", "pi3bplus", "pi4b", "pi5")
CLIENTS = (50, 100, 150, 200, 250)
SETTINGS = ("native", "docker")
BYTES = {"4KiB": 4096, "1MiB": 2**20, "16MiB": 2**24, "64MiB": 2**26}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load()


def of(catalog: Catalog, name: str) -> list[Limit]:
    return [limit for limit in catalog.limits if limit.metric == name]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_limit_is_of_a_known_model_and_metric(catalog: Catalog, file: Path) -> None:
    limits = [limit for limit in catalog.limits if limit.model == file.stem]
    assert limits
    assert file.stem in catalog.models
    for limit in limits:
        better = metric(limit.metric).better
        assert (limit.max is not None) == (better == "lower")


def test_every_limit_names_its_source(catalog: Catalog) -> None:
    for limit in catalog.limits:
        assert limit.source.startswith(("the paper, section 4.", "derived: ")), limit


def test_every_model_but_the_cloud_regions_has_limits(catalog: Catalog) -> None:
    regions = {name for name in catalog.models if name.startswith("ec2_")}
    assert {file.stem for file in FILES} == set(catalog.models) - regions


def test_pi3b_has_limits_in_every_experiment(catalog: Catalog) -> None:
    judged = {limit.metric.partition(".")[0] for limit in catalog.limits if limit.model == "pi3b"}
    assert judged == set(catalog.experiments)


def test_the_oldest_board_serves_250_clients_natively_and_30_dockerized(catalog: Catalog) -> None:
    for setting, clients in (("native", 250), ("docker", 30)):
        limit = catalog.limit("pi1b_256", "serving.capacity", {"setting": setting})
        assert limit is not None
        assert limit.min == clients
        assert limit.source.startswith("the paper, section 4.I: ")


@pytest.mark.parametrize("name", ["page_time", "failures", "throughput"])
def test_the_oldest_board_has_no_docker_limits_above_30_clients(catalog: Catalog, name: str) -> None:
    def limit(setting: str, clients: int) -> Limit | None:
        return catalog.limit("pi1b_256", f"serving.{name}", {"setting": setting, "clients": clients})

    assert limit("docker", 30) is not None
    for clients in CLIENTS:
        assert limit("docker", clients) is None
        assert limit("native", clients) is not None


def test_only_boards_with_a_published_ethernet_figure_have_a_page_time(catalog: Catalog) -> None:
    wired = {name for name, model in catalog.models.items() if model.ethernet_bits_per_s is not None}
    assert {limit.model for limit in of(catalog, "serving.page_time")} == wired == set(GENERATIONS)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("clients", CLIENTS)
def test_no_generation_may_take_longer_for_a_page_than_the_one_before(
    catalog: Catalog, setting: str, clients: int
) -> None:
    labels: dict[str, str | int] = {"setting": setting, "clients": clients}
    found = [catalog.limit(name, "serving.page_time", labels) for name in GENERATIONS]
    allowed = [limit.max for limit in found if limit is not None and limit.max is not None]
    assert len(allowed) >= len(GENERATIONS) - 1
    assert allowed == sorted(allowed, reverse=True)


def test_the_page_time_limit_is_three_times_the_slower_of_ethernet_and_cpu(catalog: Catalog) -> None:
    for limit in of(catalog, "serving.page_time"):
        model = catalog.model(limit.model)
        assert model.ethernet_bits_per_s is not None
        wire_s = 8 * PICTURE_BYTES / model.ethernet_bits_per_s
        cpu_s = PAGE_CPU_S * REFERENCE_MIPS / model.sevenzip_mips_all_cores
        expected = 3 * int(limit.labels["clients"]) * max(wire_s, cpu_s)
        assert limit.max == pytest.approx(expected, rel=0.03), limit


def test_a_memory_time_is_that_of_a_quarter_of_the_memset_rate(catalog: Catalog) -> None:
    for limit in of(catalog, "io.memory_time"):
        rate = catalog.model(limit.model).memset_bytes_per_s
        assert rate is not None
        assert limit.max == pytest.approx(4 * BYTES[str(limit.labels["size"])] / rate, rel=0.03), limit


def test_a_board_of_more_memory_hosts_no_fewer_containers(catalog: Catalog) -> None:
    by_memory = sorted(catalog.models.values(), key=lambda model: model.ram_bytes or 0)
    for workload in ("httpd", "ruby", "zookeeper"):
        least: dict[int, set[float]] = {}
        for model in by_memory:
            limit = catalog.limit(model.id, "hosting.containers", {"workload": workload})
            if limit is not None and limit.min is not None and model.id != "pi5":  # its figures are of 16 GB
                least.setdefault(model.ram_bytes or 0, set()).add(limit.min)
        counts = [count for same in least.values() for count in sorted(same)]
        assert counts == sorted(counts)


def test_only_boards_that_the_paper_leaves_behind_the_vm_may_start_a_container_after_it(
    catalog: Catalog,
) -> None:
    vm = catalog.limit("t2_small", "startup.ready_time", {})
    assert vm is not None
    assert vm.max is not None
    boards = [name for name, model in catalog.models.items() if model.kind == "board"]
    for name in boards:
        ready = catalog.limit(name, "startup.ready_time", {})
        container = catalog.limit(name, "startup.container_time", {})
        assert ready is not None
        assert ready.max is not None
        assert ready.max <= vm.max
        assert (container is None) == name.startswith("pi1b")
        assert container is None or container.max == vm.max


def test_the_documentation_lists_every_metric_with_what_it_is() -> None:
    listed = (Path(__file__).parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")
    metrics = {m.name: m for experiment in descriptions().values() for m in experiment.metrics}
    assert [name for name, metric in metrics.items() if f"| `{name}` |" not in listed] == []
    assert [name for name, metric in metrics.items() if metric.meaning not in listed] == []
