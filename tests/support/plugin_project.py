"""A user's project with two boards that nothing connects to, and what pytest says of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

HOSTS = """\
    [pi3b]
    desk microcloud_driver=ssh ansible_host=192.0.2.13

    [pi2b]
    shelf microcloud_driver=ssh ansible_host=192.0.2.12

    [attic]
    """
WITH_BOARD = """\
    def test_it(board):
        assert board.name
    """
SWEEPS = """\
    import pytest

    @pytest.mark.sweep("clients", "setting")
    def test_page(board, clients, setting): ...

    @pytest.mark.sweep("size")
    def test_disk(board, size): ...

    @pytest.mark.sweep("workload")
    def test_filling(board, workload): ...
    """

Run = Callable[..., pytest.RunResult]


def said(result: pytest.RunResult) -> str:
    return "\n".join([*result.outlines, *result.errlines])


def usage_error(result: pytest.RunResult) -> str:
    """Return all that was said, provided that it was a UsageError and looked like one."""
    text = said(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR, text
    assert text.count("ERROR: ") == 1, text
    for noise in ("Traceback", "INTERNALERROR", "Error:", 'File "'):
        assert noise not in text, text
    return text


def set_ini(project: pytest.Pytester, *lines: str) -> None:
    with (project.path / "tox.ini").open("a") as ini:
        ini.writelines(f"\n{line}" for line in lines)
