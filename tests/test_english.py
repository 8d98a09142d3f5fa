"""The project's text is plain technical English: what reads as translated is found nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXTS = ("pytest_microcloud", "suites", "tests", "benchmarks", "docs")
SUFFIXES = {".py", ".md", ".toml", ".js", ".css", ".sh"}
PHRASES = [
    r"\b(tell|tells|told|telling)\b(?! apart)",
    r"(^|[^a-z])told(?=_)|_told\b|_tells?\b|\btells?_",
    r"\bborne\b",
    r"\bto be had\b",
    r"\bg(i|a)ve[sn]? up\b|\bgiving up\b",
    r"\btak(e|es|en|ing) back\b|\btaken back\b",
    r"\b(for )?want of\b",
    r"\bwaits? so long\b",
    r"\bspoil(s|ed|t)?\b",
    r"\bcan(no|')?t be trusted\b",
    r"\bone'?s[ _]own\b|\bof your own\b",
    r"\blook at the run\b",
    r"\bheed(s|ed)?\b|\bminded\b",
    r"\b(came|comes?) to nothing\b|\bwhat \w+( \w+)? (came|comes) to\b",
    r"\bsomebody else\b",
    r"\banew\b",
    r"\b(everybody's|everyone's) eyes\b|\bhides? keys\b",
    r"\blets us in\b",
    r"\bis no (success|failure)\b|\bare no (successes|failures)\b",
    r"\bsaid to be up\b|\basks after\b|\bask_after\b",
    r"\bspeaks? against\b|\bspoke against\b",
    r"\bof a release the\b",
    r"\ban answer would\b",
]
PATTERN = re.compile("|".join(f"(?:{phrase})" for phrase in PHRASES), re.IGNORECASE)


def files() -> Iterator[Path]:
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "conftest.py"))
    for folder in TEXTS:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in SUFFIXES and file != Path(__file__):
                yield file


@pytest.mark.parametrize("file", list(files()), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_has_none_of_the_phrases_that_need_a_second_reading(file: Path) -> None:
    lines = enumerate(file.read_text().splitlines(), 1)
    found = [f"{number}: {line.strip()}" for number, line in lines if PATTERN.search(line)]
    assert not found, "\n".join(found)
