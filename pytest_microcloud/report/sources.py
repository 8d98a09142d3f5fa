"""What the curves of a page are of: the boards of a run, or models and OS releases over all runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pytest_microcloud.catalog import Catalog
from pytest_microcloud.runs import Run
from pytest_microcloud.verdict.results import Figure, Results, Subject


@dataclass(frozen=True)
class Source:
    """A board, or a model under an OS release; `name` tells it from all others, and that it is emulated.

    `newest` is False of an OS release after which a later one of the same model was measured, and of
    altered boards, which do not stand for their model.
    """

    name: str
    model: str
    emulated: bool
    results: Results
    subject: Subject
    newest: bool = True

    def figures(self, metric: str) -> Iterator[tuple[dict[str, str], Figure]]:
        """Yield every figure of a metric with the labels it was measured at."""
        for labels in self.results.points(metric, (self.subject,)):
            figure = self.results.figure(self.subject, metric, labels)
            if figure is not None:
                yield labels, figure


def of_run(run: Run) -> list[Source]:
    """Return the boards of one run, each on its own."""
    sources = []
    for name, facts in run.boards.items():
        results = Results([replace(run, boards={name: facts})])
        (subject,) = results.subjects
        told = ", ".join((name, *_kind(subject)))
        sources.append(Source(told, subject.model, subject.emulated, results, subject))
    return sources


def of_results(results: Results, catalog: Catalog, most: int) -> list[Source]:
    """Return models by OS release, boards from the slowest to the fastest and then cloud VMs.

    So many at most: the newest release of each model comes first, then what was measured last.
    """
    subjects = sorted(results.subjects, key=lambda subject: _place(subject.model, catalog))
    by_age = sorted(subjects, key=lambda subject: results.newest(subject).taken, reverse=True)
    models = {
        (subject.model, subject.emulated): subject for subject in reversed(by_age) if not subject.altered
    }
    chosen = set([*models.values(), *by_age][:most])
    return [
        Source(
            name_of(subject),
            subject.model,
            subject.emulated,
            results,
            subject,
            newest=models.get((subject.model, subject.emulated)) == subject,
        )
        for subject in subjects
        if subject in chosen
    ]


def _place(model: str, catalog: Catalog) -> tuple[bool, float, float, str]:
    """Return where a model stands among others: by what it can do, as generations do."""
    if model not in catalog.models:
        return False, float("inf"), 0, model
    known = catalog.models[model]
    return known.kind == "vm", known.sevenzip_mips_all_cores, known.mem_total_bytes, model


def name_of(subject: Subject) -> str:
    """Return a subject in one line: model, whether it is emulated and how altered, OS release."""
    return ", ".join((subject.model, *_kind(subject), short(subject.os_release)))


def _kind(subject: Subject) -> tuple[str, ...]:
    return (*(("emulated",) if subject.emulated else ()), *subject.altered)


def short(os_release: str) -> str:
    """Return an OS release's name as people say it."""
    return os_release.replace("GNU/Linux ", "")
