"""The record of an experiment: contradictions are refused, and other modules get what they need."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from pytest_microcloud import Axis, Chart, Experiment, Metric, Step
from pytest_microcloud.catalog import Catalog, Description
from pytest_microcloud.errors import CatalogError, UserMistake
from pytest_microcloud.experiments import shipped
from pytest_microcloud.experiments.record import axes

RATE = Metric("wire.rate", "B/s", "higher", "bytes per second")
WORSE: Any = "worse"
PIE: Any = "pie"


def wire(**how: Any) -> Experiment:
    return Experiment(**{"name": "wire", "metrics": (RATE,)} | how)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"name": "Wire speed"}, "its name must consist of lower-case letters"),
        ({"metrics": ()}, "it has no metrics"),
        ({"metrics": (Metric("rate", "B/s", "higher"),)}, r"must be named wire\."),
        ({"metrics": (RATE, RATE)}, "two metrics 'wire.rate'"),
        ({"metrics": (Metric("wire.rate", "B/s", WORSE),)}, 'better must be "lower" or "higher"'),
        ({"metrics": (Metric("wire.rate", "", "higher"),)}, "has no unit"),
        ({"headline": "wire.rat"}, "it has no metric 'wire.rat'; did you mean 'wire.rate'?"),
        ({"figures": (Chart(title="T", metrics={"wire.late": "late"}, x="size"),)}, "no metric 'wire.late'"),
        ({"figures": (Chart(title="T", metrics={}, x="size"),)}, "it shows no metrics"),
        ({"figures": (Chart(title="T", metrics={"wire.rate": "rate"}),)}, "curves need x, the label"),
        ({"figures": (Chart(title="T", metrics={"wire.rate": "rate"}, kind=PIE),)}, "'pie' is not one of"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(UserMistake, match=message):
        wire(**how)


def test_an_unknown_symptom_is_refused_with_the_nearest() -> None:
    with pytest.raises(CatalogError, match="no symptom is named 'swapp'; did you mean 'swap'"):
        wire(tolerates=("swapp",))


def test_the_points_of_an_axis_are_those_of_the_effort(catalog: Catalog) -> None:
    quick = catalog.effort("quick")
    assert Axis((1, 2)).at(quick, catalog) == [1, 2]
    assert Axis({"quick": [3]}).at(quick, catalog) == [3]
    assert Axis(lambda effort, _: [effort.id]).at(quick, catalog) == ["quick"]
    with pytest.raises(UserMistake, match="no points for the effort paper, only for quick"):
        Axis({"quick": [3]}).at(catalog.effort("paper"), catalog)


def test_an_experiments_own_axis_takes_precedence_over_others() -> None:
    own, other = Axis((1,)), Axis((2,))
    known = {"wire": wire(axes={"size": own}), "air": wire(axes={"size": other, "channel": other})}
    assert axes(known, "wire")["size"] is own
    assert axes(known, "air")["size"] is other
    assert axes(known, "else") == {"size": own, "channel": other}


def test_an_estimate_is_a_number_or_a_function_of_the_step(catalog: Catalog) -> None:
    pi3b = catalog.model("pi3b")
    step = Step("test", {"size": 3}, pi3b, catalog.effort("quick"), catalog)
    assert wire(estimate=4).step_s(step) == 4.0
    assert wire(estimate=lambda step: 2 * step.parameters["size"]).step_s(step) == 6.0
    assert step.slowness == pytest.approx(4000 / pi3b.sevenzip_mips_all_cores)


@pytest.mark.parametrize("experiment", list(shipped()), ids=lambda experiment: experiment.name)
def test_a_description_is_unchanged_after_storing_and_reading_it(experiment: Experiment) -> None:
    stored = json.loads(json.dumps(experiment.as_dict()))
    assert msgspec.convert(stored, Description) == experiment.description
    assert "estimate" not in stored
