"""Selects the measured values (`Figure`) against which claims are checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_microcloud.catalog import metric as known_metric
from pytest_microcloud.verdict.results import Figure, Missing, Results, at_point


class Figures:
    """Returns the newest values of models; `emulated` collects the models whose returned values are emulated.

    An emulated board's figure counts as missing if the board has a gap (a sentence about something that was
    not emulated) that begins with one of `needs`. If a metric depends on where the load came from, only
    figures with the load from `place` count.
    """

    def __init__(self, results: Results, needs: Sequence[str], place: str) -> None:
        self._results = results
        self._needs = tuple(needs)
        self._place = place
        self._models = {subject.model for subject in results.of_models}
        self.emulated: dict[str, None] = {}

    def has(self, model: str) -> bool:
        """Return whether any run has a board of a model."""
        return model in self._models

    def median(self, model: str, metric: str, labels: Mapping[str, object]) -> float:
        """Return the median of a model's metric over the boots (SI units); raises Missing."""
        subject, figure = self._results.of_model(model, metric, labels, load_from=self._place_of(metric))
        if subject.emulated:
            if gap := self._left_out(figure):
                raise Missing(at_point(metric, labels), model, gap)
            self.emulated[model] = None
        return figure.median

    def _place_of(self, metric: str) -> str | None:
        """Return where the load of the metric's measurements must have come from; None means anywhere."""
        return self._place if known_metric(metric).from_outside else None

    def _left_out(self, figure: Figure) -> str:
        """Return a text on which of `needs` was not emulated, and its substitute; empty if all were."""
        for gap in figure.gaps:
            if self._needs and gap.startswith(self._needs):
                need, _, instead = gap.partition(": ")
                return f" measured with {need} (emulated: {instead or 'without it'})"
        return ""

    def points(self, metric: str, *models: str) -> list[dict[str, str]]:
        """Return each set of labels with which the metric was measured on all of these models."""
        of_each = [
            self._results.points(
                metric,
                [
                    subject
                    for subject in self._results.of_models
                    if subject.model == model and self._place_of(metric) in (None, subject.load_from)
                ],
            )
            for model in models
        ]
        return [labels for labels in of_each[0] if all(labels in others for others in of_each[1:])]

    def lacking(self, metric: str, *models: str) -> list[Missing]:
        """Return what is missing, given that no set of labels was measured on all of these models."""
        without = [Missing(metric, model) for model in models if not self.points(metric, model)]
        return without or [Missing(metric, " and ".join(models), " at the same point")]
