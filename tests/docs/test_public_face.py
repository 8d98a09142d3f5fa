"""The public face: what README, docs and suites import is exported and documented."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

import pytest

import pytest_microcloud
from tests.support.fenced import ROOT, blocks

OPEN_MODULES = ("pytest_microcloud.experiments", "pytest_microcloud.verdict")
"""The experiments that a suite measures, and the claims that it judges."""
SUITES = sorted((ROOT / "suites").glob("*.py"))
SOURCES = [(str(block), block.text) for block in blocks("python")] + [
    (file.name, file.read_text()) for file in SUITES
]


def imported(text: str) -> Iterator[tuple[str, str]]:
    """Yield module and name of each import from this package, as of `from module import name`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pytest_microcloud"):
            yield from ((node.module or "", alias.name) for alias in node.names)


@pytest.mark.parametrize("text", [text for _, text in SOURCES], ids=[name for name, _ in SOURCES])
def test_an_example_imports_only_what_is_public(text: str) -> None:
    for module, name in imported(text):
        if module == "pytest_microcloud":
            assert name in pytest_microcloud.__all__
        else:
            assert module in OPEN_MODULES, f"from {module} import {name}"


@pytest.mark.parametrize("name", pytest_microcloud.__all__)
def test_a_public_class_and_its_public_methods_have_docstrings(name: str) -> None:
    public = getattr(pytest_microcloud, name)
    assert inspect.getdoc(public), name
    if not isinstance(public, type):
        return
    for attribute, value in vars(public).items():
        documented = isinstance(value, property) or inspect.isfunction(value)
        if documented and not attribute.startswith("_"):
            assert inspect.getdoc(value), f"{name}.{attribute}"


def test_examples_use_most_of_the_public_face() -> None:
    used = {name for _, text in SOURCES for module, name in imported(text) if module == "pytest_microcloud"}
    assert used >= {"Experiment", "Measurement", "BoardError"}
