"""The rows of pytest-html's page: "Invalid" as an outcome of its own, with a count and a filter.

pytest-html 4 knows a fixed list of outcomes, in Python and in the page's script, and a row whose outcome the
script does not know is never shown. Python's list can be added to; the script's is mended when it is written.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

FILTERS = "const possibleFilters = ["
OURS = f"{FILTERS}'invalid', "
RESULT = re.compile(r'<td class="col-result">(\w+)</td>')


class Rows:
    """The rows of the page `file`; `data` is pytest-html's ReportData, before there are any."""

    def __init__(self, data: Any, file: Path) -> None:
        self._outcomes: dict[str, dict[str, Any]] = data.outcomes
        self._file = file
        script = resources.files("pytest_html").joinpath("resources", "app.js").read_text(encoding="utf-8")
        self._told = {"error": "Error"} | ({"invalid": "Invalid"} if FILTERS in script else {})
        if "invalid" in self._told:
            self._add_outcome()

    def tell(self, cells: list[str], verdict: str) -> None:
        """Give a row that outcome, and count it there instead of where pytest-html is about to."""
        word = self._told.get(verdict)
        for number, cell in enumerate(cells):
            if word and (found := RESULT.fullmatch(cell)):
                cells[number] = f'<td class="col-result">{word}</td>'
                self._outcomes[found[1].lower()]["value"] -= 1
                self._outcomes[verdict]["value"] += 1

    def add_filter(self) -> None:
        """Let the page's script know the outcome; a page that could not be written is left alone."""
        if "invalid" not in self._told or not self._file.is_file():
            return
        page = self._file.read_text(encoding="utf-8")
        before, filters, after = page.rpartition(FILTERS)  # the last one: a test's output may have it, too
        if filters and not page.startswith(OURS, len(before)):
            self._file.write_text(f"{before}{OURS}{after}", encoding="utf-8")

    def _add_outcome(self) -> None:
        """Put it beside failed: pytest-html shows the outcomes in their order."""
        known = dict(self._outcomes)
        self._outcomes.clear()
        for name, count in known.items():
            self._outcomes[name] = count
            if name == "failed":
                self._outcomes["invalid"] = {"label": "Invalid", "value": 0}
