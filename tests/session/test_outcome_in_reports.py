"""Outcomes in JUnit's XML and on the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from textwrap import dedent
from xml.etree import ElementTree

import pytest

from tests.support.fake_boards import Project
from tests.support.outcome_project import BOOT, HOT


def test_junit_has_errors_for_what_is_invalid_and_for_boards_that_broke(
    ends: pytest.RunResult, pytester: pytest.Pytester
) -> None:
    del ends
    tree = ElementTree.parse(pytester.path / "junit.xml")  # noqa: S314 - pytest wrote it
    found = {
        case.get("name", "").partition("[")[0]: [(child.tag, child.get("type")) for child in case]
        for case in tree.iter("testcase")
    }
    assert found["test_doubt"] == [("properties", None), ("error", "invalid")]
    assert found["test_wire"] == [("properties", None), ("error", None)]
    assert found["test_missed"] == [("failure", None)]
    (suite,) = tree.iter("testsuite")
    for tag, count in (("failure", "failures"), ("error", "errors")):
        assert suite.get(count) == str(len(list(suite.iter(tag)))), tag


def test_junit_tells_doubt_in_a_test_from_an_error_at_its_teardown(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    outcomes(
        """
        @pytest.fixture
        def broken():
            yield
            raise RuntimeError("no way back")

        def test_both(broken, measure):
            measure(took)
        """,
        "--junitxml=junit.xml",
        found=[HOT],
    )
    tree = ElementTree.parse(pytester.path / "junit.xml")  # noqa: S314 - pytest wrote it
    errors = {error.get("message", "")[:20]: error.get("type") for error in tree.iter("error")}
    assert errors == {"InvalidMeasurement: ": "invalid", "failed on teardown w": None}
    (suite,) = tree.iter("testsuite")
    assert (suite.get("failures"), suite.get("errors")) == ("0", "2")


def rows(page: str) -> dict[str, str]:
    """Return test -> outcome in pytest-html's table, and outcome -> what stands beside its filter."""
    blob = re.search(r'data-jsonblob="([^"]*)"', page)
    assert blob
    tests = json.loads(unescape(blob[1]))["tests"]
    results = {node.partition("[")[0]: tests[node][0]["result"] for node in tests}
    filters = re.findall(r'<span class="(\w+)">(\d+ [\w ]+)', page)
    return {node.rpartition("::")[2]: result for node, result in results.items()} | dict(filters)


def test_the_page_has_invalid_as_an_outcome_of_its_own_with_a_filter(
    ends: pytest.RunResult, pytester: pytest.Pytester
) -> None:
    del ends
    page = (pytester.path / "reports" / "feasibility.html").read_text()
    shown = rows(page)
    assert (shown["test_doubt"], shown["test_wire"], shown["test_missed"]) == ("Invalid", "Error", "Failed")
    assert (shown["invalid"], shown["failed"], shown["error"]) == ("1 Invalid", "6 Failed", "2 Errors")
    assert page.count("const possibleFilters = ['invalid', ") == 1
    assert "span.invalid, .invalid .col-result {" in page
    assert re.search(r'<input checked="true" class="filter"[^>]*data-test-result="invalid"\s*>', page)


def test_a_page_that_is_written_after_every_test_knows_the_outcome_too(
    outcomes: Callable[..., pytest.RunResult],
) -> None:
    look = """
        def test_look():
            page = open("reports/feasibility.html", encoding="utf-8")
            with page:
                assert page.read().count("const possibleFilters = ['invalid', ") == 1
        """
    result = outcomes(BOOT + dedent(look), "-o", "generate_report_on_test=true", found=[HOT])
    assert result.parseoutcomes() == {"invalid": 1, "passed": 1}


def test_another_pytest_html_shows_what_is_invalid_as_failed_rather_than_not_at_all(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    other = "from pytest_microcloud.report import rows; rows.FILTERS = 'const otherFilters = ['"
    outcomes(BOOT, found=[HOT], first=other)
    shown = rows((pytester.path / "reports" / "feasibility.html").read_text())
    assert (shown["test_boot"], shown["failed"]) == ("Failed", "1 Failed")


@pytest.mark.parametrize(
    ("test", "mistake"),
    [
        ("measure(lambda: None)", "the experiment must return a list of Measurement, not None"),
        (
            "limit(measure(took)[0])",
            r"limit\(…\) takes the list that measure\(…\) returns, not Meas",
        ),
    ],
    ids=["experiment", "limit"],
)
def test_a_mistake_in_a_test_is_reported_in_a_sentence(
    outcomes: Callable[..., pytest.RunResult], test: str, mistake: str
) -> None:
    result = outcomes(f"def test_mistaken(measure, limit):\n    {test}\n")
    result.assert_outcomes(failed=1)
    assert re.search(mistake, result.stdout.str())


def test_a_session_that_asks_no_board_for_anything_keeps_the_page_of_the_one_before(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    outcomes(BOOT)
    page = pytester.path / "reports" / "feasibility.html"
    measured = page.read_bytes()
    result = outcomes("def test_nothing():\n    pass\n")
    assert page.read_bytes() == measured
    result.stdout.fnmatch_lines("no board was used, so the page of the previous session was kept")
    outcomes(BOOT)
    assert page.read_bytes() != measured


OTHERS = """
    import time
    import pytest

    @pytest.mark.timeout(0.3)
    def test_slow(board):
        time.sleep(20)

    @pytest.fixture
    def slow():
        time.sleep(20)

    @pytest.mark.timeout(0.3)
    def test_slow_fixture(board, slow): ...

    @pytest.fixture
    def wrong():
        assert 1 == 2, "no such file"

    def test_wrong_fixture(board, wrong): ...

    def test_conftest_fails(board, judge): judge()

    def test_own(board):
        pytest.fail("smoke")
    """


def test_a_timeout_and_what_fails_in_a_fixture_are_errors_and_no_verdict_on_the_board(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(pytester, monkeypatch)
    conftest = pytester.path / "conftest.py"
    conftest.write_text(
        conftest.read_text()
        + "\nimport pytest\n@pytest.fixture\ndef judge():\n    return lambda: pytest.fail('too slow')\n"
    )
    project.tests(OTHERS)
    project.run()
    outcomes = project.document()["machine_info"]["microcloud"]["outcomes"]
    verdicts = {o["test"].partition("::test_")[2].partition("[")[0]: o["verdict"] for o in outcomes}
    assert verdicts == {
        "slow": "error",
        "slow_fixture": "error",
        "wrong_fixture": "error",
        "conftest_fails": "infeasible",
        "own": "infeasible",
    }
