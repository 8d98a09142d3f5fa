"""Writes to the terminal: the boards, the closing table of verdicts, the claims, the plan."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_microcloud.measurement import shown

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_microcloud.inventory.target import Target
    from pytest_microcloud.runs.fingerprint import Fingerprint
    from pytest_microcloud.verdict.claims import Claim
    from pytest_microcloud.verdict.matrix import Cell

COLOURS = {
    "feasible": {"green": True},
    "infeasible": {"red": True},
    "invalid": {"yellow": True},
    "error": {"red": True},
    "not measured": {"light": True},
}


def header(targets: Iterable[Target], run_id: str, effort: str, about: str) -> list[str]:
    """Return lines about the run and the chosen boards for pytest's header, before any board is connected."""
    targets = list(targets)
    boards = ", ".join(f"{t.name} ({t.model}, {t.driver})" for t in targets)
    unused = [
        f"{t.name}: {', '.join(t.unused_passwords)} not used: log in with a key, use sudo without a password"
        for t in targets
        if t.unused_passwords
    ]
    return [f"microcloud: run {run_id}, effort {effort} ({about})", f"boards: {boards}", *unused]


def board_lines(name: str, model: str, facts: Fingerprint) -> list[str]:
    """Return lines that describe a board that is up: model, OS, size, what is not emulated or not watched."""
    size = f"{facts.cpus} CPU{'' if facts.cpus == 1 else 's'}, {shown(facts.memory_bytes or 0.0, 'B')}"
    which = "" if facts.identity else " according to the inventory (hardware not recognised)"
    if facts.emulated:
        which = ", emulated"
    lines = [
        f"{name}: {model}{which}; {facts.os_release or 'an unknown system'}; "
        f"{facts.engine} {facts.docker_version}; {size}"
    ]
    for what, items in (
        ("not emulated", "; ".join(facts.not_emulated)),
        ("not watched", "; ".join(facts.not_watched)),
        ("load of others", _containers(facts.others_containers)),
    ):
        text = f"{what}: {items}" if items else ""
        lines += textwrap.wrap(text, width=100, initial_indent="  ", subsequent_indent="    ")
    return lines


def _containers(names: Sequence[str]) -> str:
    count = f"{len(names)} running containers that this plugin did not start"
    return f"{count}: {', '.join(names)}" if names else ""


def closing_table(
    reporter: TerminalReporter,
    table: Mapping[str, Mapping[str, Cell]],
    boards: Mapping[str, str],
    before: Collection[str] = (),
) -> None:
    """Write the closing table: for each board and experiment the verdict, headline figure and reasons.

    `boards` is a dict from each board that was up to the line that describes the board. `before` names the
    boards that were up before the run was interrupted.
    """
    reporter.section("micro-cloud verdicts")
    written: set[str] = set()
    for name, cells in table.items():
        never = f"{name}: {'results from before the interruption' if name in before else 'never came up'}"
        reporter.write_line(boards.get(name, never))
        for experiment, cell in cells.items():
            reporter.write(f"  {experiment:<10}")
            reporter.write(f"{cell.verdict:<14}", **(COLOURS[cell.verdict] if cell.judged else {}))
            reporter.write_line(f"{cell.headline}{f'; {cell.remark}' if cell.remark else ''}")
            for reason in cell.reasons:
                for line in ["as above"] if reason in written else reason.splitlines():
                    reporter.write_line(f"    {line}")
            written.update(cell.reasons)


def claims(reporter: TerminalReporter, judged: Sequence[Claim]) -> None:
    """Write how many of the paper's claims hold, with details of those that fail or hold with doubts.

    Doubts are missing figures and figures of emulated boards. Claims that are not measured at all are listed
    with -v only, because few users have all boards of the paper.
    """
    from pytest_microcloud.verdict.claims import FAILS, HOLDS, NOT_MEASURED

    count = {verdict: sum(c.verdict == verdict for c in judged) for verdict in (HOLDS, FAILS, NOT_MEASURED)}
    so_far = sum(c.so_far for c in judged)
    brief = reporter.verbosity < 1
    reporter.write_line(
        f"claims: {count[HOLDS]} hold{f' ({so_far} of them so far)' if so_far else ''}, "
        f"{count[FAILS]} do not hold, {count[NOT_MEASURED]} are not measured"
        f"{' (-v lists the missing figures)' if brief and count[NOT_MEASURED] else ''}"
    )
    for claim in judged:
        missing, emulated = "; ".join(claim.missing), ", ".join(claim.emulated)
        details = {
            HOLDS: f"not measured: {missing}" if claim.so_far else "",
            FAILS: "; ".join(claim.numbers),
            NOT_MEASURED: missing,
        }[claim.verdict]
        doubts = "; ".join(filter(None, (details, f"emulated: {emulated}" if emulated else "")))
        if brief and claim.verdict == NOT_MEASURED:
            continue
        if doubts or claim.verdict != HOLDS:
            verdict = f"{claim.verdict} so far" if claim.so_far else claim.verdict
            reporter.write_line(f"  {verdict}: {claim.says} ({claim.section}): {doubts}")


def plan(
    reporter: TerminalReporter,
    steps: Mapping[str, list[tuple[str, float]]],
    power_on_s: float,
    real: Collection[str] = (),
) -> None:
    """Write the steps of each board with their estimated time; boards in `real` are already on."""
    reporter.section("micro-cloud plan")
    total_s = 0.0
    for board, tests in steps.items():
        power_on = f"power on (about {shown_time(power_on_s)}; minutes the first time on a host)"
        reporter.write_line(f"{board}: {'connect' if board in real else power_on}")
        for name, seconds in tests:
            reporter.write_line(f"  {shown_time(seconds):>8}  {name}")
            total_s += seconds
        total_s += 0.0 if board in real else power_on_s
    reporter.write_line(f"about {shown_time(total_s)} in all; nothing was touched")


def shown_time(seconds: float) -> str:
    """Return a duration in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
