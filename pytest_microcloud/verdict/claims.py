"""What the paper's section 4 takes away, checked on stored runs of several boards.

A claim holds, does not hold, or is not measured; then it says which run is missing. What the claims are is in
`claims.toml`; here is how each is checked.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise

from pytest_microcloud.catalog import metric as known_metric
from pytest_microcloud.experiments.measurement import shown
from pytest_microcloud.verdict.results import Missing, Results

HOLDS, FAILS, NOT_MEASURED = "holds", "does not hold", "not measured"
GENERATIONS = ("pi1b", "pi2b", "pi3b", "pi4b", "pi5")
PAPERS_BOARDS = ("pi1b_256", "pi1b", "pi1bplus", "pi2b", "pi3b")
REGIONS = ("ec2_dublin", "ec2_seoul", "ec2_singapore", "ec2_tokyo")
VM = "t2_small"
NO_SLOWER = 1.05
"""What counts as no slower: 5 % is the smallest change that matters, as in the gate."""
CARD_BYTES = 16e9
"""The paper's SD card."""


@dataclass(frozen=True)
class Found:
    """One comparison of a claim: whether it speaks for it, with the numbers in words."""

    holds: bool
    numbers: str


@dataclass(frozen=True)
class Claim:
    """A claim with what came of it.

    `numbers` are in words, `missing` names what has not been measured, and `emulated` are the models whose
    figures are those of emulated boards.
    """

    id: str
    says: str
    section: str
    paper: str
    verdict: str
    numbers: tuple[str, ...]
    missing: tuple[str, ...]
    emulated: tuple[str, ...]


class _Figures:
    """The newest figures by model, and which of those that were asked for are of emulated boards."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._models = {subject.model for subject in results.subjects}
        self.emulated: dict[str, None] = {}

    def has(self, model: str) -> bool:
        return model in self._models

    def median(self, model: str, metric: str, labels: Mapping[str, object]) -> float:
        subject, figure = self._results.of_model(model, metric, labels)
        if subject.emulated:
            self.emulated[model] = None
        return figure.median

    def points(self, metric: str, models: Collection[str]) -> list[dict[str, str]]:
        """Return the labels at which any of these models was measured; one unlabelled point, if none was."""
        subjects = [subject for subject in self._results.subjects if subject.model in models]
        return self._results.points(metric, subjects) or [{}]


Check = Callable[[_Figures], Iterator[Found | Missing]]
_CHECKS: dict[str, Check] = {}


def check_all(results: Results) -> list[Claim]:
    """Return every claim with its verdict, in the paper's order."""
    text = resources.files(__package__).joinpath("claims.toml").read_text(encoding="utf-8")
    return [_claim(name, table, results) for name, table in tomllib.loads(text).items()]


def _claim(name: str, table: Mapping[str, str], results: Results) -> Claim:
    figures = _Figures(results)
    found = list(_CHECKS[name](figures))
    seen = [f for f in found if isinstance(f, Found)]
    missing = tuple(dict.fromkeys(str(f) for f in found if isinstance(f, Missing)))
    verdict = NOT_MEASURED
    if seen:
        verdict = HOLDS if all(f.holds for f in seen) else FAILS
    return Claim(
        name,
        **table,
        verdict=verdict,
        numbers=tuple(f.numbers for f in seen),
        missing=missing,
        emulated=tuple(figures.emulated),
    )


def _check(function: Check) -> Check:
    _CHECKS[function.__name__.removeprefix("_")] = function
    return function


def _each(comparisons: Iterable[Callable[[], Found]]) -> Iterator[Found | Missing]:
    """Make each comparison that can be made, and tell what the others lack."""
    for comparison in comparisons:
        try:
            yield comparison()
        except Missing as missing:
            yield missing


def _less(
    figures: _Figures,
    sooner: str,
    later: str,
    metric: str,
    *,
    factor: float = 1.0,
    labels: Mapping[str, object] | None = None,
    other: Mapping[str, object] | None = None,
) -> Callable[[], Found]:
    """Compare a metric of two models: the first one's is at most `factor` times the second one's."""

    def comparison() -> Found:
        a = figures.median(sooner, metric, labels or {})
        b = figures.median(later, metric, labels or {} if other is None else other)
        unit = known_metric(metric).unit
        where = " ".join(str(value) for value in (labels or {}).values())
        return Found(
            a <= factor * b,
            f"{sooner} {shown(a, unit)}, {later} {shown(b, unit)}{f' ({where})' if where else ''}",
        )

    return comparison


def _generations(figures: _Figures) -> list[tuple[str, str]]:
    """Return each generation with the one before it, of those that have been measured; else the paper's."""
    there = [model for model in GENERATIONS if figures.has(model)]
    return list(pairwise(there)) or list(pairwise(m for m in GENERATIONS if m in PAPERS_BOARDS))


@_check
def _later_generations_serve_no_slower(figures: _Figures) -> Iterator[Found | Missing]:
    return _each(
        _less(figures, new, old, "serving.page_time", factor=NO_SLOWER, labels=point)
        for old, new in _generations(figures)
        for point in figures.points("serving.page_time", (old, new))
    )


@_check
def _later_generations_withstand_more_clients(figures: _Figures) -> Iterator[Found | Missing]:
    return _each(
        _less(figures, old, new, "serving.capacity", labels=point)
        for old, new in _generations(figures)
        for point in figures.points("serving.capacity", (old, new))
    )


@_check
def _docker_costs_something(figures: _Figures) -> Iterator[Found | Missing]:
    def cost(model: str, point: Mapping[str, object]) -> Callable[[], Found]:
        def comparison() -> Found:
            docker = figures.median(model, "serving.page_time", {**point, "setting": "docker"})
            native = figures.median(model, "serving.page_time", {**point, "setting": "native"})
            return Found(docker > native, f"{model} {docker / native - 1:+.0%} at {point['clients']} clients")

        return comparison

    models = [model for model in PAPERS_BOARDS if figures.has(model)] or PAPERS_BOARDS[-1:]
    most = max((int(str(p["clients"])) for p in figures.points("serving.page_time", models)), default=250)
    return _each(cost(model, {"clients": most}) for model in models)


@_check
def _docker_fails_first_on_the_oldest(figures: _Figures) -> Iterator[Found | Missing]:
    def comparison() -> Found:
        docker = figures.median("pi1b_256", "serving.capacity", {"setting": "docker"})
        native = figures.median("pi1b_256", "serving.capacity", {"setting": "native"})
        return Found(docker < native, f"{native:g} clients natively, {docker:g} in Docker")

    return _each([comparison])


@_check
def _boards_answer_ten_times_sooner_than_the_cloud(figures: _Figures) -> Iterator[Found | Missing]:
    native = {"setting": "native", "clients": 50}
    boards = [model for model in GENERATIONS if figures.has(model)] or ["pi3b"]
    return _each(
        _less(figures, board, region, "serving.page_time", factor=0.1, labels=native)
        for board in boards
        for region in REGIONS
    )


@_check
def _containers_in_the_papers_order(figures: _Figures) -> Iterator[Found | Missing]:
    def fewer(model: str, few: str, many: str) -> Callable[[], Found]:
        def comparison() -> Found:
            a = figures.median(model, "hosting.containers", {"workload": few})
            b = figures.median(model, "hosting.containers", {"workload": many})
            return Found(a < b, f"{model} {b:g} {many}, {a:g} {few}")

        return comparison

    models = [model for model in PAPERS_BOARDS if figures.has(model)] or ["pi1b"]
    return _each(
        fewer(model, few, many)
        for model in models
        for many, few in (("ruby", "httpd"), ("httpd", "zookeeper"))
    )


@_check
def _pi3b_hosts_twice_the_zookeepers(figures: _Figures) -> Iterator[Found | Missing]:
    def comparison() -> Found:
        old = figures.median("pi1b", "hosting.containers", {"workload": "zookeeper"})
        new = figures.median("pi3b", "hosting.containers", {"workload": "zookeeper"})
        return Found(new >= 2 * old, f"pi3b {new:g}, pi1b {old:g}")

    return _each([comparison])


@_check
def _memory_is_the_bottleneck_and_not_disk(figures: _Figures) -> Iterator[Found | Missing]:
    def share(model: str) -> Callable[[], Found]:
        def comparison() -> Found:
            httpd = {"workload": "httpd"}
            count = figures.median(model, "hosting.containers", httpd)
            disk = count * figures.median(model, "hosting.disk_per_container", httpd)
            memory = count * figures.median(model, "hosting.memory_per_container", httpd)
            return Found(
                disk < 0.01 * CARD_BYTES and disk < memory,
                f"{model}: {count:g} httpd take {shown(memory, 'B')} of memory, {shown(disk, 'B')} of disk",
            )

        return comparison

    models = [model for model in PAPERS_BOARDS if figures.has(model)] or ["pi1b"]
    return _each(share(model) for model in models)


@_check
def _later_generations_do_io_no_slower(figures: _Figures) -> Iterator[Found | Missing]:
    return _each(
        _less(figures, new, old, metric, factor=NO_SLOWER, labels=point)
        for old, new in _generations(figures)
        for metric in ("io.disk_read_time", "io.disk_write_time", "io.memory_time")
        for point in figures.points(metric, (old, new))
    )


@_check
def _writes_cost_boards_more_than_the_cloud(figures: _Figures) -> Iterator[Found | Missing]:
    def penalty(model: str, point: Mapping[str, object]) -> float:
        written = figures.median(model, "io.disk_write_time", point)
        return written / figures.median(model, "io.disk_read_time", point)

    def larger(model: str, point: Mapping[str, object]) -> Callable[[], Found]:
        def comparison() -> Found:
            board, vm = penalty(model, point), penalty(VM, point)
            return Found(board > vm, f"{model} {board:.3g}, {VM} {vm:.3g} ({point['size']})")

        return comparison

    models = [model for model in PAPERS_BOARDS if figures.has(model)] or ["pi3b"]
    return _each(
        larger(model, point)
        for model in models
        for point in figures.points("io.disk_write_time", (model, VM))
    )


@_check
def _boards_boot_before_the_vm(figures: _Figures) -> Iterator[Found | Missing]:
    models = [model for model in PAPERS_BOARDS if figures.has(model)] or ["pi3b"]
    return _each(_less(figures, model, VM, "startup.ready_time") for model in models)


@_check
def _later_boards_boot_ten_seconds_before_the_vm(figures: _Figures) -> Iterator[Found | Missing]:
    def margin(model: str) -> Callable[[], Found]:
        def comparison() -> Found:
            board = figures.median(model, "startup.ready_time", {})
            vm = figures.median(VM, "startup.ready_time", {})
            return Found(vm - board >= 10, f"{model} {vm - board:.3g} s before {VM}")

        return comparison

    return _each(margin(model) for model in ("pi2b", "pi3b"))


@_check
def _containers_run_before_the_vm_boots(figures: _Figures) -> Iterator[Found | Missing]:
    def margin(model: str) -> Callable[[], Found]:
        def comparison() -> Found:
            board = figures.median(model, "startup.container_time", {})
            vm = figures.median(VM, "startup.ready_time", {})
            return Found(board < vm, f"{model} with a container {vm - board:+.3g} s before {VM}")

        return comparison

    return _each(margin(model) for model in ("pi2b", "pi3b"))
