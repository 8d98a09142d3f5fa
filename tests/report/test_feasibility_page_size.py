"""The feasibility page keeps its size with thousands of tests."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import pytest

from pytest_microcloud import catalog as catalogs
from pytest_microcloud.measurement import Measurement
from pytest_microcloud.redaction import Redactor
from pytest_microcloud.report import feasibility
from pytest_microcloud.report.parts import LARGEST_BYTES
from pytest_microcloud.runs import Entry, Run
from pytest_microcloud.runs.fingerprint import Fingerprint
from pytest_microcloud.runs.plan import Plan

BOOTS, POINTS, BOARDS = 25, 30, 4


@pytest.fixture(scope="module")
def many_tests() -> list[Entry]:
    """Return 3,000 tests of three measurements each, a tenth of them without success."""
    source = random.Random(7)
    tests = itertools.product(range(BOARDS), range(1, BOOTS + 1), range(POINTS))
    return [
        Entry(
            f"shelf-{board}",
            "serving",
            f"suites/test_serving.py::test_page_time[shelf-{board}-docker-{point}-boot{boot}]",
            "infeasible" if point % 10 == 0 else "feasible",
            f"page time of {source.random()} s exceeds the limit" if point % 10 == 0 else "",
            [
                Measurement(
                    metric,
                    [source.random() for _ in range(50)],
                    {"setting": "docker", "clients": point},
                    "infeasible" if point % 10 == 0 else "feasible",
                    reason=f"the median of {source.random()} s exceeds the limit of 1 s" * (point % 10 == 0),
                )
                for metric in ("serving.page_time", "serving.throughput", "serving.failures")
            ],
            boot,
        )
        for board, boot, point in tests
    ]


def of_many(entries: list[Entry], log: str = "") -> list[str]:
    names = dict.fromkeys(entry.board for entry in entries)
    boards = {name: Fingerprint("pi3b", os_release="Debian 12", emulated=True) for name in names}
    run = Run(Path("run.json"), "", "standard", boards, tuple(entries), Plan())
    logs = dict.fromkeys(boards, log) if log else {}
    return feasibility.summary(run, catalogs.shipped(), Redactor(), logs)


def test_the_page_of_thousands_of_tests_keeps_its_size(
    many_tests: list[Entry], pytester: pytest.Pytester
) -> None:
    assert len(many_tests) == 3000
    parts = of_many(many_tests, "a line of a log, <with> some & markup\n" * 20_000)
    html = "".join(parts)
    assert "leaves out the boards’ logs (stored beside the run file)" in html
    assert html.count('class="mc-free"') == BOARDS * POINTS * 3, "every number is there, over its boots"
    (pytester.path / "parts.json").write_text(json.dumps(parts))
    (pytester.path / "names.json").write_text(json.dumps([entry.test for entry in many_tests]))
    pytester.makeini("[pytest]\n")
    pytester.makeconftest(
        "import json, pathlib\n"
        "def pytest_html_results_summary(prefix):\n"
        "    prefix[:0] = json.loads(pathlib.Path('parts.json').read_text())\n"
    )
    pytester.makepyfile(
        "import json, pathlib, pytest\n"
        "@pytest.mark.parametrize('name', json.loads(pathlib.Path('names.json').read_text()))\n"
        "def test(name): ...\n"
    )
    file = pytester.path / "page.html"
    pytester.runpytest_subprocess(f"--html={file}", "--self-contained-html", "-p", "no:microcloud")
    assert file.stat().st_size > len(html), "pytest-html has its rows there, too"
    assert file.stat().st_size <= LARGEST_BYTES


def test_what_is_least_valuable_goes_first(many_tests: list[Entry]) -> None:
    few = many_tests[:300]
    logs = "".join(of_many(few, "0123456789" * 30_000))
    assert "the complete log is stored beside the run file" in logs
    for html in ("".join(of_many(few, "a short one")), logs):
        assert "To keep this page within" not in html
        assert 'id="plot-serving"' in html
    whole = "".join(of_many(many_tests))
    assert "leaves out the plots (generations.html has them by board model)." in whole
    assert 'id="plot-serving"' not in whole
    assert "mc-all" in whole
