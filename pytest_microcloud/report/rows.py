"""Adds the outcome "Invalid" to pytest-html's page, with a count and a filter.

pytest-html 4 has a fixed list of outcomes, one in Python and one in the page's script. The script never shows
a row with an unknown outcome. The list in Python is extended directly, and the list in the script once the
page is written.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

FILTERS = "const possibleFilters = ["
EXTENDED = f"{FILTERS}'invalid', "
RESULT = re.compile(r'<td class="col-result">(\w+)</td>')


class Rows:
    """Sets outcomes on pytest-html's page `file`; `data` is its ReportData before any test was added."""

    def __init__(self, data: Any, file: Path) -> None:
        self._outcomes: dict[str, dict[str, Any]] = data.outcomes
        self._file = file
        script = resources.files("pytest_html").joinpath("resources", "app.js").read_text(encoding="utf-8")
        self._words = {"error": "Error"} | ({"invalid": "Invalid"} if FILTERS in script else {})
        if "invalid" in self._words:
            self._add_outcome()

    def set_outcome(self, cells: list[str], verdict: str) -> None:
        """Replace the outcome in a test's table row (`cells` in HTML), and correct the counts of outcomes."""
        word = self._words.get(verdict)
        for number, cell in enumerate(cells):
            if word and (found := RESULT.fullmatch(cell)):
                cells[number] = f'<td class="col-result">{word}</td>'
                self._outcomes[found[1].lower()]["value"] -= 1
                self._outcomes[verdict]["value"] += 1

    def add_filter(self) -> None:
        """Add the filter for "Invalid" to the script in the written page; do nothing if there is no page."""
        if "invalid" not in self._words or not self._file.is_file():
            return
        page = self._file.read_text(encoding="utf-8")
        # Only the last occurrence is in the script: a test's output may contain the same text.
        before, filters, after = page.rpartition(FILTERS)
        if filters and not page.startswith(EXTENDED, len(before)):
            self._file.write_text(f"{before}{EXTENDED}{after}", encoding="utf-8")

    def _add_outcome(self) -> None:
        """Insert "invalid" after "failed" in ReportData: pytest-html shows outcomes in this order."""
        known = dict(self._outcomes)
        self._outcomes.clear()
        for name, count in known.items():
            self._outcomes[name] = count
            if name == "failed":
                self._outcomes["invalid"] = {"label": "Invalid", "value": 0}
