"""The metrics and charts of an experiment as plain data, which a run file stores.

The shipped experiments are described in `experiments/*.toml`. How an experiment is run is defined by
`pytest_microcloud.experiments.record.Experiment`, a subclass of `Description`.
"""

from __future__ import annotations

import dataclasses
import functools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pytest_microcloud.errors import CatalogError
from pytest_microcloud.suggest import did_you_mean, listed

DIRECTORY = Path(__file__).parent / "experiments"
ORDER = ("serving", "hosting", "io", "startup")
"""The shipped experiments, in the paper's order (sections 4.I to 4.IV)."""
_registered: dict[str, Metric] = {}


@dataclass(frozen=True)
class Metric:
    """A metric: full name ("mqtt.throughput"), SI unit, and whether lower or higher values are better.

    `from_outside` is whether the network between load generator and board is part of the metric. Values of
    such a metric are compared only if their load came from the same site or controller.
    """

    name: str
    unit: str
    better: Literal["lower", "higher"]
    meaning: str = ""
    from_outside: bool = False


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A published value that is drawn on a chart and never judged. `by` is its origin, such as "the paper".

    The mark is a line: `x` and `y` are the coordinates of its ends in SI units. Without `y`, the line is
    vertical. On a bar chart, the mark is drawn at `x`, beside the bar named `bar`. A `hidden` mark only
    appears in the legend.
    """

    text: str
    by: str
    source: str
    x: tuple[float, ...]
    y: tuple[float, ...] = ()
    bar: str = ""
    hidden: bool = False


@dataclass(frozen=True, kw_only=True)
class Chart:
    """The description of a chart, which the report draws for every board or board model.

    `metrics` maps each metric to its name on the chart. The kinds are:

    - "curves": the median of the first metric along the label `x`, whose values are numbers ("50") or sizes
      ("64KiB").
    - "sums": the cumulative sum of the first metric's samples. If the sampling ended early, the metric
      `total` holds the projected number of samples of a complete sampling.
    - "bars": a bar for the median of the first metric. Each further metric is stacked on top of the previous
      one.

    There is a curve or bar for each board and each combination of the labels `series` (by default all labels
    but `x`). Label values listed in `order` come first. `tabled` lists metrics that appear only in the table.
    `quantiles` lists the quantiles of all samples that the table shows in addition to p95. `log` names the
    axes with a logarithmic scale. `expected` lists the board models that the chart should have. Below the
    chart, the page lists the expected models that have no run.
    """

    title: str
    metrics: Mapping[str, str]
    about: str = ""
    id: str = ""
    kind: Literal["curves", "sums", "bars"] = "curves"
    x: str = ""
    series: tuple[str, ...] | None = None
    order: tuple[str, ...] = ()
    total: str = ""
    tabled: Mapping[str, str] = field(default_factory=dict)
    quantiles: tuple[str, ...] = ()
    x_title: str = ""
    y_title: str = ""
    log: tuple[Literal["x", "y"], ...] = ()
    expected: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Description:
    """The description of an experiment for reports.

    `headline` is the metric that matters most (by default the first one), and `headline_at` are the labels of
    the measurement to show. `title` (a heading) and `about` (a sentence) are texts for people.
    """

    name: str
    metrics: tuple[Metric, ...] = ()
    title: str = ""
    about: str = ""
    headline: str = ""
    headline_at: Mapping[str, str | int] = field(default_factory=dict)
    figures: tuple[Chart, ...] = ()

    @property
    def description(self) -> Description:
        """A plain `Description` with the same content, without the fields that a subclass adds."""
        return Description(**{f.name: getattr(self, f.name) for f in dataclasses.fields(Description)})

    @property
    def headline_metric(self) -> str:
        """The name of the metric that matters most."""
        return self.headline or next((metric.name for metric in self.metrics), "")

    def as_dict(self) -> dict[str, Any]:
        """Return the description as a dict for the run file."""
        return dataclasses.asdict(self.description)


@functools.cache
def descriptions() -> Mapping[str, Description]:
    """Return a dict from the names of the shipped experiments to their descriptions, in the paper's order."""
    return {name: _read(DIRECTORY / f"{name}.toml") for name in ORDER}


def _read(file: Path) -> Description:
    import msgspec

    document = tomllib.loads(file.read_text(encoding="utf-8"))
    metrics = [{"name": f"{file.stem}.{name}", **metric} for name, metric in document["metrics"].items()]
    return msgspec.convert(document | {"name": file.stem, "metrics": metrics}, Description)


@functools.cache
def _shipped_metrics() -> Mapping[str, Metric]:
    return {metric.name: metric for described in descriptions().values() for metric in described.metrics}


def metrics() -> Mapping[str, Metric]:
    """Return a dict from names to metrics, for all shipped and registered experiments."""
    return {**_registered, **_shipped_metrics()}


def add_metrics(added: Iterable[Metric]) -> None:
    """Add the metrics of a registered experiment, so that `metric` finds the units of its measurements."""
    _registered.update({metric.name: metric for metric in added})


def metric(name: str) -> Metric:
    """Return the metric called `name`, or raise a CatalogError that suggests the nearest name."""
    known = metrics()
    if name not in known:
        raise CatalogError(
            f"no metric is named {name!r}{did_you_mean([name], known)} (there are: {listed(sorted(known))})"
        )
    return known[name]
