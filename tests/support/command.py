"""The command `microcloud`, run in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_microcloud.cli import main


def output(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def one_line_error(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    code, out, err = output(capsys, *arguments)
    assert (code, out) == (4, "")
    (line,) = err.splitlines()
    return line
