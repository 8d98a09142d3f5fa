"""Corrections to pytest's JUnit XML: invalid measurements and board failures become `<error>`s.

pytest reports them as `<failure>`s. The gate's verdict on each board is added as a test case.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from pytest_microcloud.verdict.comparison import Comparison

AT_TEARDOWN = "failed on teardown"


def correct(file: Path, name: str) -> None:
    """Turn the failures of tests that have the property `name` into errors.

    If the property's value is "invalid", errors other than those at teardown get `type="invalid"`. A missing
    or truncated file is left alone.
    """
    try:
        tree = ElementTree.parse(file)  # noqa: S314 - pytest wrote it
    except (FileNotFoundError, ElementTree.ParseError):
        return
    for suite in tree.iter("testsuite"):
        moved = sum(_correct(case, name) for case in suite.iter("testcase"))
        suite.set("failures", str(int(suite.get("failures", 0)) - moved))
        suite.set("errors", str(int(suite.get("errors", 0)) + moved))
    file.write_bytes(ElementTree.tostring(tree.getroot(), encoding="utf-8", xml_declaration=True))


def add_gate(file: Path, comparison: Comparison) -> None:
    """Add the gate's verdict on each board as a test case; a missing or truncated file is left alone."""
    from pytest_microcloud.report import comparison_table

    try:
        tree = ElementTree.parse(file)  # noqa: S314 - pytest wrote it
    except (FileNotFoundError, ElementTree.ParseError):
        return
    suite = tree.find(".//testsuite")
    if suite is None:
        return
    for board in dict.fromkeys(finding.board for finding in comparison.findings):
        findings = [finding for finding in comparison.findings if finding.board == board]
        regressed = [finding for finding in findings if finding.fails]
        about = {"classname": "microcloud.gate", "name": board, "time": "0.000"}
        case = ElementTree.SubElement(suite, "testcase", about)
        if regressed:
            reasons = "; ".join(f"{finding.metric}: {finding.reason}" for finding in regressed)
            ElementTree.SubElement(case, "failure", message=f"regressed: {reasons}")
        table = ElementTree.SubElement(case, "system-out")
        table.text = comparison_table.text(dataclasses.replace(comparison, findings=findings), verbose=True)
        for count, more in (("tests", 1), ("failures", bool(regressed))):
            suite.set(count, str(int(suite.get(count, 0)) + more))
    file.write_bytes(ElementTree.tostring(tree.getroot(), encoding="utf-8", xml_declaration=True))


def _correct(case: ElementTree.Element, name: str) -> int:
    """Correct one test case; return how many of its failures became errors."""
    verdict = case.find(f"properties/property[@name='{name}']")
    if verdict is None:
        return 0
    failures = case.findall("failure")
    for failure in failures:
        failure.tag = "error"
    if verdict.get("value") == "invalid":
        for error in case.findall("error"):
            if not error.get("message", "").startswith(AT_TEARDOWN):
                error.set("type", "invalid")
    return len(failures)
