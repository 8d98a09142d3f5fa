"""The table of a comparison: in the terminal, on a page, and in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_microcloud.redaction import Redactor
from pytest_microcloud.report import comparison_table as report
from pytest_microcloud.verdict import gate
from pytest_microcloud.verdict.comparison import Comparison

if TYPE_CHECKING:
    pass


def finding(verdict: str, **more: Any) -> gate.Finding:
    stored: dict[str, Any] = {
        "board": "desk",
        "metric": "serving.page_time",
        "labels": {"clients": "50"},
        "verdict": verdict,
        "ratio": 1.213,
        "interval": (1.15, 1.28),
        "p": 0.001,
        "boots": (10, 10),
        "reason": "+21.3%",
    }
    return gate.Finding(**(stored | more))


def test_the_table_has_what_regressed_first_and_is_aligned() -> None:
    found = [
        finding("no evidence"),
        finding("improved", ratio=0.5, interval=(0.4, 0.6)),
        finding("regressed"),
    ]
    lines = report.text(
        Comparison("old", "new", found, warnings=["desk: it was warm"]), verbose=True
    ).splitlines()
    assert lines[0] == "note: desk: it was warm"
    assert [line.split("  ")[0] for line in lines[2:5]] == ["regressed", "improved", "no evidence"]
    assert {line.index("serving.page_time") for line in lines[2:5]} == {lines[1].index("metric")}
    assert "+21 % (+15 to +28 %)" in lines[2]
    assert "-50 % (-60 to -40 %)" in lines[3]


def test_a_baseline_of_zero_has_no_change_in_per_cent() -> None:
    found = [finding("regressed", ratio=None, interval=None)]
    assert "  –  " in report.text(Comparison("old", "new", found))


def test_hostile_labels_stay_text_on_the_page_and_in_markdown() -> None:
    hostile = {"workload": "<img src=x onerror=alert(1)>|[a](javascript:b)"}
    comparison = Comparison("old", "new", [finding("regressed", labels=hostile)])
    page = report.html(comparison, Redactor())
    assert "<img" not in page
    assert "mc-regressed" in page
    assert "<img" not in report.markdown(comparison).replace("\\<", "")
    assert report.markdown(comparison).splitlines()[-1].count(" | ") == len(report.HEADS) - 1


def test_addresses_are_masked_on_the_page() -> None:
    page = report.html(Comparison("old", "new", [], refused=["desk: 203.0.113.7 is gone"]), Redactor())
    assert "203.0.113.7" not in page
