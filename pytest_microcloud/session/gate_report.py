"""The gate at the end of a session: compares its run with a baseline, and measures suspects again.

If suspects cannot be measured again, for example because a board cannot boot the baseline's image, the
single-stage rule decides on the first comparison alone.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.errors import RunError
from pytest_microcloud.session.confirmation import STAGES, Confirmation, NotConfirmed, suspects_of
from pytest_microcloud.session.state import SESSION, Against

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_microcloud.runs import Run
    from pytest_microcloud.session.run_file import RunFile
    from pytest_microcloud.session.write_errors import WriteErrors
    from pytest_microcloud.verdict.comparison import Comparison
    from pytest_microcloud.verdict.gate import Finding

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The environment variable of GitHub Actions that names the Markdown file for a job's summary."""
COLOURS = {"regressed": {"red": True}, "improved": {"green": True}}


class Gate:
    """The hooks of a session that is compared with a baseline.

    If `confirmation` is None, the workers have already measured the suspects of their boards again.
    """

    def __init__(
        self,
        config: pytest.Config,
        against: Against,
        run_file: RunFile,
        write_errors: WriteErrors,
        confirmation: Confirmation | None,
    ) -> None:
        self._session = config.stash[SESSION]
        self._config = config
        self._against = against
        self._run_file = run_file
        self._write_errors = write_errors
        self._confirmation = confirmation
        self._unconfirmed: Comparison | None = None
        self.not_confirmed: dict[str, str] = {}
        """A dict from board to the reason why a worker could not measure the board's suspects again."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Compare the run with the baseline after the last test, unless the session was stopped earlier."""
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
        """Fail the session if a metric regressed or if the run could not be compared.

        Runs after `Resumed.pytest_sessionfinish` (`tryfirst`), which also sets the exit status.
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
        """Print the gate's table, or the reason why the run was not compared."""
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
        """Compare the run with the baseline, measure suspects again if possible, and return the comparison.

        Raises RunError if the runs cannot be compared.
        """
        from pytest_microcloud.verdict import comparison, gate

        run = self._run()
        found = comparison.compare(self._against.baseline, run, self._against.rules)
        if not (suspects := suspects_of(found.findings)):
            return found
        if self._confirmation is not None:
            cut_off = "the confirmation was interrupted: the single-stage rule applies"
            self._unconfirmed = dataclasses.replace(found, warnings=[*found.warnings, cut_off])
            boots = gate.fresh_boots(suspects, self._against.rules)
            try:
                self._confirmation.measure(session, run, suspects, boots)
            except NotConfirmed as error:
                self._unconfirmed = None
                return _single_stage(found, str(error))
        for board, why in self.not_confirmed.items():
            suspects = [f for f in suspects if f.board != board]
            found = _single_stage(found, why)
        return self._confirmed(found, suspects) if suspects else found

    def _run(self) -> Run:
        from pytest_microcloud import runs

        if not self._session.run_file.is_file():
            raise RunError("nothing was measured, so there is nothing to compare")
        return runs.load(self._session.run_file)

    def _confirmed(self, found: Comparison, suspects: Iterable[Finding]) -> Comparison:
        """Return the comparison `found` with the final verdicts on its suspects, from their confirmation."""
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
        confirmed = not self.not_confirmed and all(_is_final(finals.get(key)) for key in keys)
        return dataclasses.replace(found, findings=findings, confirmed=confirmed)

    def _write_step_summary(self, comparison: Comparison) -> None:
        from pytest_microcloud.report import comparison_table

        if file := os.environ.get(SUMMARY):
            with self._write_errors.noted(f"the step summary {file}"), Path(file).open("a") as summary:
                summary.write(self._session.redactor.for_page(comparison_table.markdown(comparison)))


def _single_stage(found: Comparison, why: str) -> Comparison:
    text = f"suspects were not measured again ({why}): the single-stage rule applies"
    return dataclasses.replace(found, warnings=[*found.warnings, text])


def _key(finding: Finding) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    from pytest_microcloud.verdict.results import point

    return finding.board, finding.metric, point(finding.labels)


def _is_final(finding: Finding | None) -> bool:
    """Whether a suspect was measured again (its finding is not None) in enough boots for a verdict."""
    from pytest_microcloud.verdict.gate import TOO_FEW

    return finding is not None and finding.verdict != TOO_FEW


def _final(suspect: Finding, again: Finding | None) -> Finding:
    """Return the final finding on a suspect, from its first finding and the one of its confirmation."""
    from pytest_microcloud.verdict.comparison import BESIDE_DRIFT
    from pytest_microcloud.verdict.gate import NO_EVIDENCE, REGRESSED

    if again is None or not _is_final(again):
        why = "too few fresh boots could be measured for a confirmation"
        return dataclasses.replace(suspect, reason="; ".join(filter(None, (suspect.reason, why))))
    if again.verdict == REGRESSED:
        return dataclasses.replace(again, drifted=suspect.drifted)
    beside = f", {BESIDE_DRIFT}" if suspect.drifted else ""
    reason = f"was suspect (p {suspect.p:.2g}{beside}), not confirmed on fresh boots"
    return dataclasses.replace(again, verdict=NO_EVIDENCE, reason=reason, drifted=suspect.drifted)
