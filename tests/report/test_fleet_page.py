"""The page of a fleet: which boards deviate, strip plots, drift; in a real browser and on the terminal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_microcloud.cli import main
from pytest_microcloud.report import deviations, fleet_page, parts, run_directory, strips
from pytest_microcloud.verdict import outliers
from tests.support import fleets, run_files
from tests.support.browser import chromium
from tests.support.fake_boards import Project, said

HOSTILE = "</script><img src=x onerror=document.documentElement.dataset.owned=1>"
SLOW_CARD = {"pi3b-7": {"io.disk_write_time": 2.5}}


def page_of(directory: Path) -> str:
    stored = run_directory.read(directory)
    return fleet_page.page(stored, fleet_page.fleets(stored))


def test_a_bad_card_is_on_top_with_value_median_and_cause(tmp_path: Path) -> None:
    html = page_of(fleets.write(tmp_path, 8, slower=SLOW_CARD))
    top = html.partition('id="fleet-0"')[0]
    assert "times the median of its fleet (8 boards)" in top
    assert "Possible cause: the SD card" in top
    assert "in a fleet of equal boards" in top
    assert "No board deviates" not in top


def test_equal_boards_have_strip_plots_and_nothing_that_deviates(tmp_path: Path) -> None:
    html = page_of(fleets.write(tmp_path, 8))
    assert "No board deviates from its fleet." in html
    assert html.count('class="mc-plot"') == 7
    assert "Nothing can be drawn relative to a median of 0." in html


def test_too_few_boards_are_named_and_not_compared(tmp_path: Path) -> None:
    html = page_of(fleets.write(tmp_path, 3))
    assert "No fleet has enough boards to compare them." in html
    assert "pi3b, Debian 12 (bookworm): 3 boards: pi3b-1, pi3b-2, pi3b-3." in html
    assert "measured on 5 boards of a fleet" in html


def test_a_directory_without_runs_makes_a_page_that_says_so(tmp_path: Path) -> None:
    assert "No run is stored yet." in page_of(tmp_path)


def test_drift_is_in_the_table_with_its_noise(tmp_path: Path) -> None:
    html = page_of(fleets.write(tmp_path, 5, sessions=10, drift={"pi3b-2": ("io.disk_write_time", 1.08)}))
    assert "1 of 40 changes is reported as drift" in html
    drift = html.partition('<figure class="mc-figure" id="drift"')[2].partition("</figure>")[0]
    first_row = drift.partition("<tbody>")[2].partition("</tr>")[0]
    assert "pi3b-2" in first_row
    assert "worse" in first_row


def test_reading_again_makes_the_same_page(tmp_path: Path) -> None:
    fleets.write(tmp_path, 6, slower=SLOW_CARD)
    assert page_of(tmp_path) == page_of(tmp_path)


def test_serial_numbers_and_addresses_are_nowhere(tmp_path: Path) -> None:
    html = page_of(fleets.write(tmp_path, 5, serial="00000000765fc593", address="192.0.2.13"))
    assert "00000000765fc593" not in html
    assert "192.0.2.13" not in html


def test_a_large_fleet_keeps_the_page_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleets.write(tmp_path, 40, slower=SLOW_CARD)
    whole = len(page_of(tmp_path).encode())
    monkeypatch.setattr(parts, "LARGEST_BYTES", whole - 100_000)
    html = page_of(tmp_path)
    assert len(html.encode()) <= whole - 100_000
    assert "numbers that deviate most" in html
    assert "pi3b-7" in html.partition('id="fleet-0"')[0]


def test_many_boards_that_deviate_share_a_legend_entry(tmp_path: Path) -> None:
    slow = {f"pi3b-{number}": {"io.disk_write_time": 3.0} for number in range(1, 10)}
    stored = run_directory.read(fleets.write(tmp_path, 40, slower=slow))
    (fleet,) = fleet_page.fleets(stored)
    rules = outliers.shipped()
    write = next(group for group in fleet.groups if group.id == "write")
    plot = strips.strip("x", fleet, write, rules, 50, 4000)
    assert plot.traces[0]["name"] == strips.REST
    assert len(plot.traces) == 2 + strips.MOST_NAMED
    assert sum(len(trace["x"]) for trace in plot.traces) == 40 * 5
    assert len(plot.rows) == 50


def test_a_value_without_a_ratio_is_given_in_words(tmp_path: Path) -> None:
    measured = [
        run_files.benchmark("serving.failures", [9.0 if name == "b7" else 0.0], board=name)
        for name in (f"b{number}" for number in range(8))
    ]
    boards = {f"b{number}": run_files.fingerprint() for number in range(8)}
    run_files.store(tmp_path / "1.json", measured, boards)
    judged = fleet_page.fleets(run_directory.read(tmp_path))
    (line,) = deviations.lines(judged, boards, "fleet.html")
    assert line == "b7: serving.failures is 9, and the median of its fleet is 0 (8 boards), see fleet.html"


@pytest.mark.parametrize(
    ("factor", "words"),
    [(2.5, "2.5 times the median"), (1.4, "40% above the median"), (0.7, "30% below the")],
)
def test_a_deviation_is_a_factor_or_a_percentage(tmp_path: Path, factor: float, words: str) -> None:
    measured = [
        run_files.benchmark("startup.ready_time", [15.0 * (factor if name == "b7" else 1)], board=name)
        for name in (f"b{number}" for number in range(8))
    ]
    boards = {f"b{number}": run_files.fingerprint() for number in range(8)}
    run_files.store(tmp_path / "1.json", measured, boards)
    judged = fleet_page.fleets(run_directory.read(tmp_path))
    (line,) = deviations.lines(judged, ["b7"], "fleet.html")
    assert words in line
    assert list(deviations.lines(judged, ["b0"], "fleet.html")) == []


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium")
def test_the_page_draws_fits_a_phone_and_keeps_text_as_text(tmp_path: Path) -> None:
    runs = fleets.write(
        tmp_path / "runs", 6, slower={"pi3b-2": {"io.memory_time": 9.0}}, sessions=6, os_release=HOSTILE
    )
    (tmp_path / "fleet.html").write_text(page_of(runs))
    with chromium(tmp_path / "profile") as browser:
        page = browser.open(tmp_path / "fleet.html", width=360)
        assert page.said == []
        assert [url for url in page.asked if not url.startswith("data:")] == []
        assert page.run("document.documentElement.dataset.owned") is None
        assert page.run("document.images.length") == 0
        assert page.run("document.documentElement.scrollWidth") <= 360
        points = page.run(
            "document.querySelector('#plot-fleet-0-0').data.map(trace => [trace.name, trace.x.length])"
        )
        assert points == [[strips.REST, 25], ["pi3b-2", 5]]
        assert page.run("document.querySelectorAll('#plot-fleet-0-0 path.point').length") == 30
        assert page.run("document.querySelectorAll('#plot-drift g.trace').length") == strips.MOST_LINES


def test_the_command_writes_the_page_and_prints_what_deviates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = fleets.write(tmp_path / "runs", 8, slower=SLOW_CARD)
    (runs / "half.json").write_text("{")
    page = tmp_path / "fleet.html"
    assert main(["fleet", f"--runs={runs}", f"--output={page}"]) == 0
    output = capsys.readouterr()
    line, where = output.out.splitlines()
    assert line.startswith("pi3b-7: io.disk_write_time (")
    assert line.endswith("times the median of its fleet (8 boards), see fleet.html")
    assert where == str(page)
    assert "half.json" in output.err
    assert "half.json" in page.read_text()


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(pytester, monkeypatch)
    project.tests("def test_it(measure, board):\n    measure(took, board)")
    return project


def test_a_session_prints_the_board_that_deviates_and_where_the_page_is(project: Project) -> None:
    project.hosts(**{name: {} for name in ("b1", "b2", "b3", "b4", "b5", "worn")})
    project.tests(
        "def test_it(measure, board):\n    measure(took, board, 2.0 if board.name == 'worn' else 1.0)"
    )
    result = project.run("-n", "2")
    result.stdout.fnmatch_lines(
        ["worn: io.memory_time is 2 times the median of its fleet (6 boards), see fleet.html"]
    )
    page = project.path / "reports" / "fleet.html"
    assert f"page of all boards: {page.as_uri()}" in result.outlines
    assert "worn" in page.read_text()


def test_a_session_of_one_board_writes_no_page_of_a_fleet(project: Project) -> None:
    result = project.run()
    assert "all runs: " in said(result)
    assert "fleet.html" not in said(result)
    assert not (project.path / "reports" / "fleet.html").exists()
