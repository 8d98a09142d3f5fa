"""`microcloud init`: a project with an inventory and the suites."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.command import one_line_error, output

PROJECT = [
    "hosts.ini",
    "pytest.ini",
    "reports/.gitignore",
    "suites/test_claims.py",
    "suites/test_hosting.py",
    "suites/test_io.py",
    "suites/test_serving.py",
    "suites/test_startup.py",
]


def files_in(directory: Path) -> list[str]:
    return sorted(str(file.relative_to(directory)) for file in directory.rglob("*") if file.is_file())


def test_init_writes_a_project_and_tells_what_to_do_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = output(capsys, "init", tmp_path / "our boards")
    assert (code, err) == (0, "")
    assert files_in(tmp_path / "our boards") == PROJECT
    *wrote, next_ = out.splitlines()
    assert sorted(wrote) == [f"wrote {tmp_path}/our boards/{file}" for file in PROJECT]
    assert next_ == f"next: cd '{tmp_path}/our boards' && pytest suites/ --hosts=pi3b --microcloud-plan"


def test_the_next_command_plans_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output(capsys, "init", tmp_path / "mine")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "suites/", "--hosts=pi3b", "--microcloud-plan"],
        cwd=tmp_path / "mine",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pi3b-emulated: power on" in done.stdout
    assert "nothing was touched" in done.stdout


@pytest.mark.parametrize("there", ["hosts.ini", "suites/test_io.py"])
def test_init_overwrites_nothing_and_names_what_is_there(
    there: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("mine")
    line = one_line_error(capsys, "init", tmp_path)
    assert line == f"microcloud: nothing was written, since these files already exist: {tmp_path / there}"
    assert files_in(tmp_path) == [there]
    assert (tmp_path / there).read_text() == "mine"


@pytest.mark.parametrize("file", ["pyproject.toml", "tox.ini", "setup.cfg"])
def test_init_leaves_a_configuration_of_pytest_in_its_place(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heads = {
        "pyproject.toml": "[tool.pytest.ini_options]",
        "tox.ini": "[pytest]",
        "setup.cfg": "[tool:pytest]",
    }
    (tmp_path / file).write_text(f"{heads[file]}\n")
    assert output(capsys, "init", tmp_path)[0] == 0
    assert files_in(tmp_path) == sorted([file, *(name for name in PROJECT if name != "pytest.ini")])


def test_init_where_nothing_can_be_written_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    line = one_line_error(capsys, "init", tmp_path / "file")
    assert line.startswith(f"microcloud: cannot write to {tmp_path}/file: ")


def test_the_package_brings_along_what_init_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a wheel is built with, read from the settings of the build: the repository's own files."""
    root = Path(__file__).parent.parent
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    assert settings["force-include"] == {
        "hosts.ini": "pytest_microcloud/project/hosts.ini",
        "suites": "pytest_microcloud/project/suites",
    }
    output(capsys, "init", tmp_path)
    for file in (name for name in PROJECT if name.startswith(("hosts", "suites"))):
        assert (tmp_path / file).read_text() == (root / file).read_text()
