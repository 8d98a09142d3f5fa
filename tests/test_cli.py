"""The `microcloud` command, without a Docker engine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_microcloud.cli import main


def test_help_tells_the_commands_and_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: microcloud")
    assert "clean" in said


def test_help_of_clean_tells_what_cache_removes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["clean", "--help"])
    assert exit_.value.code == 0
    assert "--cache" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["cleen"], ["clean", "--cash"]], ids=" ".join)
def test_a_wrong_command_line_exits_with_2_and_shows_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: microcloud" in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["unix://{}/docker.sock", "tcp://127.0.0.1:9"])
def test_without_an_engine_it_exits_with_1_and_one_line_that_says_what_to_do(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.format(tmp_path))
    assert main(["clean"]) == 1
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("microcloud: this machine: no Docker engine answers: ")
    assert engine.format(tmp_path) in line
    assert "make setup" in line
    assert said.out == ""


def test_it_is_installed_as_a_command_that_passes_its_exit_code_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    command = shutil.which("microcloud", path=Path(sys.executable).parent)
    assert command is not None
    done = subprocess.run([command, "clean"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
