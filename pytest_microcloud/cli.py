"""The `microcloud` command: what stored runs say, a directory to start in, and cleaning up.

It exits with 0 if all is well, 1 if something regressed or could not be done, 2 for a wrong command line,
and 4 (pytest's usage error) for what the user can mend: a run that is not there or cannot be compared.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_microcloud import __version__
from pytest_microcloud.errors import MicrocloudError, RunError, UserMistake
from pytest_microcloud.printable import printable

if TYPE_CHECKING:
    from pytest_microcloud.runs import Run, Skipped

FAILED, MISTAKEN, INTERRUPTED = 1, 4, 130
SINGLE_STAGE = (
    "Judged from stored runs alone, by the single-stage rule: nothing was measured again to confirm. "
    "pytest --microcloud-baseline=… does that."
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code; argparse exits with 2 for a wrong command line."""
    chosen = _parser().parse_args(arguments)
    try:
        code: int = chosen.function(chosen)
        sys.stdout.flush()
    except MicrocloudError as error:
        print(f"microcloud: {printable(str(error))}", file=sys.stderr)
        return MISTAKEN if isinstance(error, UserMistake) else FAILED
    except BrokenPipeError:  # `microcloud runs | head`: who read it has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        print(f"microcloud: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="microcloud",
        description="What stored runs of pytest-microcloud say, and what it leaves on this machine.",
        epilog="Boards are measured by pytest: pytest suites/ --hosts=pi3b",
    )
    parser.add_argument("--version", action="version", version=f"pytest-microcloud {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    runs = commands.add_parser(
        "runs",
        help="list the stored runs",
        description="List the stored runs, the oldest first, a line for each board. "
        "Files that are none are named on stderr.",
    )
    runs.set_defaults(function=_runs)

    compare = commands.add_parser(
        "compare",
        help="compare a run with a baseline; exit with 1 if something regressed",
        description="Compare a run with a baseline. Either is a file, a run's name, or an OS release "
        "(bookworm, v1.12.2), which selects its newest run.",
        epilog=f"{SINGLE_STAGE} Exit codes: 0 nothing regressed, 1 something did, 2 a wrong command line, "
        "4 there is no such run, or the two cannot be compared.",
    )
    compare.add_argument("baseline", metavar="BASELINE")
    compare.add_argument("candidate", metavar="CANDIDATE")
    compare.add_argument(
        "--gate",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="user-defined rules for single metrics (TOML); may be given more than once",
    )
    compare.add_argument("-v", "--verbose", action="store_true", help="show metrics without evidence, too")
    compare.add_argument("--json", action="store_true", help="print the comparison for machines")
    compare.set_defaults(function=_compare)

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
        help="where the page goes (default: %(default)s)",
    )
    report.add_argument(
        "--catalog",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="user-defined board models and workloads (TOML), as in the ini option microcloud_catalog; "
        "may be given more than once",
    )
    report.set_defaults(function=_report)

    export = commands.add_parser(
        "export",
        help="print a stored run in a format of another program",
        description="Print a stored run: a file, a run's name, or an OS release (its newest run).",
    )
    export.add_argument("run", metavar="RUN")
    export.add_argument(
        "--format",
        required=True,
        choices=("bencher", "csv", "junit"),
        help="Bencher Metric Format (JSON), CSV with one line per sample, or JUnit XML",
    )
    export.set_defaults(function=_export)
    for command in (runs, compare, report, export):
        command.add_argument(
            "--runs",
            type=Path,
            default=Path("reports/runs"),
            metavar="DIR",
            help="where the run files are (default: %(default)s)",
        )

    init = commands.add_parser(
        "init",
        help="put an inventory and the suites into a directory",
        description="Put an inventory (hosts.ini) and the suites into a directory, which is created "
        "if it is not there. Where one of these files is there already, nothing is written.",
    )
    init.add_argument("directory", type=Path, metavar="DIR")
    init.set_defaults(function=_init)

    clean = commands.add_parser(
        "clean",
        help="remove boards that were kept or left by killed runs",
        description="Remove emulated boards that were kept or left by killed runs. Run files stay.",
    )
    clean.add_argument(
        "--cache", action="store_true", help="also remove built images, SD cards and CPU calibrations"
    )
    clean.set_defaults(function=_clean)
    return parser


def _runs(chosen: argparse.Namespace) -> int:
    """List the stored runs."""
    from pytest_microcloud.runs import Skipped, every

    lines: list[tuple[str, ...]] = [
        ("RUN", "DATE", "BOARD", "MODEL", "OS RELEASE", "EFFORT", "BOOTS", "VERDICTS")
    ]
    for run in every(_existing(chosen.runs)):
        if isinstance(run, Skipped):
            _print_skipped([run])
        else:
            lines += _lines(run)
    if len(lines) == 1:
        print(f"{chosen.runs} holds no runs")
        return 0
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(map(str.ljust, line, widths)).rstrip())
    return 0


def _lines(run: Run) -> Iterator[tuple[str, ...]]:
    """Yield what the list says of a run: a line for each board that it was to measure."""
    date = run.taken[:16].replace("T", " ")
    boards = dict.fromkeys([*run.boards, *(entry.board for entry in run.entries)])
    for board in boards or ["–"]:
        facts = run.boards.get(board)
        kind = "–" if not facts else "emulated" if facts.emulated else "real"
        verdicts = _counted(entry.verdict for entry in run.entries if entry.board == board)
        yield tuple(
            printable(str(cell))
            for cell in (
                run.id,
                date,
                f"{board} ({kind})",
                facts.model if facts else "–",
                (facts and facts.release) or "–",
                run.effort or "–",
                run.boots(board),
                f"{verdicts}; unfinished" if run.unfinished else verdicts,
            )
        )


def _counted(verdicts: Iterable[str]) -> str:
    """Return verdicts as in "12 feasible, 2 invalid"."""
    there = list(verdicts)
    return ", ".join(f"{there.count(verdict)} {verdict}" for verdict in dict.fromkeys(there)) or "nothing"


def _compare(chosen: argparse.Namespace) -> int:
    """Compare a run with a baseline."""
    import json

    from pytest_microcloud import runs
    from pytest_microcloud.verdict import comparison
    from pytest_microcloud.verdict.gate import Rules

    rules = Rules(chosen.gate)
    candidate = runs.find(chosen.candidate, chosen.runs)
    models = {facts.model for facts in candidate.boards.values()}
    baseline = runs.find(chosen.baseline, chosen.runs, apart_from=candidate.file, models=models)
    found = comparison.compare(baseline, candidate, rules)
    if chosen.json:
        print(json.dumps(found.as_dict(), ensure_ascii=False, allow_nan=False, indent=2))
    else:
        from pytest_microcloud.report import comparison_table

        print(comparison_table.text(found, verbose=chosen.verbose))
        print(SINGLE_STAGE)
    return FAILED if found.fails else 0


def _report(chosen: argparse.Namespace) -> int:
    """Write the page of all stored runs."""
    from pytest_microcloud import catalog
    from pytest_microcloud.report import generations

    _print_skipped(generations.write(_existing(chosen.runs), chosen.output, catalog.load(chosen.catalog)))
    print(chosen.output)
    return 0


def _export(chosen: argparse.Namespace) -> int:
    """Print a run in another format."""
    from pytest_microcloud import runs
    from pytest_microcloud.report import export

    sys.stdout.write(export.FORMATS[chosen.format](runs.find(chosen.run, chosen.runs)))
    return 0


def _init(chosen: argparse.Namespace) -> int:
    """Put a project's files into a directory."""
    import shlex

    from pytest_microcloud import project

    for file in project.create(chosen.directory):
        print(f"wrote {file}")
    go = "" if chosen.directory.samefile(".") else f"cd {shlex.quote(str(chosen.directory))} && "
    print(f"next: {go}pytest suites/ --hosts=pi3b --microcloud-plan")
    return 0


def _clean(chosen: argparse.Namespace) -> int:
    """Remove what runs left on this machine, without an engine what is not on one."""
    import shutil

    from pytest_microcloud.boards.drivers.container import calibration
    from pytest_microcloud.controller import engine, images, leftovers, workspace
    from pytest_microcloud.errors import EngineMissing

    _print_removed(f"the files of run {run_id}" for run_id in workspace.remove_abandoned())
    if chosen.cache:
        shutil.rmtree(calibration.cache_directory(), ignore_errors=True)
        _print_removed(["CPU calibrations"])
    try:
        host = engine.host_engine()
    except EngineMissing:
        if os.environ.get("DOCKER_HOST"):
            raise
        print("no Docker engine is here that could have emulated boards")
        return 0
    with closing(host):
        cleaned = leftovers.clean(host, kept=True)
        _print_removed(cleaned.removed)
        for name in cleaned.remaining:
            print(f"microcloud: could not remove {name}", file=sys.stderr)
        if chosen.cache:
            _print_removed(images.forget(host))
    return 1 if cleaned.remaining else 0


def _print_removed(names: Iterable[str]) -> None:
    for name in names:
        print(f"removed {name}")


def _existing(directory: Path) -> Path:
    """Return the directory of runs if there is one; raises RunError."""
    if not directory.is_dir():
        raise RunError(f"{directory}: there is no such directory of runs; name another with --runs")
    return directory


def _print_skipped(skipped: Sequence[Skipped]) -> None:
    for each in skipped:
        print(f"microcloud: skipped {printable(each.reason)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
