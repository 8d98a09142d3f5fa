"""The claims of the paper's section 4, checked on stored runs of several boards.

A claim holds, does not hold, or is not measured. A claim names its missing figures, even if it holds for
the figures that exist. `claims.toml` lists the claims; this module checks them.
"""

from __future__ import annotations

import statistics
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from itertools import pairwise
from typing import Any

from pytest_microcloud.catalog import metric as known_metric
from pytest_microcloud.ladder import MOST_CLIENTS
from pytest_microcloud.measurement import shown
from pytest_microcloud.runs.fingerprint import CONTROLLER
from pytest_microcloud.verdict.claim_figures import Figures
from pytest_microcloud.verdict.results import Missing, Results, in_words

HOLDS, FAILS, NOT_MEASURED = "holds", "does not hold", "not measured"
GENERATIONS = ("pi1b", "pi2b", "pi3b", "pi4b", "pi5")
PAPERS_BOARDS = ("pi1b_256", "pi1b", "pi1bplus", "pi2b", "pi3b")
REGIONS = ("ec2_dublin", "ec2_seoul", "ec2_singapore", "ec2_tokyo")
VM = "t2_small"
MATTERS = 0.05
"""The smallest change that matters (a share): the same value as in the gate."""
NO_SLOWER = 1 + MATTERS
CARD_BYTES = 16e9
"""The capacity of the paper's SD card."""


@dataclass(frozen=True)
class Found:
    """The result of one comparison: whether it supports the claim, and the numbers, in a sentence."""

    holds: bool
    numbers: str


@dataclass(frozen=True)
class Claim:
    """A claim with its verdict.

    `numbers` are sentences, `missing` names what has not been measured, and `emulated` lists the models whose
    figures come from emulated boards.
    """

    id: str
    says: str
    section: str
    paper: str
    verdict: str
    numbers: tuple[str, ...]
    missing: tuple[str, ...]
    emulated: tuple[str, ...]

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Claim:
        """Return a claim from a dict of its fields; lists become tuples."""
        return cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in plain.items()})  # type: ignore[arg-type]

    @property
    def so_far(self) -> bool:
        """Whether the claim holds, but some of its boards or figures are not measured."""
        return self.verdict == HOLDS and bool(self.missing)


Check = Callable[[Figures], Iterator[Found | Missing]]
_CHECKS: dict[str, Check] = {}


def check_all(results: Results) -> list[Claim]:
    """Return every claim with its verdict, in the paper's order."""
    return [check(name, results) for name in _tables()]


def names() -> list[str]:
    """Return the claims' ids, in the paper's order."""
    return list(_tables())


@cache
def _tables() -> dict[str, dict[str, Any]]:
    text = resources.files(__package__).joinpath("claims.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def check(name: str, results: Results) -> Claim:
    """Return the claim with this id, and its verdict; raises KeyError if no claim has this id."""
    table = dict(_tables()[name])
    needs = table.pop("needs", ())
    at_places = {place: Figures(results, needs, place) for place in results.places or [CONTROLLER]}
    found = {place: list(_CHECKS[name](figures)) for place, figures in at_places.items()}
    seen = list(dict.fromkeys(f for of_place in found.values() for f in of_place if isinstance(f, Found)))
    verdict = NOT_MEASURED
    if seen:
        verdict = HOLDS if all(f.holds for f in seen) else FAILS
    return Claim(
        name,
        **table,
        verdict=verdict,
        numbers=tuple(f.numbers for f in seen),
        missing=in_words(_missing(found)),
        emulated=tuple(dict.fromkeys(model for figures in at_places.values() for model in figures.emulated)),
    )


def _missing(found: Mapping[str, Iterable[Found | Missing]]) -> list[Missing]:
    """Return the figures that a claim lacks with load from one place: that where the fewest are missing.

    `found` has the results for each place that load came from. If a figure exists with load from another
    place, its text names the place for which it is missing.
    """
    lacking = {
        place: {str(one): one for one in of_place if isinstance(one, Missing)}
        for place, of_place in found.items()
    }
    place = min(lacking, key=lambda place: len(lacking[place]))
    return [
        one
        if all(text in others for others in lacking.values())
        else Missing(one.what, one.model, f"{one.how} with load from {place}")
        for text, one in lacking[place].items()
    ]


def _check(function: Check) -> Check:
    _CHECKS[function.__name__.removeprefix("_")] = function
    return function


def _each(
    compare: Callable[..., Found], cases: Iterable[tuple[object, ...] | Missing]
) -> Iterator[Found | Missing]:
    """Compare each case whose figures exist, and yield the missing figures of the other cases."""
    for case in cases:
        if isinstance(case, Missing):
            yield case
            continue
        try:
            yield compare(*case)
        except Missing as missing:
            yield missing
        except ZeroDivisionError:
            yield Missing("a figure other than 0", how=f" ({', '.join(map(str, case))})")


def _points(figures: Figures, metric: str, *models: str) -> list[Mapping[str, object] | Missing]:
    """Return each set of labels with which all these models were measured, or else what is missing."""
    return [*figures.points(metric, *models)] or [*figures.lacking(metric, *models)]


def _case(point: Mapping[str, object] | Missing, *before: object) -> tuple[object, ...] | Missing:
    """Return the arguments of a comparison: `before`, then `point`. If `point` is a Missing, return that."""
    return point if isinstance(point, Missing) else (*before, point)


def _generations(figures: Figures) -> list[str]:
    """Return the paper's generations, and the later generations that have runs."""
    return [model for model in GENERATIONS if model in PAPERS_BOARDS or figures.has(model)]


def _successions(figures: Figures, metric: str) -> Iterator[tuple[object, ...] | Missing]:
    """Yield (older, newer, labels) for each two successive measured generations and labels they share."""
    there = []
    for model in _generations(figures):
        if figures.points(metric, model):
            there.append(model)
        else:
            yield Missing(metric, model)
    for old, new in pairwise(there):
        yield from (_case(point, old, new) for point in _points(figures, metric, old, new))


def _where(point: Mapping[str, object]) -> str:
    return f" ({' '.join(map(str, point.values()))})" if point else ""


def _at_most(
    figures: Figures, factor: float, first: str, second: str, metric: str, point: Mapping[str, object]
) -> Found:
    """Check that the first model's metric is at most `factor` times the second model's."""
    a, b = figures.median(first, metric, point), figures.median(second, metric, point)
    unit = known_metric(metric).unit
    return Found(a <= factor * b, f"{first} {shown(a, unit)}, {second} {shown(b, unit)}{_where(point)}")


def _no_slower(figures: Figures, *metrics: str) -> Iterator[Found | Missing]:
    """Compare each generation's times with the times of the generation before it."""

    def compare(metric: str, old: str, new: str, point: Mapping[str, object]) -> Found:
        return _at_most(figures, NO_SLOWER, new, old, metric, point)

    for metric in metrics:
        yield from _each(partial(compare, metric), _successions(figures, metric))


@_check
def _later_generations_serve_no_slower(figures: Figures) -> Iterator[Found | Missing]:
    return _no_slower(figures, "serving.page_time")


@_check
def _later_generations_withstand_more_clients(figures: Figures) -> Iterator[Found | Missing]:
    def more(old: str, new: str, point: Mapping[str, object]) -> Found:
        before, after = (figures.median(model, "serving.capacity", point) for model in (old, new))
        return Found(
            after > before or before >= MOST_CLIENTS,
            f"{old} {before:g} clients, {new} {after:g} clients{_where(point)}",
        )

    return _each(more, _successions(figures, "serving.capacity"))


@_check
def _docker_costs_something(figures: Figures) -> Iterator[Found | Missing]:
    def cost(model: str) -> Found:
        times = _docker_by_native(figures, model, "serving.page_time")
        if not times:
            raise Missing("serving.page_time", model, ", native and in Docker")
        middle, low, high = (f(times) - 1 for f in (statistics.median, min, max))
        text = f"{model} {middle:+.1%} ({low:+.1%} to {high:+.1%} by number of clients)"
        if rates := _docker_by_native(figures, model, "serving.throughput"):
            text += f", throughput {statistics.median(rates) - 1:+.1%}"
        same = ", no difference that matters" if abs(middle) < MATTERS else ""
        return Found(middle >= MATTERS, text + same)

    return _each(cost, ((model,) for model in PAPERS_BOARDS))


def _docker_by_native(figures: Figures, model: str, metric: str) -> list[float]:
    """Return a metric's ratio of Docker to native, at each number of clients with both settings."""
    points = figures.points(metric, model)
    both = [p for p in points if p.get("setting") == "docker" and {**p, "setting": "native"} in points]
    return [
        figures.median(model, metric, p) / figures.median(model, metric, {**p, "setting": "native"})
        for p in both
    ]


@_check
def _docker_fails_first_on_the_oldest(figures: Figures) -> Iterator[Found | Missing]:
    def fewer() -> Found:
        docker = figures.median("pi1b_256", "serving.capacity", {"setting": "docker"})
        native = figures.median("pi1b_256", "serving.capacity", {"setting": "native"})
        return Found(docker < native, f"{native:g} clients natively, {docker:g} in Docker")

    return _each(fewer, [()])


@_check
def _boards_answer_ten_times_sooner_than_the_cloud(figures: Figures) -> Iterator[Found | Missing]:
    point = {"clients": 50, "setting": "native"}
    return _each(
        partial(_at_most, figures, 0.1),
        (
            (board, region, "serving.page_time", point)
            for board in _generations(figures)
            for region in REGIONS
        ),
    )


@_check
def _containers_in_the_papers_order(figures: Figures) -> Iterator[Found | Missing]:
    def fewer(model: str, few: str, many: str) -> Found:
        a, b = (figures.median(model, "hosting.containers", {"workload": name}) for name in (few, many))
        return Found(a < b, f"{model} {b:g} {many}, {a:g} {few}")

    order = (("httpd", "ruby"), ("zookeeper", "httpd"))
    return _each(fewer, ((model, *pair) for model in PAPERS_BOARDS for pair in order))


@_check
def _pi3b_hosts_twice_the_zookeepers(figures: Figures) -> Iterator[Found | Missing]:
    def twice() -> Found:
        zookeeper = {"workload": "zookeeper"}
        old, new = (figures.median(model, "hosting.containers", zookeeper) for model in ("pi1b", "pi3b"))
        return Found(new >= 2 * old, f"pi3b {new:g}, pi1b {old:g}")

    return _each(twice, [()])


@_check
def _memory_is_the_bottleneck_and_not_disk(figures: Figures) -> Iterator[Found | Missing]:
    def share(model: str) -> Found:
        httpd = {"workload": "httpd"}
        count = figures.median(model, "hosting.containers", httpd)
        disk = count * figures.median(model, "hosting.disk_per_container", httpd)
        memory = count * figures.median(model, "hosting.memory_per_container", httpd)
        return Found(
            disk < 0.01 * CARD_BYTES and disk < memory,
            f"{model}: {count:g} httpd take {shown(memory, 'B')} of memory, {shown(disk, 'B')} of disk",
        )

    return _each(share, ((model,) for model in PAPERS_BOARDS))


@_check
def _later_generations_do_io_no_slower(figures: Figures) -> Iterator[Found | Missing]:
    return _no_slower(figures, "io.disk_read_time", "io.disk_write_time", "io.memory_time")


@_check
def _writes_cost_boards_more_than_the_cloud(figures: Figures) -> Iterator[Found | Missing]:
    def penalty(model: str, point: Mapping[str, object]) -> float:
        written = figures.median(model, "io.disk_write_time", point)
        return written / figures.median(model, "io.disk_read_time", point)

    def larger(model: str, point: Mapping[str, object]) -> Found:
        board, vm = penalty(model, point), penalty(VM, point)
        return Found(board > vm, f"{model} ×{board:.3g}, {VM} ×{vm:.3g}{_where(point)}")

    return _each(
        larger,
        (
            _case(point, model)
            for model in PAPERS_BOARDS
            for point in _points(figures, "io.disk_write_time", VM, model)
        ),
    )


@_check
def _boards_boot_before_the_vm(figures: Figures) -> Iterator[Found | Missing]:
    return _each(
        partial(_at_most, figures, 1.0),
        ((board, VM, "startup.ready_time", {}) for board in PAPERS_BOARDS),
    )


@_check
def _later_boards_boot_ten_seconds_before_the_vm(figures: Figures) -> Iterator[Found | Missing]:
    return _ahead(figures, "startup.ready_time", 10.0, "{} {} {}")


@_check
def _containers_run_before_the_vm_boots(figures: Figures) -> Iterator[Found | Missing]:
    return _ahead(figures, "startup.container_time", 0.0, "{} with a container {} {}")


def _ahead(figures: Figures, metric: str, least_s: float, text: str) -> Iterator[Found | Missing]:
    """Check that each later board reaches `metric` at least `least_s` before the cloud VM accepts a login."""

    def ahead(model: str) -> Found:
        board_s = figures.median(model, metric, {})
        seconds = figures.median(VM, "startup.ready_time", {}) - board_s
        how = f"{abs(seconds):.3g} s {'before' if seconds >= 0 else 'after'}"
        return Found(seconds >= least_s, text.format(model, how, VM))

    return _each(ahead, [("pi2b",), ("pi3b",)])
