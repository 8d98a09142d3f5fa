"""Boards as the paper measured them, and changes under which a claim does not hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_microcloud.verdict import claims
from pytest_microcloud.verdict.results import Results
from tests.support import run_files
from tests.support.run_files import emulated, fingerprint

BOARDS = ("pi1b_256", "pi1b", "pi1bplus", "pi2b", "pi3b")
REGIONS = ("ec2_dublin", "ec2_seoul", "ec2_singapore", "ec2_tokyo")

SINGLE = ("docker_fails_first", "pi3b_hosts")
"""How claims begin that are about one board or two."""

Figure = tuple[str, str, tuple[tuple[str, str | int], ...]]
"""Model, metric and labels."""
World = dict[Figure, float]


def at(model: str, metric: str, **labels: str | int) -> Figure:
    return model, metric, tuple(labels.items())


def as_in_the_paper() -> World:
    """Return figures for which every claim holds."""
    world: World = {}
    for generation, model in enumerate(BOARDS):
        for clients in (50, 250):
            world[at(model, "serving.page_time", setting="native", clients=clients)] = 0.05 / (generation + 1)
            world[at(model, "serving.page_time", setting="docker", clients=clients)] = 0.06 / (generation + 1)
        world[at(model, "serving.capacity", setting="native")] = 250
        world[at(model, "serving.capacity", setting="docker")] = 30 * (generation + 1)
        for workload, count in {"zookeeper": 8, "httpd": 60, "ruby": 78}.items():
            factor = 3 if model == "pi3b" else 1
            world[at(model, "hosting.containers", workload=workload)] = count * factor
        world[at(model, "hosting.disk_per_container", workload="httpd")] = 140
        world[at(model, "hosting.memory_per_container", workload="httpd")] = 5.5e6
        for size in ("4KiB", "1MiB"):
            world[at(model, "io.disk_read_time", size=size)] = 0.010 / (generation + 1)
            world[at(model, "io.disk_write_time", size=size)] = 0.100 / (generation + 1)
            world[at(model, "io.memory_time", size=size)] = 0.001 / (generation + 1)
        later = model in ("pi2b", "pi3b")
        world[at(model, "startup.ready_time")] = 15.0 if later else 22.0
        world[at(model, "startup.container_time")] = 17.5 if later else 40.0
    world[at("t2_small", "io.disk_read_time", size="1MiB")] = 0.002
    world[at("t2_small", "io.disk_write_time", size="1MiB")] = 0.003
    world[at("t2_small", "startup.ready_time")] = 25.5
    for region in REGIONS:
        world[at(region, "serving.page_time", setting="native", clients=50)] = 0.9
    return world


class Shelf:
    """Stored runs, one a model, that can be added to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._runs: list[Any] = []

    def add(self, world: Mapping[Figure, float], **facts: Any) -> Shelf:
        """Store a run for each model, newer than all before."""
        for model in dict.fromkeys(model for model, _, _ in world):
            number = len(self._runs) + 1
            benchmarks = [
                run_files.benchmark(metric, [value], board=model, **dict[str, Any](labels))
                for (of, metric, labels), value in world.items()
                if of == model
            ]
            self._runs.append(
                run_files.run(
                    self._directory / f"{number:03}.json",
                    benchmarks,
                    {model: emulated(model, **facts) if facts else fingerprint(model)},
                    taken=f"2026-01-01T00:{number:02}:00+00:00",
                )
            )
        return self

    def check(self, claim: str) -> claims.Claim:
        """Return a claim with its verdict."""
        return claims.check(claim, Results(self._runs))


def changed(*figures: Figure, factor: float) -> Callable[[World], None]:
    def change(world: World) -> None:
        for figure in figures:
            world[figure] *= factor

    return change


BREAKS: dict[str, tuple[Callable[[World], None], str]] = {
    "later_generations_serve_no_slower": (
        changed(at("pi3b", "serving.page_time", setting="native", clients=250), factor=2),
        "pi3b 20 ms, pi2b 12.5 ms (250 native)",
    ),
    "later_generations_withstand_more_clients": (
        changed(at("pi3b", "serving.capacity", setting="docker"), factor=0.5),
        "pi2b 120 clients, pi3b 75 clients (docker)",
    ),
    "docker_costs_something": (
        changed(
            at("pi3b", "serving.page_time", setting="docker", clients=50),
            at("pi3b", "serving.page_time", setting="docker", clients=250),
            factor=0.5,
        ),
        "pi3b -40.0% (-40.0% to -40.0% by number of clients)",
    ),
    "docker_fails_first_on_the_oldest": (
        changed(at("pi1b_256", "serving.capacity", setting="docker"), factor=10),
        "250 clients natively, 300 in Docker",
    ),
    "boards_answer_ten_times_sooner_than_the_cloud": (
        changed(at("ec2_singapore", "serving.page_time", setting="native", clients=50), factor=0.1),
        "pi1b 25 ms, ec2_singapore 90 ms (50 native)",
    ),
    "containers_in_the_papers_order": (
        changed(at("pi2b", "hosting.containers", workload="ruby"), factor=0.5),
        "pi2b 39 ruby, 60 httpd",
    ),
    "pi3b_hosts_twice_the_zookeepers": (
        changed(at("pi3b", "hosting.containers", workload="zookeeper"), factor=0.5),
        "pi3b 12, pi1b 8",
    ),
    "memory_is_the_bottleneck_and_not_disk": (
        changed(at("pi1b", "hosting.disk_per_container", workload="httpd"), factor=1e5),
        "pi1b: 60 httpd take 330 MB of memory, 840 MB of disk",
    ),
    "later_generations_do_io_no_slower": (
        changed(at("pi3b", "io.disk_write_time", size="1MiB"), factor=3),
        "pi3b 60 ms, pi2b 25 ms (1MiB)",
    ),
    "writes_cost_boards_more_than_the_cloud": (
        changed(at("pi1b", "io.disk_write_time", size="1MiB"), factor=0.1),
        "pi1b ×1, t2_small ×1.5 (1MiB)",
    ),
    "boards_boot_before_the_vm": (
        changed(at("pi1bplus", "startup.ready_time"), factor=1.5),
        "pi1bplus 33 s, t2_small 25.5 s",
    ),
    "later_boards_boot_ten_seconds_before_the_vm": (
        changed(at("pi2b", "startup.ready_time"), factor=1.1),
        "pi2b 9 s before t2_small",
    ),
    "containers_run_before_the_vm_boots": (
        changed(at("pi3b", "startup.container_time"), factor=2),
        "pi3b with a container 9.5 s after t2_small",
    ),
}
