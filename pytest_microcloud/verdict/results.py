"""Collects stored runs into results that can be compared: the newest figures, and their history."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pytest_microcloud.measurement import Measurement
from pytest_microcloud.runs import Entry, Run, worst
from pytest_microcloud.runs.fingerprint import CONTROLLER, Fingerprint

BESIDE = frozenset(("basis",))
"""Labels that describe how a figure was obtained, not what was measured."""

Point = tuple[tuple[str, str], ...]
"""The sorted labels with which a metric was measured."""
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, order=True)
class Subject:
    """What reports compare: a board model under one OS release, real or emulated.

    `altered` lists what the inventory changed in an emulated board. Such a board does not represent its
    model. `load_from` is where the load generator ran.
    """

    model: str
    emulated: bool
    os_release: str
    altered: tuple[str, ...] = ()
    load_from: str = CONTROLLER

    @property
    def place(self) -> str:
        """Words for where the load came from, such as "load from lab"; empty for the controller."""
        return "" if self.load_from == CONTROLLER else f"load from {self.load_from}"


PAGE_TIME, THROUGHPUT = "serving.page_time", "serving.throughput"


@dataclass
class Figure:
    """The values of a subject's metric at one set of labels, from the newest run with a valid measurement.

    `boots` has one value per boot: the median of the boot's repetitions or, for a page time under load, ab's
    mean time per request. `measurements` has the measurements of all boots. `last` is the last boot's
    measurement, with samples in the order in which they were taken. Values are in SI units. `gaps` are
    sentences about what was not emulated on the boards.
    """

    run: str
    taken: str
    last: Measurement
    boots: list[float] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median of the boots' values."""
        return statistics.median(self.boots)

    @property
    def verdict(self) -> str:
        """The worst verdict of the measurements."""
        return worst(m.verdict for m in self.measurements)

    @property
    def samples(self) -> list[float]:
        """All repetitions of all boots."""
        return [sample for m in self.measurements for sample in m.samples]

    @property
    def quartiles(self) -> tuple[float, float] | None:
        """The first and third quartile of the boots' values; None if there are fewer than two boots."""
        if len(self.boots) < 2:
            return None
        first, _, third = statistics.quantiles(self.boots, n=4, method="inclusive")
        return first, third


@dataclass
class Newest:
    """The newest run of a subject: the fingerprints of its boards, and the outcomes of the boards' tests.

    If this run has no test of an experiment on a board, the outcomes come from an earlier run: `earlier` is
    a dict from (board, experiment) to the ISO date and time of that earlier run.
    """

    run: str
    taken: str
    boards: dict[str, Fingerprint]
    entries: list[Entry]
    earlier: dict[tuple[str, str], str] = field(default_factory=dict)


class Missing(Exception):
    """Raised for a figure that no run has. `what` is the metric, and `model` the board model.

    `how` is text that follows them: the circumstances for which the figure is missing.
    """

    def __init__(self, what: str, model: str = "", how: str = "") -> None:
        super().__init__(f"{what}{f' of {model}' if model else ''}{how}")
        self.what, self.model, self.how = what, model, how


def in_words(missing: Iterable[Missing]) -> tuple[str, ...]:
    """Return the missing figures in words, grouped by model."""
    models = _grouped(((one.what, one.how), one.model) for one in missing)
    figures = _grouped(((whose, how), what) for (what, how), whose in models.items())
    return tuple(
        str(Missing(", ".join(what), ", ".join(filter(None, whose)), how))
        for (whose, how), what in figures.items()
    )


def _grouped(pairs: Iterable[tuple[Key, str]]) -> dict[Key, tuple[str, ...]]:
    """Group pairs by their first item: return for each key its distinct values, in order."""
    groups: dict[Key, dict[str, None]] = {}
    for key, one in pairs:
        groups.setdefault(key, {})[one] = None
    return {key: tuple(group) for key, group in groups.items()}


class Results:
    """The results of stored runs, by subject; runs can be added in any order."""

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._figures: dict[tuple[Subject, str, Point], Figure] = {}
        self._history: dict[tuple[Subject, str, Point], list[float]] = {}
        self._newest: dict[Subject, Newest] = {}
        self._tests: dict[tuple[Subject, str, str], Newest] = {}
        self._since: dict[str, str] = {}
        for run in runs:
            self.add(run)

    def add(self, run: Run) -> None:
        """Add a run."""
        subjects = {name: subject_of(facts) for name, facts in run.boards.items()}
        for name, subject in subjects.items():
            self._keep_newest(subject, run, name)
            since = self._since.get(subject.os_release, run.taken)
            self._since[subject.os_release] = min(since, run.taken)
        measured = per_boot(run)
        for (board, metric, labels), boots in measured.items():
            if board in subjects:
                values = boot_values(measured, (board, metric, labels))
                self._keep_figure((subjects[board], metric, labels), run, board, boots, values)

    @property
    def subjects(self) -> list[Subject]:
        """All subjects, sorted by model, then real before emulated, then by OS release from the oldest."""
        return sorted(
            self._newest,
            key=lambda s: (
                *(s.model, s.emulated, self._since[s.os_release], s.os_release, s.altered),
                s.load_from,
            ),
        )

    @property
    def of_models(self) -> list[Subject]:
        """The subjects that represent their models: all except altered boards."""
        return [subject for subject in self.subjects if not subject.altered]

    @property
    def os_releases(self) -> list[str]:
        """All OS releases, in the order in which they were first measured."""
        return sorted(self._since, key=lambda release: (self._since[release], release))

    def newest(self, subject: Subject) -> Newest:
        """Return the newest run of a subject, completed from earlier runs of the same boards."""
        newest = self._newest[subject]
        found = replace(newest, entries=[], earlier={})
        for (whose, board, experiment), tests in self._tests.items():
            if whose == subject and board in newest.boards:
                found.entries += tests.entries
                if tests.run != newest.run:
                    found.earlier[board, experiment] = tests.taken
        return found

    def figure(self, subject: Subject, metric: str, labels: Mapping[str, object]) -> Figure | None:
        """Return the newest figure of a subject's metric at these labels, or None if no run has it."""
        return self._figures.get((subject, metric, point(labels)))

    def points(self, metric: str, subjects: Collection[Subject] | None = None) -> list[dict[str, str]]:
        """Return each set of labels with which a metric was measured on any of these subjects (None: all)."""
        found = {
            labels
            for subject, name, labels in self._figures
            if name == metric and (subjects is None or subject in subjects)
        }
        return [dict(labels) for labels in sorted(found)]

    def metrics(self) -> list[str]:
        """Return the names of the metrics that were measured."""
        return sorted({metric for _, metric, _ in self._figures})

    @property
    def places(self) -> list[str]:
        """The places that the load came from: the controller and sites."""
        return sorted({subject.load_from for subject in self.subjects})

    def releases(
        self,
        model: str,
        *,
        emulated: bool,
        metric: str,
        labels: Mapping[str, object],
        load_from: str = CONTROLLER,
    ) -> list[tuple[str, float]]:
        """Return (OS release, median of all boots' values) for each OS release of a model, oldest first."""
        wanted = (model, emulated, load_from)
        there = [s for s in self.of_models if (s.model, s.emulated, s.load_from) == wanted]
        return [
            (s.os_release, statistics.median(self._history[key]))
            for s in there
            if (key := (s, metric, point(labels))) in self._history
        ]

    def of_model(
        self, model: str, metric: str, labels: Mapping[str, object], *, load_from: str | None = None
    ) -> tuple[Subject, Figure]:
        """Return the newest figure of a model, from a real board if possible; raises Missing.

        With `load_from`, only figures with load from that place count.
        """
        found = [
            (subject, figure)
            for subject in self.of_models
            if subject.model == model
            and load_from in (None, subject.load_from)
            and (figure := self.figure(subject, metric, labels)) is not None
        ]
        if not found:
            raise Missing(at_point(metric, labels), model)
        return max(found, key=lambda pair: (not pair[0].emulated, pair[1].taken))

    def _keep_newest(self, subject: Subject, run: Run, board: str) -> None:
        kept = self._newest.get(subject)
        if kept is None or (kept.run != run.id and run.taken >= kept.taken):
            kept = self._newest[subject] = Newest(run.id, run.taken, {}, [])
        if kept.run == run.id:
            kept.boards[board] = run.boards[board]
        for entry in run.entries:
            if entry.board == board and not entry.stage:
                self._keep_test(subject, run, entry)

    def _keep_test(self, subject: Subject, run: Run, entry: Entry) -> None:
        key = (subject, entry.board, entry.experiment)
        kept = self._tests.get(key)
        if kept is None or (kept.run != run.id and run.taken >= kept.taken):
            kept = self._tests[key] = Newest(run.id, run.taken, {}, [])
        if kept.run == run.id:
            kept.entries.append(entry)

    def _keep_figure(
        self,
        key: tuple[Subject, str, Point],
        run: Run,
        board: str,
        boots: Mapping[int, Sequence[Measurement]],
        values: Sequence[float],
    ) -> None:
        self._history.setdefault(key, []).extend(values)
        kept = self._figures.get(key)
        if kept is None or (kept.run != run.id and run.taken >= kept.taken):
            kept = self._figures[key] = Figure(run.id, run.taken, boots[max(boots)][-1])
        if kept.run == run.id:
            kept.boots += values
            kept.measurements += (m for ms in boots.values() for m in ms)
            kept.gaps += run.boards[board].not_emulated


PerBoot = dict[tuple[str, str, Point], dict[int, list[Measurement]]]
"""Measurements by (board, metric, point), and then by boot."""


def per_boot(run: Run, stage: str = "") -> PerBoot:
    """Return the valid measurements of a run by (board, metric, point), and then by boot."""
    found: PerBoot = {}
    for entry, measurement in run.trusted(stage):
        key = (entry.board, measurement.metric, point(measurement.labels))
        found.setdefault(key, {}).setdefault(entry.boot, []).append(measurement)
    return found


def boot_values(measured: PerBoot, key: tuple[str, str, Point]) -> list[float]:
    """Return a value for each boot, in order: the median of the boot's repetitions.

    The value of a page time under load is instead ab's mean time per request, as in the paper: the number of
    clients divided by the throughput. The median of single requests depends on the order in which a server
    accepts clients that all start at once; the mean does not.
    """
    board, metric, labels = key
    values = _medians(measured[key])
    rates = measured.get((board, THROUGHPUT, labels), {})
    clients = dict(labels).get("clients", "")
    if metric != PAGE_TIME or rates.keys() != measured[key].keys() or not clients.isdecimal():
        return values
    throughputs = _medians(rates)
    return [int(clients) / rate for rate in throughputs] if all(throughputs) else values


def _medians(boots: Mapping[int, Sequence[Measurement]]) -> list[float]:
    return [statistics.median(m.median for m in boots[boot]) for boot in sorted(boots)]


def point(labels: Mapping[str, object]) -> Point:
    """Return labels in canonical form, without those that describe how a figure was obtained."""
    return tuple(sorted((key, str(value)) for key, value in labels.items() if key not in BESIDE))


def at_point(metric: str, labels: Mapping[str, object]) -> str:
    """Return a metric with its label values, such as "serving.page_time (docker 50)"."""
    at = " ".join(str(value) for value in labels.values())
    return f"{metric} ({at})" if at else metric


def subject_of(facts: Fingerprint) -> Subject:
    """Return the subject that a board with this fingerprint belongs to."""
    release = facts.hypriot_image_version
    system = facts.os_release or "an unknown system"
    return Subject(
        facts.model,
        facts.emulated,
        f"{system}, HypriotOS image {release}" if release and release not in system else system,
        facts.altered,
        facts.load_from,
    )
