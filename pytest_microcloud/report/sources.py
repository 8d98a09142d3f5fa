"""What a page draws a curve of: each board of a run, or each model and OS release over all runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pytest_microcloud.catalog import Catalog
from pytest_microcloud.runs import Run
from pytest_microcloud.verdict.results import Figure, Results, Subject


@dataclass(frozen=True)
class Source:
    """What a curve or bar shows: a board, or a model under an OS release.

    `name` is unique, and says whether the source is emulated. `newest` is False for an OS release if a later
    one of the same model was measured, and for altered boards, which do not represent their model.
    """

    name: str
    model: str
    emulated: bool
    results: Results
    subject: Subject
    newest: bool = True

    def figures(self, metric: str) -> Iterator[tuple[dict[str, str], Figure]]:
        """Yield (labels, `Figure`) for every set of labels with which a metric was measured."""
        for labels in self.results.points(metric, (self.subject,)):
            figure = self.results.figure(self.subject, metric, labels)
            if figure is not None:
                yield labels, figure


def of_run(run: Run) -> list[Source]:
    """Return a source for each board of one run."""
    sources = []
    for name, facts in run.boards.items():
        results = Results([replace(run, boards={name: facts})])
        (subject,) = results.subjects
        title = ", ".join((name, *_kind(subject)))
        sources.append(Source(title, subject.model, subject.emulated, results, subject))
    return sources


def of_results(results: Results, catalog: Catalog, most: int) -> list[Source]:
    """Return a source for each model and OS release: boards from slowest to fastest, then cloud VMs.

    At most `most` sources are chosen: the newest release of each model, then those that were measured last.
    """
    subjects = sorted(results.subjects, key=lambda subject: _rank(subject.model, catalog))
    by_age = sorted(subjects, key=lambda subject: results.newest(subject).taken, reverse=True)
    models = {_represented(subject): subject for subject in reversed(by_age) if not subject.altered}
    chosen = set([*models.values(), *by_age][:most])
    return [
        Source(
            name_of(subject),
            subject.model,
            subject.emulated,
            results,
            subject,
            newest=models.get(_represented(subject)) == subject,
        )
        for subject in subjects
        if subject in chosen
    ]


def _represented(subject: Subject) -> tuple[str, bool, str]:
    """Return what a subject represents under any OS release: model, emulated or not, where load came from."""
    return subject.model, subject.emulated, subject.load_from


def _rank(model: str, catalog: Catalog) -> tuple[bool, float, float, str]:
    """Return the key that sorts models by performance, and so by generation."""
    if model not in catalog.models:
        return False, float("inf"), 0, model
    known = catalog.models[model]
    return known.kind == "vm", known.sevenzip_mips_all_cores, known.mem_total_bytes, model


def name_of(subject: Subject) -> str:
    """Return a subject's name: model, emulated or not, what was altered, where load came from, OS release."""
    return ", ".join((subject.model, *_kind(subject), short(subject.os_release)))


def _kind(subject: Subject) -> tuple[str, ...]:
    place = filter(None, (subject.place,))
    return (*(("emulated",) if subject.emulated else ()), *subject.altered, *place)


def short(os_release: str) -> str:
    """Return the name of an OS release without "GNU/Linux"."""
    return os_release.replace("GNU/Linux ", "")
