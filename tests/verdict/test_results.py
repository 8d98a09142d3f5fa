"""Stored runs, folded: the newest figures of each board model and OS release, and their history."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_microcloud.runs import Run, load
from pytest_microcloud.runs.fingerprint import Fingerprint
from pytest_microcloud.verdict.results import Missing, Results, Subject
from tests.support import run_files
from tests.support.run_files import BOOKWORM, TRIXIE, emulated, fingerprint

PI3B = Subject("pi3b", False, BOOKWORM)


@pytest.fixture
def shelf(tmp_path: Path) -> list[Run]:
    """An old run and a new one of the same board, with figures of ten boots and of two."""
    old = run_files.boots("startup.ready_time", [15.0] * 10)
    new = run_files.boots("startup.ready_time", [11.0, 13.0])
    return [
        run_files.run(tmp_path / "1.json", old, taken="2026-01-01T00:00:00+00:00"),
        run_files.run(tmp_path / "2.json", new, taken="2026-02-01T00:00:00+00:00"),
    ]


def test_the_newest_run_counts_in_whatever_order_they_are_read(shelf: list[Run]) -> None:
    for runs in itertools.permutations(shelf):
        figure = Results(runs).figure(PI3B, "startup.ready_time", {})
        assert figure is not None
        assert (figure.run, figure.boots, figure.median) == ("2", [11.0, 13.0], 12.0)
        assert Results(runs).newest(PI3B).run == "2"


def test_a_newer_run_without_a_figure_leaves_the_older_one(shelf: list[Run], tmp_path: Path) -> None:
    other = run_files.boots("io.memory_time", [0.1], size="1MiB")
    last = run_files.run(tmp_path / "3.json", other, taken="2026-03-01T00:00:00+00:00")
    results = Results([*shelf, last])
    figure = results.figure(PI3B, "startup.ready_time", {})
    assert figure is not None
    assert (figure.run, results.newest(PI3B).run) == ("2", "3")


def test_an_experiment_that_the_newest_run_left_out_is_that_of_an_earlier_one(
    shelf: list[Run], tmp_path: Path
) -> None:
    other = run_files.boots("io.memory_time", [0.1], size="1MiB")
    last = run_files.run(tmp_path / "3.json", other, taken="2026-03-01T00:00:00+00:00")
    for runs in itertools.permutations([*shelf, last]):
        newest = Results(runs).newest(PI3B)
        assert {entry.experiment: len(entry.measurements) for entry in newest.entries} == {
            "io": 1,
            "startup": 1,
        }
        assert len(newest.entries) == 3
        assert newest.earlier == {("desk", "startup"): "2026-02-01T00:00:00+00:00"}


def test_a_newer_figure_that_cannot_be_trusted_leaves_the_older_one(shelf: list[Run], tmp_path: Path) -> None:
    hot = [run_files.benchmark("startup.ready_time", [99.0], verdict="invalid")]
    results = Results([*shelf, run_files.run(tmp_path / "3.json", hot, taken="2026-03-01T00:00:00+00:00")])
    figure = results.figure(PI3B, "startup.ready_time", {})
    assert figure is not None
    assert figure.run == "2"


def test_a_boot_counts_by_the_median_of_its_repetitions(tmp_path: Path) -> None:
    benchmarks = [
        run_files.benchmark("startup.ready_time", [10.0, 11.0, 90.0], boot=1),
        run_files.benchmark("startup.ready_time", [20.0, 21.0, 22.0], boot=2),
        run_files.benchmark("startup.ready_time", [30.0], boot=3),
    ]
    figure = Results([run_files.run(tmp_path / "1.json", benchmarks)]).figure(PI3B, "startup.ready_time", {})
    assert figure is not None
    assert figure.boots == [11.0, 21.0, 30.0]
    assert figure.median == 21.0
    assert figure.quartiles == (16.0, 25.5)


def test_one_boot_has_no_spread(tmp_path: Path) -> None:
    run = run_files.run(tmp_path / "1.json", [run_files.benchmark("startup.ready_time", [10.0])])
    figure = Results([run]).figure(PI3B, "startup.ready_time", {})
    assert figure is not None
    assert figure.quartiles is None


def monthly(directory: Path, kinds: list[dict[str, Any]]) -> list[Run]:
    """Return a run a month, each of one board with that fingerprint."""
    return [
        run_files.run(
            directory / f"{number}.json",
            run_files.boots("startup.ready_time", [10.0 + number]),
            {"desk": facts},
            taken=f"2026-0{number}-01T00:00:00+00:00",
        )
        for number, facts in enumerate(kinds, 1)
    ]


def test_real_and_emulated_boards_and_os_releases_are_kept_apart(tmp_path: Path) -> None:
    kinds = [fingerprint(), emulated(), fingerprint(os_release=TRIXIE), fingerprint("pi2b")]
    runs = monthly(tmp_path, kinds)
    results = Results(runs)
    assert results.subjects == [
        Subject("pi2b", False, BOOKWORM),
        PI3B,
        Subject("pi3b", False, TRIXIE),
        Subject("pi3b", True, BOOKWORM),
    ]
    assert results.releases("pi3b", emulated=False, metric="startup.ready_time", labels={}) == [
        (BOOKWORM, 11.0),
        (TRIXIE, 13.0),
    ]
    subject, figure = results.of_model("pi3b", "startup.ready_time", {})
    assert (subject.os_release, figure.median) == (TRIXIE, 13.0)


def test_a_real_board_is_preferred_to_a_newer_emulated_one(tmp_path: Path) -> None:
    real = run_files.run(
        tmp_path / "1.json", run_files.boots("startup.ready_time", [15.0]), taken="2026-01-01T00:00:00+00:00"
    )
    newer = run_files.run(
        tmp_path / "2.json",
        run_files.boots("startup.ready_time", [2.0]),
        {"desk": emulated()},
        taken="2026-02-01T00:00:00+00:00",
    )
    subject, figure = Results([real, newer]).of_model("pi3b", "startup.ready_time", {})
    assert (subject.emulated, figure.median) == (False, 15.0)


def of_cpu(**made_of: object) -> dict[str, Any]:
    return emulated(made_of={"image": "bookworm", **made_of})


def test_an_altered_board_is_a_subject_of_its_own_and_stands_for_no_model(tmp_path: Path) -> None:
    kinds = [of_cpu(altered=[]), of_cpu(altered=["a link of 10 Mbit/s"]), of_cpu(cpu_share=0.8)]
    results = Results(monthly(tmp_path, kinds))
    whole = Subject("pi3b", True, BOOKWORM)
    assert results.subjects == [
        whole,
        Subject("pi3b", True, BOOKWORM, ("0.8 of the model's CPU",)),
        Subject("pi3b", True, BOOKWORM, ("a link of 10 Mbit/s",)),
    ]
    assert results.of_models == [whole]
    subject, figure = results.of_model("pi3b", "startup.ready_time", {})
    assert (subject, figure.median) == (whole, 11.0)
    assert results.releases("pi3b", emulated=True, metric="startup.ready_time", labels={}) == [
        (BOOKWORM, 11.0)
    ]


@pytest.mark.parametrize(
    "made_of", [{}, {"cpu_share": 1.0}, {"cpu_share": 0.8, "altered": []}, {"altered": []}]
)
def test_a_board_without_alterations_is_unaltered(made_of: dict[str, object]) -> None:
    assert Fingerprint(made_of=made_of).altered == ()


@pytest.mark.parametrize("made_of", [None, 3, {"altered": 3}, {"cpu_share": "x"}, {"cpu_share": -1.0}])
def test_a_fingerprint_of_other_types_is_refused(made_of: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        Fingerprint.of({"made_of": made_of})


def test_a_figure_that_no_run_has_is_missing_by_name(shelf: list[Run]) -> None:
    with pytest.raises(Missing, match=r"^serving\.page_time \(docker 50\) of pi3b$"):
        Results(shelf).of_model("pi3b", "serving.page_time", {"setting": "docker", "clients": 50})
    with pytest.raises(Missing, match=r"^startup\.ready_time of pi1b$"):
        Results(shelf).of_model("pi1b", "startup.ready_time", {})


def test_how_a_figure_came_to_be_does_not_tell_it_from_others(tmp_path: Path) -> None:
    counts = [
        run_files.benchmark("hosting.containers", [80.0], boot=1, workload="httpd", basis="filled"),
        run_files.benchmark("hosting.containers", [82.0], boot=2, workload="httpd", basis="projected"),
    ]
    results = Results([run_files.run(tmp_path / "1.json", counts)])
    figure = results.figure(PI3B, "hosting.containers", {"workload": "httpd"})
    assert figure is not None
    assert figure.boots == [80.0, 82.0]
    assert results.points("hosting.containers") == [{"workload": "httpd"}]


def test_boots_of_a_confirmation_are_in_no_figure(tmp_path: Path) -> None:
    benchmarks = [
        *run_files.boots("startup.ready_time", [15.0]),
        *run_files.boots("startup.ready_time", [99.0], stage="candidate"),
    ]
    figure = Results([run_files.run(tmp_path / "1.json", benchmarks)]).figure(PI3B, "startup.ready_time", {})
    assert figure is not None
    assert figure.boots == [15.0]


def test_a_release_of_hypriotos_has_its_version_in_its_name(tmp_path: Path) -> None:
    buster = "Raspbian GNU/Linux 10 (buster)"
    there = []
    for number, version in enumerate(("v1.11.0", "v1.12.2"), 1):
        file = run_files.store(
            tmp_path / f"{number}.json",
            run_files.boots("startup.ready_time", [float(number)]),
            {"desk": fingerprint(os_release=buster, hypriot_image_version=version)},
            taken=f"2026-0{number}-01T00:00:00+00:00",
        )
        there.append(load(file))
    results = Results(there)
    assert [subject.os_release for subject in results.subjects] == [
        f"{buster}, HypriotOS image v1.11.0",
        f"{buster}, HypriotOS image v1.12.2",
    ]


def test_samples_and_verdict_are_those_of_all_boots(tmp_path: Path) -> None:
    benchmarks = [
        run_files.benchmark("startup.ready_time", [10.0, 11.0], boot=1, verdict="infeasible"),
        run_files.benchmark("startup.ready_time", [20.0], boot=2),
    ]
    figure = Results([run_files.run(tmp_path / "1.json", benchmarks)]).figure(PI3B, "startup.ready_time", {})
    assert figure is not None
    assert figure.samples == [10.0, 11.0, 20.0]
    assert figure.verdict == "infeasible"


def test_boards_whose_load_came_from_two_places_are_kept_apart(tmp_path: Path) -> None:
    kinds = [fingerprint(), fingerprint(load_from="rack1")]
    results = Results(monthly(tmp_path, kinds))
    at_site = Subject("pi3b", False, BOOKWORM, load_from="rack1")
    assert results.subjects == [PI3B, at_site]
    assert results.places == ["controller", "rack1"]
    here, there = (
        results.of_model("pi3b", "startup.ready_time", {}, load_from=place)[1].median
        for place in results.places
    )
    assert (here, there) == (11.0, 12.0)
