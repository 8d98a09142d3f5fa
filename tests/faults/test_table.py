"""docs/faults.md says what happens; each of its rows is a test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
COLUMNS = ["fault", "what the user sees", "at most", "left behind", "test"]
FEWEST = 25


def table() -> list[list[str]]:
    """Return the cells of all lines of the table, with its head; a | in a cell is written as \\|."""
    lines = (ROOT / "docs" / "faults.md").read_text().splitlines()
    rows = [line.strip().strip("|").replace("\\|", "\0").split("|") for line in lines if line.startswith("|")]
    return [[cell.strip().replace("\0", "|") for cell in row] for row in rows]


def rows() -> list[list[str]]:
    return table()[2:]


def defined(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


def test_the_table_has_its_columns_and_enough_rows() -> None:
    assert table()[0] == COLUMNS
    assert len(rows()) >= FEWEST
    names = [row[0] for row in rows()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_row_is_complete_and_names_a_test_that_exists(row: list[str]) -> None:
    assert len(row) == len(COLUMNS)
    assert all(row)
    file, _, name = row[-1].strip("`").partition("::")
    assert (ROOT / file).is_file(), file
    assert name.partition("[")[0] in defined(ROOT / file)
