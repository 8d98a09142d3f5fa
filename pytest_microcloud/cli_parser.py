"""The command line of `microcloud`: its commands, their arguments and help texts."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from pytest_microcloud import __version__

SINGLE_STAGE = (
    "The verdicts come from stored runs alone (single-stage rule): suspects were not measured again. "
    "To confirm suspects, run pytest --microcloud-baseline=…."
)


def parser(functions: Mapping[str, Callable[[argparse.Namespace], int]]) -> argparse.ArgumentParser:
    """Return the parser of the command line. Parsed arguments have the command's function as `function`."""
    whole = argparse.ArgumentParser(
        prog="microcloud",
        description="Read stored runs of pytest-microcloud, start a project, and clean up.",
        epilog="To measure boards, run pytest: pytest suites/ --hosts=pi3b",
    )
    whole.add_argument("--version", action="version", version=f"pytest-microcloud {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    runs = commands.add_parser(
        "runs",
        help="list the stored runs",
        description="List the stored runs, oldest first, with one line per board. "
        "Files that are not runs are reported on stderr.",
    )
    runs.set_defaults(function=functions["runs"])

    compare = commands.add_parser(
        "compare",
        help="compare a run with a baseline; exit with 1 if a metric regressed",
        description="Compare a run with a baseline. Name each of the two runs by its file, its id, or an OS "
        "release (bookworm, v1.12.2). An OS release selects the newest run of this release.",
        epilog=f"{SINGLE_STAGE} Exit codes: 0 no metric regressed, 1 a metric regressed, 2 the command "
        "line is wrong, 4 a run does not exist, the runs cannot be compared, or a rule is invalid.",
    )
    compare.add_argument("baseline", metavar="BASELINE")
    compare.add_argument("candidate", metavar="CANDIDATE")
    compare.add_argument(
        "--gate",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="TOML file with custom rules for single metrics; can be given more than once",
    )
    compare.add_argument(
        "-v", "--verbose", action="store_true", help="also list metrics with the verdict 'no evidence'"
    )
    compare.add_argument("--json", action="store_true", help="print the comparison as JSON")
    compare.set_defaults(function=functions["compare"])

    report = commands.add_parser(
        "report",
        help="write the page that compares boards and OS releases over all stored runs",
        description="Write the page that compares boards and OS releases over all stored runs.",
    )
    report.add_argument(
        "--output",
        type=Path,
        default=Path("reports/generations.html"),
        metavar="FILE",
        help="write the page to FILE (default: %(default)s)",
    )
    report.add_argument(
        "--catalog",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="TOML file with custom board models and workloads, as in the ini option microcloud_catalog; "
        "can be given more than once",
    )
    report.set_defaults(function=functions["report"])

    fleet = commands.add_parser(
        "fleet",
        help="write the page of boards that deviate from other boards of their model, or drift",
        description="Write the page of boards that deviate from the other boards of their model and OS "
        "release, and of boards that drift. Print one line for each board that deviates.",
    )
    fleet.add_argument(
        "--output",
        type=Path,
        default=Path("reports/fleet.html"),
        metavar="FILE",
        help="write the page to FILE (default: %(default)s)",
    )
    fleet.set_defaults(function=functions["fleet"])

    export = commands.add_parser(
        "export",
        help="print a stored run in another program's format",
        description="Print a stored run in another program's format. Name the run by its file, its id, or an "
        "OS release, which selects the newest run of this release.",
    )
    export.add_argument("run", metavar="RUN")
    export.add_argument(
        "--format",
        required=True,
        choices=("bencher", "csv", "junit"),
        help="Bencher Metric Format (JSON), CSV with one line per sample, or JUnit XML",
    )
    export.set_defaults(function=functions["export"])
    noise = commands.add_parser(
        "noise",
        help="show how noisy each board is, and how many boots the gate needs to find a change",
        description="Show how much each board's metrics and its control vary, and how many boots per side "
        "the gate needs to find a change of 5, 10 and 20 % on the board. A run is left out if it has another "
        "OS release, SD card or host than the board's newest run.",
    )
    noise.add_argument(
        "pattern",
        nargs="?",
        default="*",
        metavar="PATTERN",
        help="names or models of boards, with wildcards, separated by commas (default: all boards)",
    )
    noise.add_argument(
        "--gate",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="TOML file with custom rules for single metrics; can be given more than once",
    )
    noise.add_argument("--json", action="store_true", help="print the figures as JSON")
    noise.set_defaults(function=functions["noise"])
    boards = commands.add_parser(
        "boards",
        help="show the state of boards; exit with 1 if a board is unfit",
        description="Show the state of the inventory's boards: whether they are reachable, their model, who "
        "uses them, and their last verdict. The command starts, measures and locks nothing.",
        epilog="Exit codes: 0 no board is unfit, 1 a board is unfit, 2 the command line is wrong, 4 the "
        "inventory is wrong or has no matching board. Boards that are out of service or not running do not "
        "count as unfit.",
    )
    boards.add_argument(
        "pattern",
        nargs="*",
        metavar="PATTERN",
        help="hosts, groups and patterns of the inventory (default: all)",
    )
    boards.add_argument(
        "--inventory",
        type=Path,
        metavar="FILE",
        help="Ansible inventory with the boards (default: the inventory that pytest uses)",
    )
    boards.add_argument("--json", action="store_true", help="print the states as JSON")
    boards.set_defaults(function=functions["boards"])
    for command in (runs, compare, report, fleet, export, noise, boards):
        command.add_argument(
            "--runs",
            type=Path,
            default=Path("reports/runs"),
            metavar="DIR",
            help="directory of the run files (default: %(default)s)",
        )

    init = commands.add_parser(
        "init",
        help="write an inventory and the suites into a directory",
        description="Write an inventory (hosts.ini) and the suites into a directory. The command creates the "
        "directory if necessary. If one of the files already exists, it writes nothing.",
    )
    init.add_argument("directory", type=Path, metavar="DIR")
    init.set_defaults(function=functions["init"])

    clean = commands.add_parser(
        "clean",
        help="remove emulated boards that were kept, or left behind by killed runs",
        description="Remove emulated boards that were kept, or left behind by killed runs. "
        "Run files are not removed.",
    )
    clean.add_argument(
        "--cache", action="store_true", help="also remove built images, SD cards and CPU calibrations"
    )
    clean.set_defaults(function=functions["clean"])
    return whole
