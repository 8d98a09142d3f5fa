"""The figures: which curves, bars, marks and limits they have, and that their tables agree."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_microcloud import runs
from pytest_microcloud.catalog import Catalog
from pytest_microcloud.measurement import Measurement
from pytest_microcloud.report import figures, sources, trend
from pytest_microcloud.report.plot import Number, Plot, Trace
from pytest_microcloud.runs.fingerprint import Fingerprint
from pytest_microcloud.runs.plan import Plan
from pytest_microcloud.verdict.results import Results
from tests.support import stored
from tests.support.run_files import BOOKWORM, TRIXIE

Write = Callable[..., object]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    return lambda *args, **kwargs: stored.write(tmp_path, *args, **kwargs)


@pytest.fixture
def drawn(tmp_path: Path, catalog: Catalog) -> Callable[[], dict[str, Plot]]:
    """Return the plots of what has been written, by their ids."""

    def draw() -> dict[str, Plot]:
        there = [run for run in runs.every(tmp_path) if isinstance(run, runs.Run)]
        curves = sources.of_results(Results(there), catalog, 32)
        plots = [*figures.all_of(curves, catalog), trend.plot(Results(there), catalog, curves)]
        return {plot.id: plot for plot in plots}

    return draw


def named(plot: Plot, *parts: str) -> Trace:
    """Return the only trace whose name has these parts."""
    (found,) = [t for t in plot.traces if all(part in t["name"] for part in parts)]
    return found


def curves(plot: Plot) -> list[Trace]:
    """Return the traces that are no marks and no limits."""
    return [t for t in plot.traces if not {"group", "mark"} & set(t.get("meta", ()))]


def test_page_time_has_a_curve_for_each_board_and_setting(
    write: Write, drawn: Callable[[], dict[str, Plot]]
) -> None:
    write("1", "pi2b")
    write("2", "pi3b")
    write("3", "ec2_tokyo", emulated=False)
    serving = drawn()["serving"]
    assert len(curves(serving)) == 5, "the cloud was only tested natively"
    native, docker = named(serving, "pi3b", "native"), named(serving, "pi3b", "docker")
    assert native["x"] == docker["x"] == [50, 100, 150, 200, 250]
    assert native["line"]["color"] == docker["line"]["color"]
    assert native["line"]["dash"] != docker["line"]["dash"], "not by colour alone"
    assert named(serving, "pi2b", "native")["marker"]["symbol"] != native["marker"]["symbol"]


def test_whiskers_are_quartiles_over_boots_and_are_not_there_for_one_boot(
    write: Write, drawn: Callable[[], dict[str, Plot]], tmp_path: Path
) -> None:
    write("1", "pi3b", boots=5)
    write("2", "pi2b", boots=1)
    serving = drawn()["serving"]
    assert "error_y" not in named(serving, "pi2b", "native")
    curve = named(serving, "pi3b", "native")
    assert all(above > 0 for above in curve["error_y"]["array"])
    run = runs.load(tmp_path / "1.json")
    boots = sorted(
        m.median for _, m in run.trusted() if m.metric == "serving.page_time" and m.labels == at(50)
    )
    assert curve["y"][0] == pytest.approx(boots[2], rel=1e-3)
    assert curve["error_y"]["array"][0] == pytest.approx(boots[3] - boots[2], rel=1e-2)


def at(clients: int) -> dict[str, object]:
    return {"setting": "native", "clients": clients}


def test_an_emulated_board_is_distinguished_from_a_real_one_in_every_curve_and_row(
    write: Write, drawn: Callable[[], dict[str, Plot]]
) -> None:
    write("1", "pi3b", emulated=True, boots=2)
    write("2", "pi3b", emulated=False, board="desk", boots=2)
    write("3", "pi3b", emulated=True, boots=3, os_release=TRIXIE)
    for plot in drawn().values():
        if plot.id == "trend":
            continue
        own = curves(plot)
        assert any("emulated" in trace["name"] for trace in own)
        for trace in own:
            marker = trace["marker"]
            open_ = str(marker.get("symbol", "")).endswith("-open") or marker.get("opacity", 1) < 1
            assert open_ == ("emulated" in trace["name"])
        names = {str(row[0]) for row in plot.rows}
        assert names == {
            "pi3b, emulated, Debian 12 (bookworm)",
            "pi3b, emulated, Debian 13 (trixie)",
            "pi3b, Debian 12 (bookworm)",
        }


def test_the_table_has_the_numbers_of_the_curves(write: Write, drawn: Callable[[], dict[str, Plot]]) -> None:
    write("1", "pi3b", boots=3)
    plots = drawn()
    for name in ("serving", "io-disk-read", "io-disk-write", "io-memory"):
        plot = plots[name]
        column = plot.head.index("median")
        tabled = [row[column] for row in plot.rows]
        plotted = [y for trace in curves(plot) for y in trace["y"]]
        assert len(tabled) == len(plotted) > 4
        for number, y in zip(tabled, plotted, strict=True):
            assert isinstance(number, Number)
            assert number.value == pytest.approx(y, rel=1e-3)
        assert all(len(row) == len(plot.head) for row in plot.rows)


def test_limits_are_lines_and_their_sources_are_named(
    write: Write, drawn: Callable[[], dict[str, Plot]]
) -> None:
    write("1", "pi3b")
    plots = drawn()
    line = named(plots["serving"], "limit of pi3b")
    assert (line["x"][0], line["y"][0]) == (50, 1.3)
    assert "p95" in line["name"]
    assert any("Ethernet" in source for source in plots["serving"].sources)
    assert "max 1.3 s (p95)" in {str(cell) for row in plots["serving"].rows for cell in row}
    assert named(plots["startup"], "limit (login)")["x"] == [15.5]


def test_the_same_limit_is_drawn_once(write: Write, drawn: Callable[[], dict[str, Plot]]) -> None:
    write("1", "pi3b")
    write("2", "pi3b", os_release=TRIXIE)
    lines = [t for t in drawn()["serving"].traces if t.get("meta") == {"group": "limits"}]
    assert len(lines) == 1, "native and in Docker, under both releases"


def test_the_papers_numbers_are_marks_with_their_place_in_its_text(
    write: Write, drawn: Callable[[], dict[str, Plot]]
) -> None:
    write("1", "pi1b")
    plots = drawn()
    assert named(plots["serving"], "the paper", "30 clients")["x"] == [30, 30]
    assert named(plots["hosting"], "the paper", "78 Ruby")["x"] == [78, 78]
    assert named(plots["startup"], "the paper", "EC2 VM")["x"] == [25.5]
    for name in ("serving", "hosting", "startup"):
        assert any("The paper: " in source and "section 4." in source for source in plots[name].sources)


def test_memory_adds_up_container_by_container_and_goes_on_as_projected(
    write: Write, drawn: Callable[[], dict[str, Plot]], tmp_path: Path
) -> None:
    write("1", "pi3b")
    hosting = drawn()["hosting"]
    measured, projected = [t for t in hosting.traces if "pi3b" in t["name"] and "httpd" in t["name"]][:2]
    run = runs.load(tmp_path / "1.json")
    each = next(m for _, m in run.trusted() if m.metric == "hosting.memory_per_container")
    assert each.labels == {"workload": "httpd"}
    assert measured["x"] == list(range(1, 26))
    sums = list(itertools.accumulate(each.samples))
    assert measured["y"] == pytest.approx(sums, rel=1e-3)
    assert projected["x"] == [25, 79]
    assert "projected" in projected["name"]
    assert hosting.layout["xaxis"]["type"] == hosting.layout["yaxis"]["type"] == "log"


def test_several_fillings_are_not_added_up(tmp_path: Path, catalog: Catalog) -> None:
    file = stored.write(tmp_path, "1", "pi3b")
    document = json.loads(file.read_text())
    for benchmark in document["benchmarks"]:
        for m in benchmark["extra_info"]["microcloud"]["measurements"]:
            if m["metric"] == "hosting.containers":
                m["samples"] = [3.0, 3.0]
            if m["metric"] == "hosting.memory_per_container":
                m["samples"] = [10e6] * 6
    runs.write(file, document)
    hosting = figures.all_of(sources.of_run(runs.load(file)), catalog)[1]
    assert {tuple(t["y"]) for t in curves(hosting)} == {(10e6, 20e6, 30e6)}


def test_sizes_are_in_their_order_on_logarithmic_axes(
    write: Write, drawn: Callable[[], dict[str, Plot]]
) -> None:
    write("1", "pi3b")
    plot = drawn()["io-disk-write"]
    assert plot.layout["xaxis"]["ticktext"] == ["4KiB", "64KiB", "1MiB", "16MiB", "64MiB"]
    assert plot.layout["xaxis"]["type"] == plot.layout["yaxis"]["type"] == "log"
    assert curves(plot)[0]["x"] == pytest.approx([4096, 65536, 1 << 20, 1 << 24, 1 << 26], rel=1e-3)


def test_a_container_stands_on_top_of_the_login(write: Write, drawn: Callable[[], dict[str, Plot]]) -> None:
    write("1", "pi3b", emulated=False)
    startup = drawn()["startup"]
    assert startup.layout["barmode"] == "stack"
    login, container = curves(startup)
    assert container["customdata"][0] == pytest.approx(login["x"][0] + container["x"][0], rel=1e-3)


def test_missing_boards_of_the_paper_are_named(write: Write, drawn: Callable[[], dict[str, Plot]]) -> None:
    write("1", "pi3b")
    write("2", "ec2_tokyo", emulated=False)
    (note,) = drawn()["serving"].notes
    for missing in ("pi1b_256", "pi1b", "pi1bplus", "pi2b", "ec2_dublin", "ec2_seoul", "ec2_singapore"):
        assert missing in note
    assert "ec2_tokyo" not in note
    assert "pi3b" not in note


def test_nothing_measured_makes_plots_without_curves(drawn: Callable[[], dict[str, Plot]]) -> None:
    assert all(not curves(plot) and not plot.rows for plot in drawn().values())


def test_boards_of_one_run_are_drawn_apart(tmp_path: Path, catalog: Catalog) -> None:
    file = stored.write(tmp_path, "1", "pi3b", board="left")
    other = json.loads(stored.write(tmp_path, "2", "pi3b", board="right").read_text())
    both = json.loads(file.read_text())
    both["benchmarks"] += other["benchmarks"]
    both["machine_info"]["microcloud"]["boards"] |= other["machine_info"]["microcloud"]["boards"]
    runs.write(file, both)
    serving = figures.all_of(sources.of_run(runs.load(file)), catalog)[0]
    assert {t["name"].partition(",")[0] for t in curves(serving)} == {"left", "right"}


def test_older_releases_wait_in_the_legend(write: Write, drawn: Callable[[], dict[str, Plot]]) -> None:
    write("1", "pi3b", taken="2026-01-01")
    write("2", "pi3b", taken="2026-02-01", os_release=TRIXIE)
    serving = drawn()["serving"]
    assert named(serving, "bookworm", "native")["visible"] == "legendonly"
    assert "visible" not in named(serving, "trixie", "native")


def test_an_altered_board_has_curves_of_its_own_and_is_no_release_of_its_model(
    write: Write, drawn: Callable[[], dict[str, Plot]]
) -> None:
    slow = {"made_of": {"image": "bookworm", "altered": ["0.8 of the model's CPU"]}}
    write("1", "pi3b", taken="2026-01-01", boots=3)
    write("2", "pi3b", taken="2026-02-01", boots=3, os_release=TRIXIE)
    write("3", "pi3b", taken="2026-03-01", boots=3, slower=1.5, **slow)
    write("4", "pi2b", taken="2026-03-01", **slow)
    plots = drawn()
    name = "pi3b, emulated, 0.8 of the model's CPU, Debian 12 (bookworm)"
    curve = named(plots["serving"], "pi3b", "0.8 of the model", "native")
    assert curve["visible"] == "legendonly"
    assert "visible" not in named(plots["serving"], "pi3b", "trixie", "native")
    for plot in plots.values():
        assert (name in {row[0] for row in plot.rows}) == (plot.id != "trend")
        assert plot.id == "trend" or "pi2b" in "".join(plot.notes), "which is missing as the model has it"
    assert {row[2] for row in plots["trend"].rows} == {"Debian 12 (bookworm)", "Debian 13 (trixie)"}
    assert len({row[3] for row in plots["trend"].rows if row[1] == "capacity (docker)"}) == 1


def test_boards_whose_load_came_from_two_places_have_curves_and_trends_of_their_own(
    write: Write, drawn: Callable[[], dict[str, Plot]]
) -> None:
    write("1", "pi3b", emulated=False)
    write("2", "pi3b", emulated=False, os_release=TRIXIE, taken="2026-04-01T12:00:00+00:00")
    write("3", "pi3b", emulated=False, load_from="rack1", taken="2026-05-01T12:00:00+00:00")
    plots = drawn()
    names = {trace["name"] for trace in plots["serving"].traces}
    assert [name for name in names if "load from rack1" in name]
    assert [name for name in names if "load from" not in name]
    trends = {trace["name"] for trace in plots["trend"].traces}
    assert not [name for name in trends if "rack1" in name]  # it has one release there
    write(
        "4", "pi3b", emulated=False, os_release=TRIXIE, load_from="rack1", taken="2026-06-01T12:00:00+00:00"
    )
    trends = {trace["name"] for trace in drawn()["trend"].traces}
    assert [name for name in trends if name.startswith("pi3b, load from rack1 · ")]
    assert [name for name in trends if name.startswith("pi3b · ")]


def test_a_plot_is_json_and_no_text_in_it_is_markup(
    write: Write, drawn: Callable[[], dict[str, Plot]]
) -> None:
    write("1", "pi3b", os_release="<b>bold</b><a href='javascript:x'>")
    for plot in drawn().values():
        text = json.dumps(plot.as_dict(), allow_nan=False)
        assert "<b>" not in text
        assert "<a" not in text


def test_a_step_above_the_noise_is_a_change_point(write: Write, drawn: Callable[[], dict[str, Plot]]) -> None:
    write("1", "pi3b", boots=7, taken="2026-01-01", os_release="Debian 11")
    write("2", "pi3b", boots=7, taken="2026-02-01", os_release=BOOKWORM)
    write("3", "pi3b", boots=7, taken="2026-03-01", os_release=TRIXIE, slower=1.5)
    plot = drawn()["trend"]
    for metric in ("container time", "ready time"):  # one that is plotted, and one that is not
        found = {row[2]: row[-1] for row in plot.rows if row[1] == metric and row[-1]}
        assert found == {"Debian 13 (trixie)": "worse"}
    values = [row[3] for row in plot.rows if row[1] == "container time"]
    assert len(values) == 3, "the table has the numbers of the plot"
    curve = named(plot, "container time")
    assert curve["y"][0] == 100
    assert curve["y"][2] > 140
    assert curve["marker"]["size"][2] > curve["marker"]["size"][1], "and it is marked"


def test_steps_within_the_noise_are_none() -> None:
    values = [("a", 1.0), ("b", 1.1), ("c", 1.0), ("d", 1.1), ("e", 1.05)]
    boots = [[value * factor for factor in (0.9, 1.0, 1.1)] for _, value in values]
    assert not any(step.changes for step in trend.steps(values, boots))


def test_a_release_that_steps_out_of_a_quiet_series_is_found_without_boots() -> None:
    values = [(str(n), value) for n, value in enumerate((1.0, 1.01, 1.0, 1.005, 1.3, 1.31))]
    found = [step for step in trend.steps(values, [[value] for _, value in values]) if step.changes]
    assert [(step.before, step.after) for step in found] == [("3", "4")]
    assert found[0].ratio == pytest.approx(1.2935, rel=1e-3)


def test_without_boots_and_without_a_series_the_noise_is_unknown_and_nothing_is_claimed() -> None:
    (step,) = trend.steps([("a", 1.0), ("b", 2.0)], [[1.0], [2.0]])
    assert (step.noise, step.changes) == (None, False)


def test_a_label_that_is_no_number_is_left_out(tmp_path: Path, catalog: Catalog) -> None:
    odd = Measurement("serving.page_time", [0.1], {"setting": "native", "clients": "²"})
    size = Measurement("io.memory_time", [0.1], {"size": "manyMiB"})
    run = runs.Run(
        tmp_path / "1.json",
        "",
        "quick",
        {"desk": Fingerprint("pi3b")},
        (runs.Entry("desk", "serving", "t", "feasible", "", [odd, size]),),
        Plan(),
    )
    assert all(not curves(plot) for plot in figures.all_of(sources.of_run(run), catalog))


def test_figures_are_made_without_importing_plotly() -> None:
    script = (
        "import sys; from pathlib import Path; from pytest_microcloud.catalog import load;"
        "from pytest_microcloud.report import generations, run_directory;"
        "generations.page(run_directory.read(Path('.')), load());"
        "print([heavy for heavy in ('plotly', 'numpy', 'scipy', 'pytest') if heavy in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
