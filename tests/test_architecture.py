"""The architecture: which module may import which, read from the source of the package.

Every import counts: of a module's top, of a function, and under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import pytest_microcloud

PACKAGE = Path(pytest_microcloud.__file__).parent
MOST_LINES = 400
MOST_LINES_OF_PLUGIN = 150

BELOW: dict[str, set[str]] = {
    # Leaves: of use to everybody.
    "errors": set(),
    "suggest": set(),
    "printable": set(),
    "redaction": set(),
    "ladder": set(),
    "options": {"errors"},
    "catalog": {"errors", "suggest"},
    "measurement": {"catalog"},
    "project": {"errors"},
    # The way of the data to a measurement.
    "inventory": {"errors", "redaction", "suggest"},
    "controller": {"catalog", "errors"},
    "boards": {"catalog", "controller", "errors", "inventory"},
    "experiments": {"boards", "catalog", "controller", "errors", "ladder", "measurement", "suggest"},
    "registry": {"boards", "errors", "experiments", "inventory"},
    "shipped": {"boards", "experiments", "registry"},
    # And from a measurement to a page.
    "runs": {"catalog", "errors", "measurement", "printable", "suggest"},
    "verdict": {"catalog", "errors", "ladder", "measurement", "runs"},
    "report": {"catalog", "measurement", "printable", "redaction", "runs", "verdict"},
}
"""What each folder or module of the top level may import. Those above (plugin, session, fixtures, hookspecs
and cli) may import all of these; nothing here may import them."""
ABOVE = {"plugin", "session", "fixtures", "hookspecs", "cli", "cli_parser", "__init__"}
WITH_PYTEST = {"plugin", "fixtures", "hookspecs", "session"}

# Exceptions that are known. Whoever removes the reason for one removes it here: one that is no longer
# needed fails its test.
UPWARDS: set[tuple[str, str]] = set()
IMPORTS_PYTEST: set[str] = {"options"}
TOO_LONG: set[str] = set()


def _name(path: Path) -> str:
    dotted = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    return dotted.removesuffix(".__init__")


MODULES = {_name(path): path for path in PACKAGE.rglob("*.py")}


def _imported(path: Path) -> Iterator[str]:
    """Return all names that a module imports, with those that may be an attribute of a module or one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (_module(node.module or "", alias.name) for alias in node.names)


def _module(module: str, name: str) -> str:
    return f"{module}.{name}" if f"{module}.{name}" in MODULES else module


GRAPH = {name: {other for other in _imported(path) if other in MODULES} for name, path in MODULES.items()}


def _part(module: str) -> str:
    """Return the folder or module of the top level that a module belongs to."""
    return [*module.split("."), "__init__"][1]


def test_no_import_goes_in_a_circle() -> None:
    graph = {name: others - {name} for name, others in GRAPH.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")


def test_imports_follow_the_arrows() -> None:
    upwards = {
        (_part(module), _part(other))
        for module, others in GRAPH.items()
        for other in others
        if _part(module) not in ABOVE and _part(other) not in BELOW[_part(module)] | {_part(module)}
    }
    assert upwards == UPWARDS


def test_every_part_of_the_package_has_its_place() -> None:
    assert {_part(module) for module in MODULES} == set(BELOW) | ABOVE


def test_only_the_pytest_side_imports_pytest() -> None:
    importing = {
        _part(module)
        for module, path in MODULES.items()
        if any(name.partition(".")[0] in {"pytest", "_pytest"} for name in _imported(path))
    }
    assert importing - WITH_PYTEST == IMPORTS_PYTEST


def test_no_file_is_longer_than_can_be_kept_in_mind() -> None:
    def most(path: Path) -> int:
        return MOST_LINES_OF_PLUGIN if path == PACKAGE / "plugin.py" else MOST_LINES

    long = {
        str(path.relative_to(PACKAGE))
        for path in MODULES.values()
        if len(path.read_text().splitlines()) > most(path)
    }
    assert long == TOO_LONG


@pytest.mark.parametrize("driver", ["container", "ssh"])
def test_nothing_outside_the_drivers_asks_for_one_by_name(driver: str) -> None:
    """A comparison, a default value or a membership test; the program `ssh` and Docker's words are others."""
    asking = [
        f"{module}: {ast.unparse(node)}"
        for module, path in MODULES.items()
        if not module.startswith("pytest_microcloud.boards.drivers")
        for node in ast.walk(ast.parse(path.read_text()))
        if _asks_for(node, driver)
    ]
    assert asking == []


def _asks_for(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Compare):
        compared = [part for side in (node.left, *node.comparators) for part in ast.walk(side)]
        return any(isinstance(part, ast.Constant) and part.value == name for part in compared)
    if isinstance(node, ast.match_case):
        return any(isinstance(part, ast.Constant) and part.value == name for part in ast.walk(node.pattern))
    if isinstance(node, ast.Call):
        named = [keyword.value for keyword in node.keywords if keyword.arg == "driver"]
        got = isinstance(node.func, ast.Attribute) and node.func.attr in {"get", "setdefault"}
        given = [*named, *(node.args[1:] if got else [])]
        return any(isinstance(value, ast.Constant) and value.value == name for value in given)
    return False


def test_no_test_file_is_longer_than_the_modules_may_be() -> None:
    files = Path(__file__).parent.rglob("*.py")
    assert [str(file) for file in files if len(file.read_text().splitlines()) > MOST_LINES] == []
