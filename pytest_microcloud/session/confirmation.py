"""The gate at the end of a session: its run is compared with a baseline, and suspects are measured again.

A suspect is confirmed by the tests that measured it, in fresh boots of both sides in alternation. Where the
board cannot boot what the baseline was made of, the single-stage rule applies to the comparison.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Generator, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud.errors import BoardError, RunError
from pytest_microcloud.session.items import PHASE, board_of, phase_of
from pytest_microcloud.session.state import SESSION, Against, Phase

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_microcloud.runs import Run
    from pytest_microcloud.session.resume import Resume
    from pytest_microcloud.session.run_file import RunFile
    from pytest_microcloud.session.write_errors import WriteErrors
    from pytest_microcloud.verdict.comparison import Comparison
    from pytest_microcloud.verdict.gate import Finding

STAGES = ("baseline", "candidate")
SUMMARY = "GITHUB_STEP_SUMMARY"
"""GitHub Actions' variable with the file whose Markdown it shows on a job's page."""
COLOURS = {"regressed": {"red": True}, "improved": {"green": True}}


class Gate:
    """The hooks of a session that is compared with a baseline."""

    def __init__(
        self, config: pytest.Config, against: Against, run_file: RunFile, write_errors: WriteErrors
    ) -> None:
        self._config = config
        self._session = config.stash[SESSION]
        self._against = against
        self._run_file = run_file
        self._write_errors = write_errors
        self._unconfirmed: Comparison | None = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Compare after the last test; a session that was stopped before it is not compared."""
        result = yield
        try:
            self._session.comparison = self._judged(session)
        except RunError as error:
            self._session.refused = str(error)
        else:
            self._run_file.write()
            self._write_step_summary(self._session.comparison)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Fail the session for a regression, and for a comparison that could not be made.

        A resumed session has its exit status by now (`tryfirst`).
        """
        if self._session.comparison is None and self._unconfirmed is not None:
            self._session.comparison = self._unconfirmed
            self._write_step_summary(self._unconfirmed)
        comparison = self._session.comparison
        failed = comparison.fails if comparison is not None else bool(self._session.refused)
        if failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return (yield)

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Show the table."""
        from pytest_microcloud.report import comparison_table

        comparison = self._session.comparison
        terminalreporter.section(f"micro-cloud gate against {self._against.baseline.id}")
        if comparison is None:
            why = self._session.refused or "the session was stopped before its run could be compared"
            terminalreporter.write_line(
                self._session.redactor.without_secrets(why), red=bool(self._session.refused)
            )
            return
        text = comparison_table.text(comparison, verbose=self._config.get_verbosity() > 0)
        for line in self._session.redactor.without_secrets(text).splitlines():
            first = next((colour for verdict, colour in COLOURS.items() if line.startswith(verdict)), {})
            terminalreporter.write_line(line, **first)

    def _judged(self, session: pytest.Session) -> Comparison:
        """Return the comparison, confirmed if it can be; raises RunError."""
        from pytest_microcloud.verdict import comparison, gate

        run = self._run()
        found = comparison.compare(self._against.baseline, run, self._against.rules)
        suspects = gate.suspects(found.findings)
        suspects += [f for f in found.findings if f.fails and f not in suspects]  # by a q of the user's rules
        if not suspects:
            return found
        items = self._items_of(session, run, suspects)
        if why := self._cannot_confirm(run, suspects, items):
            text = f"suspects were not measured again ({why}): the single-stage rule applies"
            return dataclasses.replace(found, warnings=[*found.warnings, text])
        cut_off = "the confirmation was interrupted: the single-stage rule applies"
        self._unconfirmed = dataclasses.replace(found, warnings=[*found.warnings, cut_off])
        boots = gate.fresh_boots(suspects, self._against.rules)
        self._session.progress.announce(
            "gate", f"{len(suspects)} suspects are measured again, in {boots} fresh boots of each side"
        )
        self._measure_again(session, items, boots)
        return self._confirmed(found, suspects)

    def _run(self) -> Run:
        from pytest_microcloud import runs

        if not self._session.run_file.is_file():
            raise RunError("nothing was measured that could be compared")
        return runs.load(self._session.run_file)

    def _items_of(
        self, session: pytest.Session, run: Run, suspects: Iterable[Finding]
    ) -> dict[tuple[str, ...], pytest.Function]:
        """Return the tests that measured the suspects, one of all its boots each."""
        from pytest_microcloud.verdict.results import point

        keys = {(f.board, f.metric, point(f.labels)) for f in suspects}
        tests = {e.test for e, m in run.trusted() if (e.board, m.metric, point(m.labels)) in keys}
        resume: Resume | None = self._config.pluginmanager.getplugin("microcloud-resume")
        known = (*session.items, *(resume.deselected if resume else ()))
        return {
            _name(item): item for item in known if item.nodeid in tests and isinstance(item, pytest.Function)
        }

    def _cannot_confirm(
        self, run: Run, suspects: Iterable[Finding], items: Mapping[tuple[str, ...], pytest.Function]
    ) -> str:
        """Return why both sides of a suspect's board cannot be booted; empty if all can."""
        from pytest_microcloud.verdict import comparison

        theirs = {ours: name for name, ours in comparison.paired(self._against.baseline, run).items()}
        boards = {board_of(item) for item in items.values()}
        for name in dict.fromkeys(finding.board for finding in suspects):
            if name not in boards:
                return f"{name}: the tests that measured it are not part of this session"
            made_of = self._against.baseline.boards[theirs[name]].made_of
            try:
                self._session.rack.board(name)
                for side in (made_of, self._session.rack.original(name)):
                    self._session.rack.check_exchange(name, side)
            except BoardError as error:
                return str(error)
            self._against.made_of[name] = made_of
        return ""

    def _measure_again(
        self, session: pytest.Session, items: Mapping[tuple[str, ...], pytest.Function], boots: int
    ) -> None:
        phases = [Phase(boot, stage) for boot in range(1, boots + 1) for stage in STAGES]
        again = [_again(item, phase) for phase in phases for item in items.values()]
        session.testscollected += len(again)
        for item, following in pairwise([*again, None]):
            if item is None:
                continue
            # Fixtures are torn down before their board is exchanged.
            same = following is not None and phase_of(item) == phase_of(following)
            self._config.hook.pytest_runtest_protocol(item=item, nextitem=following if same else None)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)

    def _confirmed(self, found: Comparison, suspects: Iterable[Finding]) -> Comparison:
        """Return the comparison with the final verdicts on the suspects."""
        from pytest_microcloud.verdict import gate

        keys = {_key(finding) for finding in suspects}
        run = self._run()
        sides = [
            {key: values for key, values in gate.series(run, stage).items() if key in keys}
            for stage in STAGES
        ]
        finals = {_key(f): f for f in gate.compare(sides[0], sides[1], self._against.rules)}
        findings = [
            _final(finding, finals.get(_key(finding))) if _key(finding) in keys else finding
            for finding in found.findings
        ]
        confirmed = all(_is_final(finals.get(key)) for key in keys)
        return dataclasses.replace(found, findings=findings, confirmed=confirmed)

    def _write_step_summary(self, comparison: Comparison) -> None:
        from pytest_microcloud.report import comparison_table

        if file := os.environ.get(SUMMARY):
            with self._write_errors.noted(f"the step summary {file}"), Path(file).open("a") as summary:
                summary.write(self._session.redactor.for_page(comparison_table.markdown(comparison)))


def _again(item: pytest.Function, phase: Phase) -> pytest.Function:
    """Return the same test for another boot, as collection would have made it."""
    callspec: Any = item.callspec
    words = [*_words(item), str(phase)]
    callspec = dataclasses.replace(callspec, params={**callspec.params, PHASE: phase}, _idlist=words)
    again = pytest.Function.from_parent(
        item.parent,
        name=f"{item.originalname}[{callspec.id}]",
        callspec=callspec,
        fixtureinfo=item._fixtureinfo,
        keywords={callspec.id: True},
        originalname=item.originalname,
    )
    item.config.hook.pytest_itemcollected(item=again)
    return again


def _words(item: pytest.Function) -> list[str]:
    """Return the words in the brackets of a test's name, without its boot."""
    words = list(item.callspec._idlist)
    return words[:-1] if phase_of(item) else words


def _name(item: pytest.Function) -> tuple[str, ...]:
    parent = item.parent.nodeid if item.parent is not None else ""
    return (parent, item.originalname, *_words(item))


def _key(finding: Finding) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    from pytest_microcloud.verdict.results import point

    return finding.board, finding.metric, point(finding.labels)


def _is_final(finding: Finding | None) -> bool:
    """Whether the confirmation of a suspect was conclusive."""
    from pytest_microcloud.verdict.gate import TOO_FEW

    return finding is not None and finding.verdict != TOO_FEW


def _final(suspect: Finding, again: Finding | None) -> Finding:
    """Return the verdict on a suspect after its confirmation, conclusive or not."""
    from pytest_microcloud.verdict.gate import NO_EVIDENCE, REGRESSED

    if again is None or not _is_final(again):
        why = "too few fresh boots could be measured to confirm it"
        return dataclasses.replace(suspect, reason="; ".join(filter(None, (suspect.reason, why))))
    if again.verdict == REGRESSED:
        return again
    reason = f"was suspect (p {suspect.p:.2g}), not confirmed on fresh boots"
    return dataclasses.replace(again, verdict=NO_EVIDENCE, reason=reason)
