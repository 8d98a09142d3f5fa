"""Board × experiment: the verdict, the one number that matters, the reasons."""

from __future__ import annotations

import itertools

import pytest

from pytest_microcloud.catalog import Catalog
from pytest_microcloud.measurement import Measurement
from pytest_microcloud.runs import WORST_FIRST, Entry
from pytest_microcloud.verdict.matrix import matrix


def entry(
    verdict: str, reason: str = "", *measurements: Measurement, board: str = "desk", experiment: str = "io"
) -> Entry:
    return Entry(board, experiment, "test_it", verdict, reason, list(measurements))


def disk_write(seconds: float, size: str) -> Measurement:
    return Measurement("io.disk_write_time", [seconds], {"size": size})


def test_every_board_has_a_cell_for_every_experiment(catalog: Catalog) -> None:
    table = matrix(
        [entry("feasible"), entry("error", board="shelf", experiment="hosting")], catalog.experiments
    )
    assert list(table) == ["desk", "shelf"]
    for cells in table.values():
        assert list(cells) == ["serving", "hosting", "io", "startup"]
    assert table["shelf"]["io"].verdict == table["desk"]["hosting"].verdict == "not measured"
    assert (table["desk"]["io"].verdict, table["shelf"]["hosting"].verdict) == ("feasible", "error")


def test_an_experiment_of_a_users_own_gets_a_column(catalog: Catalog) -> None:
    table = matrix(
        [entry("infeasible", "too hot", experiment="heat"), entry("feasible")], catalog.experiments
    )
    assert list(table["desk"]) == ["serving", "hosting", "io", "startup", "heat"]
    assert (table["desk"]["heat"].verdict, table["desk"]["heat"].reasons) == ("infeasible", ("too hot",))


@pytest.mark.parametrize(("worse", "better"), list(itertools.combinations(WORST_FIRST, 2)))
def test_the_worst_verdict_of_an_experiments_tests_counts(worse: str, better: str, catalog: Catalog) -> None:
    for pair in ([entry(worse), entry(better)], [entry(better), entry(worse)]):
        assert matrix(pair, catalog.experiments)["desk"]["io"].verdict == worse


def test_nothing_that_was_tested_is_called_feasible_when_a_part_is_not(catalog: Catalog) -> None:
    cell = matrix([entry("feasible"), entry("not measured", "no image")], catalog.experiments)["desk"]["io"]
    assert (cell.verdict, cell.reasons) == ("feasible", ("no image",))


def test_reasons_are_listed_once_each_and_only_of_what_is_not_feasible(catalog: Catalog) -> None:
    entries = [
        entry("error", "no SSH connection"),
        entry("error", "no SSH connection"),
        entry("infeasible", "too slow"),
        entry("infeasible"),
        entry("feasible", "less than 50 MB were left"),
    ]
    assert matrix(entries, catalog.experiments)["desk"]["io"].reasons == ("no SSH connection", "too slow")


def test_the_headline_is_the_number_that_matters_most_wherever_it_stands(catalog: Catalog) -> None:
    entries = [
        entry("feasible", "", Measurement("io.memory_time", [0.002], {"size": "4KiB"})),
        entry("feasible", "", disk_write(0.9, "16MiB"), disk_write(0.012, "4KiB")),
    ]
    assert matrix(entries, catalog.experiments)["desk"]["io"].headline == "disk write time (4KiB) 12 ms"


def test_without_that_number_the_headline_is_the_first_that_was_measured(catalog: Catalog) -> None:
    entries = [
        entry("invalid", "saturated", Measurement("io.disk_write_time", [], {"size": "4KiB"})),
        entry("feasible", "", disk_write(0.9, "16MiB")),
    ]
    assert matrix(entries, catalog.experiments)["desk"]["io"].headline == "disk write time (16MiB) 900 ms"


def test_what_is_invalid_is_no_headline(catalog: Catalog) -> None:
    doubted = disk_write(0.9, "4KiB")
    doubted.verdict = "invalid"
    assert matrix([entry("invalid", "hot", doubted)], catalog.experiments)["desk"]["io"].headline == "–"
    again = entry("feasible", "", disk_write(0.012, "4KiB"), doubted)
    assert matrix([again], catalog.experiments)["desk"]["io"].headline == "disk write time (4KiB) 12 ms"


def test_without_any_number_the_headline_is_a_dash(catalog: Catalog) -> None:
    assert matrix([entry("error", "no")], catalog.experiments)["desk"]["io"].headline == "–"


def test_without_entries_there_is_no_table(catalog: Catalog) -> None:
    assert matrix([], catalog.experiments) == {}


def test_feasible_without_any_limit_behind_it_says_so(catalog: Catalog) -> None:
    cell = matrix([entry("feasible", "", disk_write(0.1, "4KiB"))], catalog.experiments)["desk"]["io"]
    assert (cell.verdict, cell.judged, cell.remark) == ("feasible", False, "no limit judged")


def test_one_judged_limit_is_enough_for_a_verdict_of_its_own(catalog: Catalog) -> None:
    judged = disk_write(0.1, "4KiB")
    judged.limit = {"max": 1.0, "statistic": "median", "source": "me"}
    entries = [entry("feasible", "", disk_write(0.1, "1MiB")), entry("feasible", "", judged)]
    cell = matrix(entries, catalog.experiments)["desk"]["io"]
    assert (cell.verdict, cell.judged, cell.remark) == ("feasible", True, "")


@pytest.mark.parametrize("verdict", [verdict for verdict in WORST_FIRST if verdict != "feasible"])
def test_what_is_not_feasible_needs_no_remark_on_limits(verdict: str, catalog: Catalog) -> None:
    assert matrix([entry(verdict)], catalog.experiments)["desk"]["io"].remark == ""
