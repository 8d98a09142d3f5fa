"""The pages in a real browser: they draw, ask nobody for anything, keep text as text, and fit a phone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_microcloud import catalog as catalogs
from pytest_microcloud import runs
from pytest_microcloud.catalog import Catalog
from pytest_microcloud.redaction import Redactor
from pytest_microcloud.report import feasibility, generations, run_directory
from pytest_microcloud.report.parts import LARGEST_BYTES
from pytest_microcloud.runs import Entry, Run
from tests.support import run_files, stored
from tests.support.browser import Browser, Page, chromium
from tests.support.run_files import TRIXIE

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium")

OWN = "document.documentElement.dataset.owned=1"
HOSTILE = (
    f"</td></script><script>{OWN}</script><img src=x onerror={OWN}>"
    f"<a href='javascript:{OWN}'>x</a>%{{y}}<!--\u2028\"'&amp;"
)
PRIVATE: dict[str, Any] = {
    "serial": "00000000765fc593",
    "card": {"cid": "035344534c31364780deadbeef012300", "serial": "0xdeadbeef", "name": "SL16G"},
    "address": "192.0.2.13",
}
PLOTS = ("serving", "hosting", "io-disk-read", "io-disk-write", "io-memory", "startup", "trend")
OVERFLOWING = """
[...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width && (box.right > WIDTH + 1 || box.left < -1)
    && !e.closest('.mc-scroll, pre, .mc-skip, svg');
}).map(e => `${e.tagName}.${e.className}`)
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page over runs of real and of emulated boards, hostile ones and broken files among them."""
    directory = tmp_path_factory.mktemp("generations")
    there = directory / "runs"
    stored.write(there, "1", "pi1b_256", emulated=False, boots=3)
    stored.write(there, "2", "pi2b", boots=3)
    stored.write(there, "3", "pi3b", boots=3)
    stored.write(
        there, "4", "pi3b", boots=5, os_release=TRIXIE, slower=1.4, taken="2026-04-01T12:00:00+00:00"
    )
    stored.write(there, "5", "pi3b", emulated=False, board="desk", boots=3, **PRIVATE)
    stored.write(there, "6", "t2_small", emulated=False)
    stored.write(there, "7", "ec2_tokyo", emulated=False)
    stored.write(there, "=8", HOSTILE, board=HOSTILE, os_release=HOSTILE, text=HOSTILE)
    (there / "half.json").write_text('{"machine_info": {')
    (there / "foreign<img src=x onerror=alert(1)>.json").write_text("[]")
    generations.write(run_directory.read(there), directory / "generations.html", catalogs.load())
    return directory / "generations.html"


@pytest.fixture(scope="module")
def wide(browser: Browser, written: Path) -> Page:
    return browser.open(written)


def drawn(page: Page) -> dict[str, int]:
    """Return how many curves, bars and marks each plot of the page has drawn."""
    found = page.run(
        "Object.fromEntries([...document.querySelectorAll('.mc-plot')].map(place => [place.id.slice(5), "
        "place.querySelectorAll('g.trace').length]))"
    )
    return dict(found)


def data(page: Page) -> dict[str, list[dict[str, Any]]]:
    """Return what plotly has as each plot's traces."""
    return dict(
        page.run(
            "Object.fromEntries([...document.querySelectorAll('.mc-plot')].map(place => [place.id.slice(5), "
            "place.data.map(t => ({name: t.name, points: t.x.length, visible: t.visible ?? true}))]))"
        )
    )


def test_every_plot_has_its_traces(wide: Page) -> None:
    traces = data(wide)
    assert set(traces) == set(PLOTS)
    names = [trace["name"] for trace in traces["serving"]]
    for part in (
        "pi1b_256, Debian 12",
        "pi2b, emulated",
        "pi3b, Debian 12",
        "ec2_tokyo",
        "the paper",
        "limit of",
    ):
        assert any(part in name for name in names), part
    shown = {name: sum(t["visible"] is True and t["points"] > 0 for t in ts) for name, ts in traces.items()}
    assert all(count > 2 for count in shown.values())
    assert drawn(wide) == shown, "what is to be seen is drawn"


def test_nothing_is_complained_of_and_nobody_is_asked(wide: Page) -> None:
    assert wide.said == []
    assert [url for url in wide.asked if not url.startswith("data:")] == []


def test_a_page_that_asks_somebody_or_fails_is_noticed(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<script>fetch('http://127.0.0.1:9/x').catch(() => {}); nowhere()</script>")
    noticed = browser.open(page)
    assert "http://127.0.0.1:9/x" in noticed.asked
    assert any("nowhere is not defined" in said for said in noticed.said)


def test_hostile_names_stay_text(wide: Page) -> None:
    assert wide.run("document.documentElement.dataset.owned") is None
    assert wide.run("document.images.length") == 0
    assert wide.run("document.querySelectorAll('a[href^=javascript]').length") == 0
    assert wide.run("document.body.innerText.split('<img src=x onerror=').length") > 5, (
        "and all of it is shown"
    )
    assert any("<script>" in label for label in wide.run(LEGEND)), "in a legend, too"


LEGEND = "[...document.querySelectorAll('.mc-legend span')].map(span => span.textContent)"


def test_serial_numbers_and_addresses_are_nowhere(written: Path) -> None:
    html = written.read_text()
    for private in (PRIVATE["serial"], PRIVATE["address"], *list(PRIVATE["card"].values())[:2]):
        assert str(private) not in html
    assert "SL16G" in html


def test_it_is_one_file_that_fits_where_it_has_to(written: Path) -> None:
    assert written.stat().st_size <= LARGEST_BYTES
    assert (
        list(written.parent.iterdir()) == [written, written.parent / "runs"]
        or len(list(written.parent.iterdir())) == 2
    )


def test_a_page_of_many_releases_keeps_its_size(tmp_path: Path) -> None:
    for number in range(60):
        taken = f"2026-03-01T12:{number:02d}:00+00:00"
        stored.write(
            tmp_path, f"{number:02d}", "pi3b", os_release=f"Release {number} {'x' * 80}", taken=taken
        )
    html = generations.page(run_directory.read(tmp_path), catalogs.load())
    assert len(html.encode()) <= LARGEST_BYTES
    assert "Release 59" in html
    assert "older OS releases" in html


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_on_a_phone(browser: Browser, written: Path, scheme: str) -> None:
    page = browser.open(written, width=360, scheme=scheme)
    page.run("document.querySelectorAll('details').forEach(details => { details.open = true })")
    page.settle()
    assert page.run("document.documentElement.scrollWidth") <= 360
    assert page.run(OVERFLOWING.replace("WIDTH", "360")) == []
    assert page.said == []
    assert set(drawn(page)) == set(PLOTS)


def test_dark_and_light_change_with_what_the_reader_prefers(browser: Browser, written: Path) -> None:
    page = browser.open(written)
    colours = (
        "[getComputedStyle(document.body).backgroundColor, "
        "document.querySelector('#plot-serving').layout.font.color]"
    )
    light = page.run(colours)
    page.prefer("dark")
    dark = page.run(colours)
    assert light[0] == "rgb(255, 255, 255)"
    assert all(a != b for a, b in zip(light, dark, strict=True)), "the plots, too"
    page.prefer("light")
    assert page.run(colours) == light


def test_print_is_on_white_paper_even_in_the_dark(browser: Browser, written: Path) -> None:
    page = browser.open(written, scheme="dark")
    page.prefer("dark", media="print")
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.run("document.querySelector('#plot-serving').layout.font.color") == "#2b3036"


def test_the_keyboard_reaches_what_can_be_done(browser: Browser, written: Path) -> None:
    page = browser.open(written)
    page.press("Tab", 9)
    assert page.run("document.activeElement.textContent") == "Skip to the verdicts"
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert page.run(
        "[...document.querySelectorAll('.mc-scroll')].every(e => e.tabIndex === 0 && e.ariaLabel)"
    )
    page.run("document.querySelector('#serving .mc-legend input').focus()")
    before = drawn(page)["serving"]
    page.press(" ", 32)
    page.settle()
    assert drawn(page)["serving"] == before - 1, "a check box of the legend takes its curve away"
    page.run("document.querySelector('#serving .mc-axes').focus()")
    page.press(" ", 32)
    page.settle()
    assert page.run("document.querySelector('#plot-serving').layout.yaxis.type") == "linear"


def test_a_screen_reader_gets_a_description_of_a_plot(wide: Page) -> None:
    labels = wide.run(
        "[...document.querySelectorAll('.mc-plot')].map(e => [e.getAttribute('role'), e.ariaLabel])"
    )
    assert len(labels) == len(PLOTS)
    for role, label in labels:
        assert role == "img"
        assert "The table below has the same numbers" in label


def test_csv_has_the_table_in_plain_numbers(browser: Browser, written: Path) -> None:
    page = browser.open(written)
    page.run("document.querySelector('#serving .mc-csv').open = true")
    page.settle()
    text = page.run("document.querySelector('#serving .mc-csv textarea').value")
    lines = text.split("\n")
    assert lines[0].startswith("board,setting,clients,median,1st quartile")
    assert len(lines) == 1 + page.run("document.querySelectorAll('#serving .mc-numbers tbody tr').length")
    row = next(line for line in lines if line.startswith('"pi2b, emulated, Debian 12 (bookworm)",native,50,'))
    assert ",'=8" in text, "no cell is a formula"
    assert 0 < float(row.split(",native,50,")[1].split(",")[0]) < 100


def test_missing_boards_emulation_claims_and_skipped_files_are_listed(wide: Page) -> None:
    rows = wide.run(
        "[...document.querySelectorAll('.mc-matrix tbody tr')].map(r => [...r.cells].map(c => c.innerText))"
    )
    matrix = {row[0].split("\n")[0]: row for row in rows}
    assert matrix["pi1bplus"][1:5] == ["missing"] * 4
    assert "emulated" in matrix["pi2b-emulated"][0]
    assert "emulated" not in matrix["desk"][0]
    assert wide.run("document.querySelectorAll('.mc-claims > li').length") == 13
    boards = wide.run("document.querySelector('#boards').innerText")
    assert "instruction set: the host's" in boards
    files = wide.run("document.querySelector('#files').innerText")
    assert "half.json: is not JSON, or is truncated" in files
    assert "foreign<img src=x onerror=alert(1)>.json: is not a run of pytest-microcloud" in files


def test_a_board_that_did_not_come_up_is_named_until_it_does(tmp_path: Path, catalog: Catalog) -> None:
    down = Entry("shelf", "serving", "test_serving.py::test_page[shelf]", "error", "ssh: no route")
    run_files.store(tmp_path / "1.json", [], {}, outcomes=[down.as_dict()])
    page = generations.page(run_directory.read(tmp_path), catalog)
    assert "did not come up" in page
    assert "ssh: no route" in page
    up = run_files.benchmark("serving.capacity", [250], board="shelf")
    run_files.store(tmp_path / "2.json", [up], {"shelf": run_files.fingerprint()})
    assert "did not come up" not in generations.page(run_directory.read(tmp_path), catalog)


def test_a_directory_without_runs_makes_a_page_that_says_so(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "generations.html"
    generations.write(run_directory.read(tmp_path / "runs"), file, catalogs.load())
    page = browser.open(file)
    assert page.said == []
    assert "No run is stored yet." in page.run("document.body.innerText")


def test_a_run_whose_fingerprint_is_malformed_is_named_and_the_others_are_shown(
    tmp_path: Path, catalog: Catalog
) -> None:
    odd: dict[str, Any] = {"card": "a string", "frequency": [1], "identity": 7, "not_emulated": "no list"}
    stored.write(tmp_path, "1", "pi3b", **odd, made_of=3, gpu_bytes="x", memory_bytes=None, cpus=None)
    stored.write(tmp_path, "2", "pi2b")
    html = generations.page(run_directory.read(tmp_path), catalog)
    assert "pi2b-emulated" in html
    assert "pi3b-emulated" not in html
    assert "1.json" in html


def test_reading_again_makes_the_same_page(tmp_path: Path, catalog: Catalog) -> None:
    stored.write(tmp_path, "1", "pi3b", boots=2)
    stored.write(tmp_path, "2", "pi2b", boots=2)
    pages = {generations.page(run_directory.read(tmp_path), catalog) for _ in range(2)}
    assert len(pages) == 1


Feasibility = Callable[..., Path]


@pytest.fixture
def feasibility_page(tmp_path: Path, pytester: pytest.Pytester) -> Feasibility:
    """Return pytest-html's page of some tests, with the parts that are ours of a run that is given."""

    def make(run: Run, logs: dict[str, str] | None = None) -> Path:
        parts = feasibility.summary(run, catalogs.load(), Redactor(), logs)
        (pytester.path / "parts.json").write_text(json.dumps(parts))
        pytester.makeini("[pytest]\n")
        pytester.makeconftest(
            "import json, pathlib\n"
            "parts = json.loads(pathlib.Path(__file__).with_name('parts.json').read_text())\n"
            "def pytest_html_results_summary(prefix):\n    prefix[:0] = parts\n"
        )
        pytester.makepyfile(
            "import pytest\n"
            "@pytest.mark.parametrize('text', ['x' * 300, 'some words ' * 9])\n"
            "def test_with_a_name_that_goes_on_and_on(text):\n    print('y' * 500); assert 0, 'z' * 400\n"
            "def test_that_passes(): ...\n"
        )
        page = pytester.path / "page.html"
        pytester.runpytest_subprocess(f"--html={page}", "--self-contained-html", "-p", "no:microcloud")
        return page

    return make


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "light"), (360, "dark")])
def test_the_page_of_a_run_draws_and_fits(
    browser: Browser, feasibility_page: Feasibility, tmp_path: Path, width: int, scheme: str
) -> None:
    run = runs.load(stored.write(tmp_path, "1", "pi3b", board=HOSTILE, text=HOSTILE, boots=2))
    file = feasibility_page(run, {HOSTILE: f"{HOSTILE}\n" * 400})
    assert file.stat().st_size <= LARGEST_BYTES
    page = browser.open(file, width, scheme)
    page.run("document.querySelectorAll('details').forEach(details => { details.open = true })")
    page.settle()
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == []
    assert page.run("document.documentElement.dataset.owned") is None
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(OVERFLOWING.replace("WIDTH", str(width))) == []
    counts = drawn(page)
    assert set(counts) == set(PLOTS) - {"trend"}
    assert all(counts.values())
    assert page.run("document.querySelectorAll('#results-table tr.collapsible').length") == 3


def test_a_boards_log_stands_once_on_the_page(tmp_path: Path) -> None:
    run = runs.load(stored.write(tmp_path, "1", "pi3b", board="desk"))
    html = "".join(feasibility.summary(run, catalogs.load(), Redactor(), {"desk": "== journal\nit broke"}))
    assert html.count("it broke") == 1
    assert 'id="log-desk"' in html


def test_a_long_log_is_cut_and_says_where_the_rest_is(tmp_path: Path) -> None:
    run = runs.load(stored.write(tmp_path, "1", "pi3b", board="desk"))
    log = "begin" + "." * feasibility.LONGEST_LOG + "end"
    html = "".join(feasibility.summary(run, catalogs.load(), Redactor(), {"desk": log}))
    assert "begin" not in html.partition("log of desk")[2].partition("</details>")[0]
    assert "the complete log is stored beside the run file" in html
