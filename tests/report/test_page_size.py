"""Pages keep within their size whatever a run has many of, and say what they left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_microcloud import runs
from pytest_microcloud.catalog import Catalog
from pytest_microcloud.redaction import Redactor
from pytest_microcloud.report import feasibility, generations, parts, run_directory
from pytest_microcloud.report.parts import LARGEST_BYTES
from tests.support import run_files

GAPS = [
    f"gap {number}: {'without it, as this kernel has none of what it takes ' * 6}" for number in range(20)
]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 500 boards of 20 long gaps each, and as many that did not come up."""
    boards = {f"b{number}": run_files.emulated(not_emulated=GAPS) for number in range(500)}
    measured = [run_files.benchmark("startup.ready_time", [15.0], board=name) for name in boards]
    absent = [
        {
            "board": f"absent{number}",
            "experiment": "io",
            "test": f"t{number}",
            "verdict": "error",
            "reason": "x" * 300,
        }
        for number in range(500)
    ]
    return run_files.store(tmp_path_factory.mktemp("runs") / "1.json", measured, boards, outcomes=absent)


def test_the_page_over_all_runs_says_which_boards_it_left_out(crowd: Path, catalog: Catalog) -> None:
    html = generations.page(run_directory.read(crowd.parent), catalog)
    assert len(html.encode()) <= LARGEST_BYTES
    assert "more boards of these models" in html
    assert "b0" in html


def test_the_page_of_a_run_keeps_its_size(crowd: Path, catalog: Catalog) -> None:
    page = "".join(feasibility.summary(runs.load(crowd), catalog, Redactor()))
    assert len(page.encode()) <= LARGEST_BYTES
    assert "To keep this page within 6 MB, it leaves out" in page


def test_the_page_of_a_run_says_which_boards_it_left_out(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards = {f"b{number}": run_files.emulated(not_emulated=GAPS) for number in range(50)}
    run = run_files.run(tmp_path / "1.json", [run_files.benchmark("startup.ready_time", [15.0])], boards)
    monkeypatch.setattr(parts, "LARGEST_BYTES", 400_000)
    page = "".join(feasibility.summary(run, catalog, Redactor()))
    assert len(page.encode()) <= 400_000
    assert "the boards after the first 32 (the run file has them)" in page
    assert page.count('class="mc-board"') == 32
