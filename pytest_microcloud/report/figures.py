"""The paper's Figures 3 to 6, of what stored runs measured."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from pytest_microcloud.catalog import Catalog
from pytest_microcloud.measurement import quantile
from pytest_microcloud.report.bars import startup
from pytest_microcloud.report.plot import (
    DASHES,
    HEAD,
    HOVER,
    LIMITS,
    Cell,
    Look,
    Number,
    Plot,
    axis,
    bound_of,
    cells,
    closed,
    limit_in_words,
    limits,
    papers_lines,
    rounded,
    spread,
    text,
)
from pytest_microcloud.report.sources import Source
from pytest_microcloud.verdict.claims import PAPERS_BOARDS, REGIONS, VM
from pytest_microcloud.verdict.results import Figure

SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
MOST_POINTS = 60
"""Of a curve of containers: what there is more of is thinned out."""
_EACH = "hosting.memory_per_container"
TICKS = [digit * 10**power for power in range(4) for digit in (1, 2, 5)]


def all_of(sources: Sequence[Source], catalog: Catalog) -> list[Plot]:
    """Return all plots, in the paper's order, whether or not anything was measured for them."""
    vms = [name for name, model in catalog.models.items() if model.kind == "vm"]
    look = Look((source.model for source in sources), vms)
    io = [
        _io(sources, look, metric, title)
        for metric, title in (
            ("io.disk_read_time", "Reading from disk"),
            ("io.disk_write_time", "Writing to disk"),
            ("io.memory_time", "Writing to memory"),
        )
    ]
    return [serving(sources, look), hosting(sources, look), *io, startup(sources, look)]


def serving(sources: Sequence[Source], look: Look) -> Plot:
    """Return the page time by clients (Figure 3), natively and in Docker."""
    plot = Plot(
        "serving",
        "Page time by number of clients",
        "Mean time per request, by ab, of a page with one 100 kB picture (the paper's Figure 3); the table "
        "has p50, p95 and p99 of all requests, too",
        ("board", "setting", "clients", *HEAD[:4], "p50", *HEAD[4:5], "p99", *HEAD[5:]),
    )
    for source in sources:
        curves = _curves(source, "serving.page_time", "setting", "clients", _count)
        for setting, points in sorted(curves.items(), key=lambda curve: curve[0] != "native"):
            dash = "solid" if setting == "native" else "dash"
            plot.traces.append(_curve(source, look, setting, points, dash))
            plot.rows += [
                (source.name, setting, Number(clients, "1"), *_page_times(figure))
                for clients, figure in points
            ]
        for points in curves.values():
            limits(plot, look, source, points, source.model)
    papers_lines(plot)
    plot.layout |= {
        "xaxis": axis("concurrent clients", rangemode="tozero"),
        "yaxis": axis("page time", "s", type="log", dtick="D2"),
    }
    return closed(plot, sources, "serving.page_time", (*PAPERS_BOARDS, *REGIONS))


def _page_times(figure: Figure) -> tuple[Cell, ...]:
    """Return the usual cells, with p50 and p99 of all requests on both sides of their p95."""
    usual = cells(figure)
    p50, p99 = (Number(quantile(figure.samples, q), "s") for q in (0.5, 0.99))
    return (*usual[:4], p50, usual[4], p99, *usual[5:])


def hosting(sources: Sequence[Source], look: Look) -> Plot:
    """Return the memory in use by number of containers (Figure 4), for each workload."""
    plot = Plot(
        "hosting",
        "Memory by number of containers",
        "Memory that the containers of a workload take together, with 50 MB left free (the paper's Figure 4)",
        (
            "board",
            "workload",
            "containers",
            "basis",
            "memory of all",
            "median of one",
            "boots",
            "limit",
            "run",
        ),
    )
    workloads = sorted({labels.get("workload", "") for s in sources for labels, _ in s.figures(_EACH)})
    dashes = dict(zip(workloads, itertools.cycle(DASHES)))
    for source in sources:
        counts = {
            labels.get("workload", ""): figure for labels, figure in source.figures("hosting.containers")
        }
        for labels, each in source.figures(_EACH):
            workload = labels.get("workload", "")
            count = counts.get(workload)
            taken = list(itertools.accumulate(_one_filling(each, count)))
            plot.traces.append(_filled(source, look, workload, taken, dashes[workload]))
            told = count.median if count else float(len(taken))
            projected = bool(count and count.last.labels.get("basis") == "projected" and told > len(taken))
            memory = taken[-1] + (told - len(taken)) * each.median if projected else taken[-1]
            if projected:
                plot.traces.append(
                    _projected(plot.traces[-1], (len(taken), told), (taken[-1], memory), source.emulated)
                )
            plot.rows.append(
                (
                    source.name,
                    workload,
                    Number(told, "1"),
                    "projected" if projected else "filled",
                    Number(memory, "B"),
                    Number(each.median, "B"),
                    Number(len(each.boots), "1"),
                    _limit(count),
                    each.run,
                )
            )
            if source.newest and count and bound_of(count.last) is not None:
                plot.traces.append(_least(source, look, workload, count, each.median))
                plot.sources.append(
                    f"Limit of {source.model} ({workload}): {(count.last.limit or {}).get('source')}"
                )
    papers_lines(plot)
    plot.layout |= {
        "xaxis": axis("containers", type="log", tickmode="array", tickvals=TICKS),
        "yaxis": axis("memory of all containers", "B", type="log", dtick="D2"),
    }
    return closed(plot, sources, _EACH, PAPERS_BOARDS)


def _limit(count: Figure | None) -> str:
    return limit_in_words(count.last) if count else "no limit"


def _one_filling(each: Figure, count: Figure | None) -> list[float]:
    """Return what each further container took, in order; the first filling's of several."""
    samples = each.last.samples
    fillings = len(count.last.samples) if count else 1
    return samples[: max(1, len(samples) // fillings)] if fillings > 1 else samples


def _filled(source: Source, look: Look, workload: str, taken: Sequence[float], dash: str) -> dict[str, Any]:
    numbers = range(1, len(taken) + 1)
    step = -(-len(taken) // MOST_POINTS)
    thinned = sorted({*numbers[::step], len(taken)})
    line = look.line(source, dash)
    return line | {
        "name": (name := text(f"{source.name} · {workload}")),
        "meta": (line.get("meta") or {}) | {"curve": name},
        "x": thinned,
        "y": [rounded(taken[number - 1]) for number in thinned],
        "marker": line["marker"] | {"size": 4},
        "hovertemplate": HOVER.format(x="%{x} containers", y="%{y:.3s}B"),
    }


def _projected(
    filled: dict[str, Any], x: tuple[float, float], y: tuple[float, float], emulated: bool
) -> dict[str, Any]:
    """Return how a curve that was cut short is projected to go on."""
    return filled | {
        "name": f"{filled['name']} (projected)",
        "x": list(x),
        "y": [rounded(value) for value in y],
        "line": filled["line"] | {"width": 1, "dash": "2px,2px"},
        "marker": filled["marker"] | {"symbol": f"arrow-right{'-open' if emulated else ''}", "size": 9},
        "meta": (filled.get("meta") or {}) | {"curve": filled["name"]},
    }


def _least(source: Source, look: Look, workload: str, count: Figure, each: float) -> dict[str, Any]:
    """Return the least number of containers as an upright line at the height where a board has it."""
    least = bound_of(count.last) or 0.0
    colour = look.colour(source.model)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": text(f"limit of {source.model} · {workload}: at least {least:g}"),
        "meta": LIMITS,
        "x": [least, least],
        "y": [rounded(least * each / 2), rounded(least * each * 2)],
        "line": {"color": colour, "dash": "2px,4px", "width": 1.5},
        "marker": {"symbol": "line-ew-open", "size": 8, "color": colour},
        "opacity": 0.75,
    }


def _io(sources: Sequence[Source], look: Look, metric: str, title: str) -> Plot:
    """Return the access time by size (a part of Figure 5)."""
    plot = Plot(
        metric.replace("_time", "").replace("_", "-").replace(".", "-"),
        title,
        "Time of one access by its size (the paper's Figure 5)",
        ("board", "size", *HEAD),
        height=320,
    )
    sizes: dict[float, str] = {}
    for source in sources:
        points = sorted(
            (
                (size, figure, labels["size"])
                for labels, figure in source.figures(metric)
                if (size := _bytes(labels.get("size", "")))
            ),
            key=lambda point: point[0],
        )
        if not points:
            continue
        sizes |= {size: label for size, _, label in points}
        at = [(size, figure) for size, figure, _ in points]
        plot.traces.append(_curve(source, look, "", at, "solid"))
        limits(plot, look, source, at, source.model)
        plot.rows += [(source.name, label, *cells(figure)) for _, figure, label in points]
    places = sorted(sizes)
    ticks: dict[str, Any] = {
        "tickmode": "array",
        "tickvals": places,
        "ticktext": [text(sizes[size]) for size in places],
    }
    plot.layout |= {
        "xaxis": axis("size", type="log", **ticks),
        "yaxis": axis("time of one access", "s", type="log"),
    }
    plot.notes.append("The paper's text has no numbers for this figure.")
    return closed(plot, sources, metric, (*PAPERS_BOARDS, VM))


def _curve(
    source: Source, look: Look, what: str, points: Sequence[tuple[float, Figure]], dash: str
) -> dict[str, Any]:
    figures = [figure for _, figure in points]
    return (
        look.line(source, dash)
        | {
            "name": text(f"{source.name}{f' · {what}' if what else ''}"),
            "x": [rounded(x) for x, _ in points],
            "y": [rounded(figure.median) for figure in figures],
            "hovertemplate": HOVER.format(x="%{x}", y="%{y:.3s}s"),
        }
        | spread(figures)
    )


def _curves(
    source: Source, metric: str, by: str, along: str, number: Callable[[str], float | None]
) -> dict[str, list[tuple[float, Figure]]]:
    """Return a metric's figures by one label, and then along another one, which is a number."""
    curves: dict[str, list[tuple[float, Figure]]] = {}
    for labels, figure in source.figures(metric):
        x = number(labels.get(along, ""))
        if x is not None:
            curves.setdefault(labels.get(by, ""), []).append((x, figure))
    return {name: sorted(points, key=lambda point: point[0]) for name, points in curves.items()}


def _count(label: str) -> float | None:
    return float(label) if label.isascii() and label.isdigit() else None


def _bytes(label: str) -> float | None:
    digits = label.rstrip("BKMGi")
    factor = SIZES.get(label[len(digits) :])
    size = _count(digits)
    return size * factor if size and factor else None
