"""Reads and writes run files: pytest-benchmark's JSON with this plugin's data under the key "microcloud".

The measurements are in each benchmark's `extra_info`. The boards' fingerprints, the plan, and the outcome of
every test are in `machine_info`.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_microcloud.catalog import Description
from pytest_microcloud.errors import CatalogError, RunError, UserMistake
from pytest_microcloud.measurement import Measurement
from pytest_microcloud.printable import printable
from pytest_microcloud.runs.controls import Control
from pytest_microcloud.runs.fingerprint import Fingerprint
from pytest_microcloud.runs.plan import Plan
from pytest_microcloud.runs.writer import Writer
from pytest_microcloud.suggest import did_you_mean

if TYPE_CHECKING:
    from pytest_microcloud.runs.document import Document, Outcome, StoredMeasurement

SCHEMA = 1
LARGEST_BYTES = 256 * 2**20
"""Largest run file that is read. No real run is that large."""
ROOM_BYTES = 65536
"""Space that must be free before anything is measured: the size of a small run."""
TRUSTED = ("feasible", "infeasible")
WORST_FIRST = ("error", "invalid", "infeasible", "feasible", "not measured")


@dataclass
class Entry:
    """The outcome of one test: a board's measurements in an experiment, or why there are none.

    `test` is the test's node id. `boot` counts the board's boots in the run, from 1. `stage` is empty,
    unless the gate ran the test again to confirm a finding: then "baseline" or "candidate", the side that was
    measured.
    """

    board: str
    experiment: str
    test: str
    verdict: str
    reason: str = ""
    measurements: list[Measurement] = field(default_factory=list)
    boot: int = 1
    stage: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as a dict for the run file."""
        return vars(self) | {"measurements": [m.as_dict() for m in self.measurements]}

    @classmethod
    def of(cls, outcome: Mapping[str, Any]) -> Entry:
        """Return the entry that a dict from a run file describes. Raises msgspec.ValidationError."""
        from msgspec import convert

        from pytest_microcloud.runs.document import Outcome

        return _entry(convert(outcome, Outcome))


@dataclass(frozen=True)
class Run:
    """A run that was read from its file. `taken` is an ISO date and time in UTC.

    `boards` maps boards' names to their fingerprints, `experiments` maps experiments' names to their
    descriptions, and `controls` maps boards' names to the readings of the control. Files of earlier versions
    have no plan, experiments or controls.
    """

    file: Path
    taken: str
    effort: str
    boards: Mapping[str, Fingerprint]
    entries: tuple[Entry, ...]
    plan: Plan
    experiments: Mapping[str, Description] = field(default_factory=dict)
    controls: Mapping[str, Control] = field(default_factory=dict)

    @cached_property
    def id(self) -> str:
        """The run's id: its file's name without the suffix."""
        return self.file.stem

    def boots(self, board: str) -> int:
        """Return in how many of a board's boots a metric was measured: the largest number of all metrics."""
        boots: dict[tuple[object, ...], set[int]] = {}
        for e in self.entries:
            if e.board == board and not e.stage:
                for m in e.measurements:
                    boots.setdefault((m.metric, *sorted(m.labels.items())), set()).add(e.boot)
        return max(map(len, boots.values()), default=0)

    def trusted(self, stage: str = "") -> Iterator[tuple[Entry, Measurement]]:
        """Yield all valid measurements of a stage (see `Entry`) with finite samples, each after its entry."""
        for entry in self.entries:
            if entry.stage == stage:
                for m in entry.measurements:
                    if m.samples and m.verdict in TRUSTED and all(map(math.isfinite, m.samples)):
                        yield entry, m

    @property
    def unfinished(self) -> bool:
        """Whether the run was interrupted, so that some planned tests have no outcome."""
        return not {entry.test for entry in self.entries}.issuperset(self.plan.tests)

    def is_of(self, os_release: str) -> bool:
        """Whether a board ran an OS release, given as words of the OS's name or as a HypriotOS version."""
        wanted = re.compile(rf"(?<![\w.]){re.escape(os_release)}(?![\w.])", re.IGNORECASE)
        return any(wanted.search(name) for facts in self.boards.values() for name in facts.releases)


@dataclass(frozen=True)
class Skipped:
    """A file in a directory of runs that cannot be read as a run, and the reason."""

    file: Path
    reason: str


def make_room(directory: Path) -> None:
    """Create the directory of run files. Raises UserMistake if no run file can be written to it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(bytes(ROOM_BYTES))
    except OSError as error:
        raise UserMistake(
            f"{directory.parent}: cannot write reports to this directory: {error.strerror}; "
            "make room, or choose another directory with --microcloud-reports"
        ) from error


def write(file: Path, document: Mapping[str, Any]) -> None:
    """Write a run file atomically: readers get the old or the new contents, never a part."""
    write_text(file, json.dumps(document, default=str))


def write_text(file: Path, text: str) -> None:
    """Write a run file from its JSON text, atomically."""
    with closing(Writer(file)) as writer:
        writer.write(text)


def read(file: Path) -> dict[str, Any]:
    """Return the JSON of a run file as a dict. Raises RunError with the file's name if it is not a run."""
    name = printable(str(file))
    if name != str(file):
        raise RunError(f"{name}: the file's name has characters that cannot be printed: rename the file")
    try:
        document = json.loads(_text(file))
        json.dumps(document, ensure_ascii=False).encode()  # a lone surrogate cannot be written anywhere
    except OSError as error:
        raise RunError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{file}: is not JSON, or is truncated: {error}") from error
    try:
        ours, benchmarks = document["machine_info"]["microcloud"], document["benchmarks"]
    except KeyError as error:
        raise RunError(f"{file}: is not a run of pytest-microcloud: it has no {error}") from error
    except TypeError as error:
        raise RunError(f"{file}: is not a run of pytest-microcloud") from error
    if not isinstance(ours, dict) or not isinstance(benchmarks, list):
        raise RunError(f"{file}: is not a run of pytest-microcloud")
    return dict(document)


def _text(file: Path) -> str:
    """Return a file's text. Raises OSError if the file is too large, or a FIFO or device (may never end)."""
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:
        found = os.fstat(opened.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "is not a regular file")
        if found.st_size > LARGEST_BYTES:
            raise OSError(errno.EFBIG, f"has {found.st_size} bytes, but the limit is {LARGEST_BYTES}")
        return opened.read(LARGEST_BYTES).decode("utf-8")


def load(file: Path) -> Run:
    """Return the run in a file. Raises RunError with the file's name and the JSON path of a wrong value."""
    return understood(file, read(file))


def understood(file: Path, document: Mapping[str, Any]) -> Run:
    """Return the run that `document`, the JSON of `file`, describes. Raises RunError as `load` does."""
    from msgspec import ValidationError

    from pytest_microcloud.runs.document import decoded

    _refuse_later_schema(file, document["benchmarks"])
    try:
        typed = decoded(document)
        entries = tuple(_entries(typed))
    except (ValidationError, CatalogError, ValueError, OverflowError) as error:
        raise RunError(f"{file}: is a run with a wrong value: {printable(str(error))}") from error
    ours = typed.machine_info.microcloud
    return Run(
        file,
        typed.datetime,
        ours.effort,
        ours.boards,
        entries,
        ours.plan,
        ours.experiments,
        ours.controls,
    )


def _refuse_later_schema(file: Path, benchmarks: Iterable[Any]) -> None:
    for benchmark in benchmarks:
        try:
            schema = benchmark["extra_info"]["microcloud"]["schema"]
        except (KeyError, TypeError, IndexError):
            continue
        if isinstance(schema, int) and schema > SCHEMA:
            raise RunError(f"{file}: was written by a later version (schema {schema}): upgrade to read it")


def every(
    directory: Path, *, newest_first: bool = False, apart_from: Path | None = None
) -> Iterator[Run | Skipped]:
    """Yield each run of a directory, and a `Skipped` for each file that is not a run.

    Runs are in the order of their names: the oldest first or, with `newest_first`, the newest first.
    `apart_from` is a run file to leave out.
    """
    for file in sorted(directory.glob("*.json"), reverse=newest_first):
        if apart_from and _same(file, apart_from):
            continue
        try:
            yield load(file)
        except RunError as error:
            yield Skipped(file, str(error))


def find(
    reference: str, directory: Path, *, apart_from: Path | None = None, models: Collection[str] = ()
) -> Run:
    """Return the run that `reference` selects: a file, a run's name, or an OS release.

    For an OS release, the newest run is selected. Runs with a board of one of `models` are preferred, then
    finished runs.
    `apart_from` is a run file that is never selected. Raises RunError.
    """
    named = (Path(reference), directory / reference, directory / f"{reference}.json")
    if file := next(filter(_is_file, named), None):
        if apart_from and _same(file, apart_from):
            raise RunError(f"{reference}: a run cannot be compared with itself")
        return load(file)
    if not reference.strip() or reference.endswith(".json"):
        raise RunError(f"{reference}: there is no such run file")

    def rank(run: Run) -> tuple[bool, bool, str]:
        has_model = any(facts.model in models for facts in run.boards.values())
        return has_model, not run.unfinished, run.taken

    best: Run | None = None
    itself = ""
    names: list[str] = []
    releases: dict[str, None] = {}
    for run in every(directory):
        if not isinstance(run, Run):
            continue
        names.append(run.id)
        if apart_from and _same(run.file, apart_from):
            itself = run.id if run.is_of(reference) else ""
        else:
            releases |= dict.fromkeys(str(facts.os_release) for facts in run.boards.values())
            if run.is_of(reference) and (best is None or rank(run) >= rank(best)):
                best = run
    if best is not None:
        return best
    if itself:
        raise RunError(
            f"{reference}: only the run {itself} is of that OS release, and a run cannot be compared with "
            "itself"
        )
    known = ", ".join(sorted(releases))
    there = f"OS releases: {known}" if known else f"the directory holds no {'other ' if names else ''}runs"
    raise RunError(
        f"no run in {directory} is named {reference!r} or is of that OS release"
        + did_you_mean([reference], [*names, *releases], alike=0.5)
        + f" ({there})"
    )


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # the name is too long for a file
        return False


def _same(file: Path, other: Path) -> bool:
    return other.exists() and file.samefile(other)


def _entries(document: Document) -> Iterator[Entry]:
    """Yield an entry for each test: first the tests that have a benchmark, then all others."""
    outcomes = {outcome.test: outcome for outcome in document.machine_info.microcloud.outcomes}
    for benchmark in document.benchmarks:
        ours = benchmark.extra_info and benchmark.extra_info.microcloud
        if not ours:  # a benchmark of the user's own
            continue
        measurements = list(map(_measurement, ours.measurements))
        outcome = outcomes.pop(benchmark.fullname, None)
        yield Entry(
            ours.board,
            ours.experiment,
            benchmark.fullname,
            outcome.verdict if outcome else worst(m.verdict for m in measurements),
            outcome.reason if outcome else "",
            measurements,
            ours.boot,
            ours.stage,
        )
    for outcome in outcomes.values():
        yield _entry(outcome)


def _entry(outcome: Outcome) -> Entry:
    return Entry(**vars(outcome) | {"measurements": list(map(_measurement, outcome.measurements))})


def unstorable(measured: Measurement) -> str:
    """Return why a run file cannot store a measurement; empty if it can."""
    from pytest_microcloud.runs.document import StoredMeasurement

    return _mismatch(measured.as_dict(), StoredMeasurement)


def unreadable(outcome: Mapping[str, Any]) -> str:
    """Return why a test's outcome could not be read back from a run file; empty if it can."""
    from pytest_microcloud.runs.document import Outcome

    return _mismatch(outcome, Outcome)


def _mismatch(plain: Mapping[str, Any], form: type) -> str:
    from msgspec import ValidationError, convert

    try:
        convert(plain, form)
    except ValidationError as error:
        return printable(str(error))
    return ""


def worst(verdicts: Iterable[str]) -> str:
    """Return the worst of the verdicts; "not measured" if there are none."""
    there = set(verdicts)
    return next((verdict for verdict in WORST_FIRST if verdict in there), "not measured")


def _measurement(stored: StoredMeasurement) -> Measurement:
    return Measurement(**vars(stored) | {"labels": stored.labels or {}, "better": stored.better or "lower"})
