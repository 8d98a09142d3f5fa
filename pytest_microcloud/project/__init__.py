"""Creates a user's project: the inventory and the suites that `microcloud init` writes into a directory.

Their templates are beside this file in an installed package, and in the root directory of a checkout.
"""

from __future__ import annotations

import re
from pathlib import Path

from pytest_microcloud.errors import UserMistake

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
CONFIGURED = {
    "pytest.toml": r"",
    "pyproject.toml": r"^\[tool\.pytest",
    "tox.ini": r"^\[pytest\]",
    "setup.cfg": r"^\[tool:pytest\]",
}
"""The files other than pytest.ini that can configure pytest, each with a pattern.

A file configures pytest if one of its lines matches the pattern.
"""


def create(directory: Path) -> list[Path]:
    """Write a new project's files into a directory, and return the files.

    Raises UserMistake if one of the files exists.

    If the directory already configures pytest, no pytest.ini is written, because pytest.ini has precedence.
    """
    source = HERE if (HERE / "suites").is_dir() else CHECKOUT
    suites = sorted((source / "suites").glob("test_*.py"))
    files = {
        directory / "hosts.ini": source / "hosts.ini",
        directory / "pytest.ini": HERE / "pytest.ini",
        directory / "reports" / ".gitignore": HERE / "gitignore",
        **{directory / "suites" / suite.name: suite for suite in suites},
    }
    if _is_configured(directory):
        del files[directory / "pytest.ini"]
    if there := [str(file) for file in files if file.exists()]:
        raise UserMistake(f"nothing was written, since these files already exist: {', '.join(there)}")
    try:
        for file, shipped in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise UserMistake(f"cannot write to {directory}: {error.strerror}") from error
    return list(files)


def _is_configured(directory: Path) -> bool:
    return any(
        (directory / name).is_file()
        and re.search(pattern, (directory / name).read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        for name, pattern in CONFIGURED.items()
    )
