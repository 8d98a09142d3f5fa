"""The `microcloud` command: read stored runs, show the state of boards, start a project, and clean up.

Exit codes: 0 on success, 1 if something regressed or failed, 2 for a wrong command line. A mistake that the
user can fix, such as the name of a run that does not exist, gives 4, pytest's code for usage errors.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_microcloud import cli_parser
from pytest_microcloud.errors import MicrocloudError, RunError, UserMistake
from pytest_microcloud.printable import printable

if TYPE_CHECKING:
    from pytest_microcloud.runs import Run, Skipped
    from pytest_microcloud.verdict.noise import Noise

FAILED, MISTAKEN, INTERRUPTED = 1, 4, 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code; argparse exits with 2 for a wrong command line."""
    chosen = cli_parser.parser(FUNCTIONS).parse_args(arguments)
    try:
        code: int = chosen.function(chosen)
        sys.stdout.flush()
    except MicrocloudError as error:
        print(f"microcloud: {printable(str(error))}", file=sys.stderr)
        return MISTAKEN if isinstance(error, UserMistake) else FAILED
    except BrokenPipeError:  # as in `microcloud runs | head`: the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        print(f"microcloud: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return FAILED
    return code


def _runs(chosen: argparse.Namespace) -> int:
    """`microcloud runs`: list the stored runs."""
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
    """Yield the table rows for a run, one row for each of the run's boards."""
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
    """Return a text with the number of occurrences of each verdict, such as "12 feasible, 2 invalid"."""
    there = list(verdicts)
    return ", ".join(f"{there.count(verdict)} {verdict}" for verdict in dict.fromkeys(there)) or "nothing"


def _compare(chosen: argparse.Namespace) -> int:
    """`microcloud compare`: compare a run with a baseline."""
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
        print(cli_parser.SINGLE_STAGE)
    return FAILED if found.fails else 0


def _report(chosen: argparse.Namespace) -> int:
    """`microcloud report`: write the page that compares all stored runs."""
    from pytest_microcloud import catalog
    from pytest_microcloud.report import generations, run_directory

    stored = run_directory.read(_existing(chosen.runs))
    generations.write(stored, chosen.output, catalog.load(chosen.catalog))
    _print_skipped(stored.skipped)
    print(chosen.output)
    return 0


def _fleet(chosen: argparse.Namespace) -> int:
    """`microcloud fleet`: write the page about boards that deviate from their fleet or drift."""
    from pytest_microcloud.report import deviations, fleet_page, run_directory

    stored = run_directory.read(_existing(chosen.runs))
    fleets = fleet_page.fleets(stored)
    fleet_page.write(stored, fleets, chosen.output)
    _print_skipped(stored.skipped)
    for line in deviations.lines(fleets, stored.histories.names, chosen.output.name):
        print(printable(line))
    print(chosen.output)
    return 0


def _export(chosen: argparse.Namespace) -> int:
    """`microcloud export`: print a run in another format."""
    from pytest_microcloud import runs
    from pytest_microcloud.report import export

    sys.stdout.write(export.FORMATS[chosen.format](runs.find(chosen.run, chosen.runs)))
    return 0


def _noise(chosen: argparse.Namespace) -> int:
    """`microcloud noise`: show how much each board's measurements vary."""
    import json

    from pytest_microcloud import runs
    from pytest_microcloud.catalog import descriptions
    from pytest_microcloud.report import noise_table
    from pytest_microcloud.verdict import noise
    from pytest_microcloud.verdict.gate import Rules

    stored = runs.every(_existing(chosen.runs), newest_first=True)
    found = noise.of_boards(stored, Rules(chosen.gate), descriptions())
    found = _matching(found, chosen.pattern)
    if chosen.json:
        boards = [each.as_dict() for each in found.values()]
        print(json.dumps(boards, ensure_ascii=False, allow_nan=False, indent=2))
    else:
        print(noise_table.text(found) or f"{chosen.runs} holds no runs")
    return 0


def _matching(found: Mapping[str, Noise], pattern: str) -> dict[str, Noise]:
    """Return the part of `found` whose boards or models match a pattern. Raises RunError if none matches."""
    from fnmatch import fnmatchcase

    from pytest_microcloud.inventory import words
    from pytest_microcloud.suggest import did_you_mean, listed

    chosen: dict[str, Noise] = {}
    for word in words(pattern):
        named = {
            name: noise
            for name, noise in found.items()
            if fnmatchcase(name, word) or fnmatchcase(noise.facts.model, word)
        }
        if not named and word != "*":
            known = sorted({*found, *(noise.facts.model for noise in found.values())})
            there = f"{did_you_mean([word], known)} (boards and models with runs: {listed(known) or 'none'})"
            raise RunError(f"no run has a board or model {word!r}{there}")
        chosen |= named
    return chosen


def _boards(chosen: argparse.Namespace) -> int:
    """`microcloud boards`: show the state of boards."""
    from pytest_microcloud.session import lab_state

    pattern = ",".join(chosen.pattern) or "all"
    return lab_state.show(pattern, chosen.inventory, chosen.runs, as_json=chosen.json)


def _init(chosen: argparse.Namespace) -> int:
    """`microcloud init`: write the files of a new project into a directory."""
    import shlex

    from pytest_microcloud import project

    for file in project.create(chosen.directory):
        print(f"wrote {file}")
    go = "" if chosen.directory.samefile(".") else f"cd {shlex.quote(str(chosen.directory))} && "
    print(f"next: {go}pytest suites/ --hosts=pi3b --microcloud-plan")
    return 0


def _clean(chosen: argparse.Namespace) -> int:
    """`microcloud clean`: remove what runs left behind here; without a Docker engine, only files."""
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
        print("no Docker engine on this machine, so no emulated boards to remove")
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
    """Return `directory` if it exists; otherwise raise RunError, which mentions --runs."""
    if not directory.is_dir():
        raise RunError(f"{directory}: no such directory; give the directory of the run files with --runs")
    return directory


def _print_skipped(skipped: Sequence[Skipped]) -> None:
    for each in skipped:
        print(f"microcloud: skipped {printable(each.reason)}", file=sys.stderr)


FUNCTIONS = {
    "runs": _runs,
    "compare": _compare,
    "report": _report,
    "fleet": _fleet,
    "export": _export,
    "noise": _noise,
    "boards": _boards,
    "init": _init,
    "clean": _clean,
}


if __name__ == "__main__":
    sys.exit(main())
