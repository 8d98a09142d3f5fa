"""Loads every catalog file. An invalid file raises a CatalogError that names the file and the key."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pytest_microcloud.catalog import ranges, toml_file
from pytest_microcloud.catalog.description import Description, descriptions, metrics
from pytest_microcloud.catalog.records import (
    BoardModel,
    Effort,
    Limit,
    Load,
    OldCode,
    PiType,
    Ready,
    Revisions,
    Symptom,
    Workload,
)
from pytest_microcloud.errors import CatalogError
from pytest_microcloud.suggest import did_you_mean, listed

Record = TypeVar("Record")
Table = dict[str, Any]

SHIPPED = Path(__file__).parent
STATISTICS = ("median", "mean", "min", "max", "p50", "p95", "p99", "sum")
READY_KINDS = ("http", "tcp", "stdin")
_MODEL_KEYS = ("like", *(f.name for f in dataclasses.fields(BoardModel) if f.name not in ("id", "sources")))


@dataclass(frozen=True)
class Catalog:
    """All records of the catalog, by id. Limits have no id; `limit` finds them by metric and labels."""

    models: Mapping[str, BoardModel]
    workloads: Mapping[str, Workload]
    limits: tuple[Limit, ...]
    user_limits: tuple[Limit, ...]
    efforts: Mapping[str, Effort]
    experiments: Mapping[str, Description]

    def model(self, name: str) -> BoardModel:
        """Return the board model with the id `name`, or raise a CatalogError that suggests the nearest id."""
        return _pick(self.models, name, "board model")

    def workload(self, name: str) -> Workload:
        """Return the workload with the id `name`, or raise a CatalogError that suggests the nearest id."""
        return _pick(self.workloads, name, "workload")

    def effort(self, name: str) -> Effort:
        """Return the effort with the id `name`, or raise a CatalogError that suggests the nearest id."""
        return _pick(self.efforts, name, "effort")

    @property
    def words(self) -> frozenset[str]:
        """All ids, names and units of the catalog, which appear in runs and reports."""
        known = metrics()
        ids = (*self.models, *self.workloads, *self.efforts, *self.experiments, *known)
        names = [model.name for model in self.models.values()] + [w.name for w in self.workloads.values()]
        return frozenset((*ids, *names, *(m.unit for m in known.values())))

    def limit(self, model: str, metric: str, labels: Mapping[str, str | int]) -> Limit | None:
        """Return the model's limit for a metric. A user's limit takes precedence over shipped limits.

        If several limits apply, the limit with the most labels is returned. If several have equally many
        labels, the limit that was read last is returned.
        """
        for limits in (self.user_limits, self.limits):
            covering = [x for x in reversed(limits) if x.model == model and x.covers(metric, labels)]
            if covering:
                return max(covering, key=lambda limit: len(limit.labels))
        return None


def load(extra: Iterable[Path] = (), experiments: Mapping[str, Description] | None = None) -> Catalog:
    """Read the shipped catalog, then the user's files. A record replaces earlier records with the same id.

    A user's file may contain `[boards.ID]`, `[workloads.ID]` and `[limits.MODEL]` tables. `experiments` are
    the registered experiments, by default the shipped ones. If a file is invalid, raises CatalogError, which
    names the file and the key.
    """
    models = _Models()
    workloads: dict[str, Workload] = {}
    for file in sorted((SHIPPED / "boards").glob("*.toml")):
        models.add(file, file.stem, toml_file.read(file))
    for file in sorted((SHIPPED / "workloads").glob("*/workload.toml")):
        workloads[file.parent.name] = _workload(file, file.parent.name, toml_file.read(file), file.parent)
    limits = [(file, file.stem, toml_file.read(file)) for file in sorted((SHIPPED / "limits").glob("*.toml"))]
    user_limits: list[tuple[Path, str, Table]] = []
    for file in extra:
        document = toml_file.read(file)
        _only(file, "", document, ("boards", "workloads", "limits"))
        for name, table in _tables(file, document, "boards"):
            models.add(file, name, table)
        for name, table in _tables(file, document, "workloads"):
            directory = file.parent / str(table.pop("directory", name))
            workloads[name] = _workload(file, name, table, directory)
        user_limits += [(file, name, table) for name, table in _tables(file, document, "limits")]
    efforts = _named(Effort, SHIPPED / "efforts.toml")
    known = models.resolve()
    read, own = (
        tuple(limit for file, name, table in tables for limit in _limits(file, name, table, known))
        for tables in (limits, user_limits)
    )
    return Catalog(
        known, workloads, read, own, efforts, descriptions() if experiments is None else experiments
    )


@functools.cache
def _symptoms() -> Mapping[str, Symptom]:
    return _named(Symptom, SHIPPED / "health.toml")


def threshold(symptom: str) -> float:
    """Return the value above which a symptom invalidates a measurement.

    If there is no such symptom, raises a CatalogError that suggests the nearest name.
    """
    return _pick(_symptoms(), symptom, "symptom").most


@functools.cache
def loads() -> Mapping[str, Load]:
    """Return a dict from id to load, for all loads of which the control consists."""
    return _named(Load, SHIPPED / "control.toml")


@functools.cache
def shipped() -> Catalog:
    """Return the catalog without user files."""
    return load()


@functools.cache
def revisions() -> Revisions:
    """Return the tables that decode the revision codes of Raspberry Pis."""
    file = SHIPPED / "revisions.toml"
    document = toml_file.read(file)
    types = _records(PiType, file, document["types"])
    old = _records(OldCode, file, document["old"])
    return Revisions(
        processors=tuple(document["processors"]),
        manufacturers=tuple(document["manufacturers"]),
        memory_bytes=tuple(document["memory_bytes"]),
        types={int(number, 16): kind for number, kind in types.items()},
        old={int(code, 16): meaning for code, meaning in old.items()},
    )


LONGEST_CHAIN = 50
"""Maximum length of a chain of `like` references."""


class _Models:
    """Builds board models from TOML tables. A table with `like = "ID"` inherits the figures of model ID."""

    def __init__(self) -> None:
        self._tables: dict[str, tuple[Path, Table]] = {}

    def add(self, file: Path, name: str, table: Table) -> None:
        if wrong := ranges.wrong_id(ranges.BOARD_ID, name):
            raise CatalogError(f'{file}: key "boards.{ascii(name[:80])[1:-1]}": {wrong}')
        self._tables[name] = (file, table)

    def resolve(self) -> dict[str, BoardModel]:
        return {name: self._model(name) for name in self._tables}

    def _model(self, name: str) -> BoardModel:
        file, _ = self._tables[name]
        values: Table = {}
        sources: dict[str, str] = {}
        for each in reversed(self._chain(name)):
            own_values, own_sources = self._figures(each)
            values |= own_values
            sources |= own_sources
        return _record(BoardModel, file, f"boards.{name}", values | {"id": name, "sources": sources})

    def _chain(self, name: str) -> list[str]:
        """Return the chain of `like` references from a model, starting with the model itself."""
        line = [name]
        while (parent := self._tables[line[-1]][1].get("like")) is not None:
            file = self._tables[line[-1]][0]
            where = f'{file}: key "boards.{line[-1]}.like"'
            if not isinstance(parent, str) or parent not in self._tables:
                raise CatalogError(f"{where}: no board model is named {parent!r}")
            if parent in line:
                loop = f"the `like` references from {parent!r} lead back to {line[-1]!r}"
                raise CatalogError(f"{where}: {loop}")
            if len(line) == LONGEST_CHAIN:
                raise CatalogError(f"{where}: the chain of `like` is longer than {LONGEST_CHAIN} models")
            line.append(parent)
        return line

    def _figures(self, name: str) -> tuple[Table, dict[str, str]]:
        """Return the values in a model's own table, and their sources: two dicts with the same keys."""
        file, own = self._tables[name]
        values: Table = {}
        sources: dict[str, str] = {}
        _only(file, f"boards.{name}.", own, _MODEL_KEYS)
        for key, figure in own.items():
            if key == "like":
                continue
            if key in ("name", "kind"):
                values[key] = figure
                continue
            if not _is_figure(figure):
                raise CatalogError(
                    f'{file}: key "boards.{name}.{key}": a figure is written '
                    f'{key} = {{ value = …, source = "where it comes from" }}'
                )
            values[key], sources[key] = figure["value"], figure["source"]
        return values, sources


def _is_figure(figure: object) -> bool:
    if not isinstance(figure, dict) or set(figure) != {"value", "source"}:
        return False
    return isinstance(figure["source"], str) and bool(figure["source"].strip())


def _workload(file: Path, name: str, table: Table, directory: Path) -> Workload:
    if wrong := ranges.wrong_id(ranges.WORKLOAD_ID, name):
        raise CatalogError(f'{file}: key "workloads.{ascii(name[:80])[1:-1]}": {wrong}')
    table = dict(table)
    ready = _record(Ready, file, f"{name}.ready", _subtable(file, table.pop("ready", None), f"{name}.ready"))
    if ready.kind not in READY_KINDS:
        raise CatalogError(
            f'{file}: key "{name}.ready.kind": {ready.kind!r} is not one of {listed(READY_KINDS)}'
        )
    workload = _record(
        Workload, file, f"workloads.{name}", table | {"id": name, "ready": ready, "directory": directory}
    )
    if workload.built_here and not (directory / "Dockerfile").is_file():
        raise CatalogError(
            f'{file}: workload {name!r} names no "image", and there is no {directory / "Dockerfile"}'
        )
    if ready.kind != "stdin" and workload.port is None:
        raise CatalogError(
            f'{file}: key "workloads.{name}.port": missing, and ready.kind = "{ready.kind}" needs it'
        )
    return workload


def _limits(file: Path, model: str, table: Table, models: Mapping[str, BoardModel]) -> Iterator[Limit]:
    if model not in models:
        raise CatalogError(
            f'{file}: key "limits.{model}": no board model is named {model!r}{did_you_mean([model], models)}'
        )
    known = metrics()
    registered = {name.partition(".")[0] for name in known}
    for experiment, of_experiment in table.items():
        if experiment not in registered and (near := did_you_mean([experiment], registered)):
            raise CatalogError(f'{file}: key "{experiment}": unknown experiment{near}')
        for metric, entries in _subtable(file, of_experiment, experiment).items():
            name = f"{experiment}.{metric}"
            # The metrics of an unregistered experiment are not known.
            if experiment in registered and name not in known:
                raise CatalogError(f'{file}: key "{name}": unknown metric{did_you_mean([name], known)}')
            for entry in entries if isinstance(entries, list) else [entries]:
                limit = _record(
                    Limit, file, name, _subtable(file, entry, name) | {"model": model, "metric": name}
                )
                if (limit.max is None) == (limit.min is None):
                    raise CatalogError(f'{file}: key "{name}": give exactly one of "max" and "min"')
                if limit.statistic not in STATISTICS:
                    raise CatalogError(
                        f'{file}: key "{name}.statistic": {limit.statistic!r} is not one of '
                        f"{listed(STATISTICS)}"
                    )
                yield limit


def _named(kind: type[Record], file: Path) -> dict[str, Record]:
    return _records(kind, file, toml_file.read(file))


def _records(kind: type[Record], file: Path, tables: Table) -> dict[str, Record]:
    return {name: _record(kind, file, name, table | {"id": name}) for name, table in tables.items()}


def _tables(file: Path, document: Table, key: str) -> Iterator[tuple[str, Table]]:
    for name, table in _subtable(file, document.get(key, {}), key).items():
        yield name, dict(_subtable(file, table, f"{key}.{name}"))


def _subtable(file: Path, value: object, key: str) -> Table:
    if not isinstance(value, dict):
        raise CatalogError(f'{file}: key "{key}": a table is needed, not {value!r}')
    return value


def _only(file: Path, where: str, table: Table, known: Iterable[str]) -> None:
    for key in table:
        if key not in (known := tuple(known)):
            raise CatalogError(f'{file}: key "{where}{key}": unknown{did_you_mean([key], known)}')


def _record(kind: type[Record], file: Path, where: str, table: Table) -> Record:
    """Convert a TOML table to a record (`kind` is its dataclass), after checking its keys and values."""
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    _only(file, f"{where}.", table, [f.name for f in fields])
    for f in fields:
        if f.name not in table:
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
                raise CatalogError(f'{file}: key "{where}.{f.name}": missing')
            continue
        try:
            table[f.name] = _typed(table[f.name], hints[f.name])
        except TypeError as error:
            raise CatalogError(f'{file}: key "{where}.{f.name}": {error}') from None
        values = table[f.name] if isinstance(table[f.name], tuple) else (table[f.name],)
        if wrong := next(filter(None, (ranges.wrong_number(f.name, value) for value in values)), ""):
            raise CatalogError(f'{file}: key "{where}.{f.name}": {wrong}')
    return kind(**table)


def _typed(value: Any, hint: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (types.UnionType, typing.Union):
        wanted = [x for x in arguments if x is not type(None)]
        for alternative in wanted[:-1]:
            try:
                return _typed(value, alternative)
            except TypeError:
                continue
        return _typed(value, wanted[-1])
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(f"a list is needed, not {value!r}")
        return tuple(_typed(item, arguments[0]) for item in value)
    if origin is not None:
        if not isinstance(value, dict):
            raise TypeError(f"a table is needed, not {value!r}")
        return {str(key): _typed(item, arguments[1]) for key, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or isinstance(value, bool):
        raise TypeError(f"{_WANTED.get(hint, hint.__name__)} is needed, not {value!r}")
    return value


_WANTED = {int: "a whole number", float: "a number", str: "a string"}


def _pick(known: Mapping[str, Record], name: str, what: str) -> Record:
    if name not in known:
        raise CatalogError(
            f"no {what} is named {name!r}{did_you_mean([name], known)} (there are: {listed(sorted(known))})"
        )
    return known[name]
