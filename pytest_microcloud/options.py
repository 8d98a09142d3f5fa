"""The command-line options, each with an ini option of the same name (its ini twin), and their values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_microcloud.errors import UserMistake

if TYPE_CHECKING:
    import pytest

EFFORTS = ("quick", "standard", "paper")
CLAIMS = ("strict", "report")
INVENTORY = "hosts.ini"


def add(parser: pytest.Parser) -> None:
    """Add the options and their ini twins."""
    group = parser.getgroup("microcloud", "micro-cloud feasibility of boards")
    group.addoption(
        "--microcloud-inventory",
        metavar="FILE",
        help="Ansible inventory with the boards (default: hosts.ini)",
    )
    group.addoption(
        "--microcloud-effort",
        choices=EFFORTS,
        help="number of repetitions; `paper` has as many repetitions as the paper (default: standard)",
    )
    group.addoption(
        "--microcloud-reports",
        metavar="DIR",
        help="directory for the report pages, and for the run files in runs/ (default: reports)",
    )
    group.addoption(
        "--microcloud-plan",
        action="store_true",
        help="print boards, steps and estimated time; connect to nothing",
    )
    group.addoption(
        "--microcloud-keep", action="store_true", help="leave emulated boards running for the next run"
    )
    group.addoption(
        "--microcloud-wait",
        type=float,
        metavar="SECONDS",
        help="how long to wait for a board that another session uses (default: 0)",
    )
    group.addoption(
        "--microcloud-any",
        type=int,
        metavar="N",
        help="use any N free boards among the boards that --hosts names (default: 0, which uses all of them)",
    )
    group.addoption(
        "--microcloud-command-timeout",
        type=float,
        metavar="SECONDS",
        help="timeout of a command that a test runs on a board with host.run(…) (default: 600)",
    )
    group.addoption(
        "--microcloud-identify", action="store_true", help="show addresses and serial numbers in the report"
    )
    group.addoption(
        "--microcloud-retry-invalid",
        type=int,
        metavar="N",
        help="retry invalid measurements of a test up to N times, after a pause (default: 0)",
    )
    group.addoption(
        "--microcloud-boots",
        type=int,
        metavar="N",
        help="number of boots of each board; every test that measures runs once per boot (default: 1)",
    )
    group.addoption(
        "--microcloud-resume",
        action="store_true",
        help="resume the newest unfinished run with the same hosts, effort and boots",
    )
    group.addoption(
        "--microcloud-baseline",
        metavar="RUN",
        help="compare the run with this baseline, and fail if a metric regressed. RUN is a file, a run's "
        "name, or an OS release, which selects the newest run of this release",
    )
    group.addoption(
        "--microcloud-no-control",
        action="store_true",
        help="skip the control: short loads, about 5 s at the start and 5 s at the end, that show whether a "
        "board drifted",
    )
    group.addoption(
        "--microcloud-claims",
        choices=CLAIMS,
        help="`strict` fails the test of each claim that does not hold; `report` only reports the claim "
        "(default: report)",
    )
    parser.addini("microcloud_inventory", "Ansible inventory with the boards", default=INVENTORY)
    parser.addini("microcloud_effort", "number of repetitions: quick, standard or paper", default="standard")
    parser.addini(
        "microcloud_reports",
        "directory for the report pages, and for the run files in runs/",
        default="reports",
    )
    parser.addini(
        "microcloud_plan",
        "print boards, steps and estimated time; connect to nothing",
        type="bool",
        default=False,
    )
    parser.addini(
        "microcloud_keep", "leave emulated boards running for the next run", type="bool", default=False
    )
    parser.addini(
        "microcloud_wait", "how many seconds to wait for a board that another session uses", default="0"
    )
    parser.addini(
        "microcloud_any",
        "use this number of free boards among the boards that --hosts names; 0 uses all",
        type="int",
        default=0,
    )
    parser.addini(
        "microcloud_command_timeout",
        "timeout in seconds of a command that a test runs on a board",
        default="600",
    )
    parser.addini(
        "microcloud_identify", "show addresses and serial numbers in the report", type="bool", default=False
    )
    parser.addini(
        "microcloud_retry_invalid", "how many times to retry invalid measurements", type="int", default=0
    )
    parser.addini("microcloud_boots", "number of boots of each board", type="int", default=1)
    parser.addini("microcloud_resume", "resume the newest unfinished run", type="bool", default=False)
    parser.addini(
        "microcloud_baseline",
        "compare the run with this baseline: a file, a run's name, or an OS release",
        default="",
    )
    parser.addini("microcloud_no_control", "skip the control of each board", type="bool", default=False)
    parser.addini(
        "microcloud_claims",
        "`strict` fails the test of each claim that does not hold; `report` only reports the claim",
        default="report",
    )
    parser.addini(
        "microcloud_gate",
        "TOML files with custom rules for the comparison with a baseline",
        type="paths",
        default=[],
    )
    parser.addini(
        "microcloud_catalog", "TOML files with custom board models, workloads and limits", type="paths"
    )


def flag(config: pytest.Config, name: str) -> bool:
    """Return whether a yes/no option is set, on the command line or in the ini file."""
    return bool(config.getoption(f"microcloud_{name}") or config.getini(f"microcloud_{name}"))


def path(config: pytest.Config, name: str) -> Path:
    """Return the path that an option is set to, on the command line or in the ini file.

    A path on the command line is relative to the directory in which pytest was started; a path in the ini
    file is relative to the root directory.
    """
    given: str | None = config.getoption(f"microcloud_{name}")
    return (
        config.invocation_params.dir / given
        if given
        else config.rootpath / config.getini(f"microcloud_{name}")
    )


def nothing_runs(config: pytest.Config) -> bool:
    """Return whether no test will be run, as with --microcloud-plan or --collect-only."""
    shown = (config.getoption(name, False) for name in ("collectonly", "setuponly", "setupplan"))
    return flag(config, "plan") or any(shown)


def retries(config: pytest.Config) -> int:
    """Return how often a test's invalid measurements are retried. Raises UserMistake if it is negative."""
    return _count(config, "retry_invalid", least=0)


def boots(config: pytest.Config) -> int:
    """Return how many boots of each board are measured. Raises UserMistake if it is less than 1."""
    return _count(config, "boots", least=1)


def baseline(config: pytest.Config) -> str:
    """Return the name of the baseline; empty if the gate is off."""
    return str(config.getoption("microcloud_baseline") or config.getini("microcloud_baseline"))


def strict_claims(config: pytest.Config) -> bool:
    """Return whether a claim that does not hold fails its test. Raises UserMistake for a wrong value."""
    chosen = config.getoption("microcloud_claims") or config.getini("microcloud_claims")
    if chosen not in CLAIMS:
        raise UserMistake(f"microcloud_claims = {chosen}: expected {' or '.join(CLAIMS)}")
    return bool(chosen == "strict")


def wait_s(config: pytest.Config) -> float:
    """Return how long to wait for a board that another session uses (s).

    Raises UserMistake if the value is not a number of seconds.
    """
    return _seconds(config, "wait")


def any_boards(config: pytest.Config) -> int:
    """Return how many of the boards that --hosts selects are used (--microcloud-any); 0 means all.

    Raises UserMistake if the number is negative.
    """
    return _count(config, "any", least=0)


def command_timeout_s(config: pytest.Config) -> float:
    """Return the timeout for commands that a test runs on a board (s).

    Raises UserMistake if the value is not a positive number of seconds.
    """
    if not (seconds := _seconds(config, "command_timeout")):
        raise UserMistake("--microcloud-command-timeout=0: give a number of seconds above 0")
    return seconds


def _given(config: pytest.Config, name: str) -> object:
    """Return the value of an option: from the command line if given there, otherwise from the ini file."""
    given: object = config.getoption(f"microcloud_{name}")
    return config.getini(f"microcloud_{name}") if given is None else given


def _as_option(name: str, value: object) -> str:
    return f"--microcloud-{name.replace('_', '-')}={value}"


def _count(config: pytest.Config, name: str, *, least: int) -> int:
    chosen = int(str(_given(config, name)))
    if chosen < least:
        raise UserMistake(f"{_as_option(name, chosen)}: give {least} or more")
    return chosen


def _seconds(config: pytest.Config, name: str) -> float:
    given = _given(config, name)
    try:
        seconds = float(str(given))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UserMistake(f"{_as_option(name, given)}: give a number of seconds")
    return seconds
