"""The gate's confirmation: the tests that measured suspects run again, in fresh boots of both sides.

A suspect is a finding that may be a regression. The sides are baseline and candidate. Their boots alternate,
so that a change of conditions affects both sides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud.errors import BoardError, RunError
from pytest_microcloud.session.items import PHASE, board_of, phase_of
from pytest_microcloud.session.state import SESSION, Against, Phase

if TYPE_CHECKING:
    from pytest_microcloud.runs import Run
    from pytest_microcloud.session.resume import Resume
    from pytest_microcloud.verdict.gate import Finding

STAGES = ("baseline", "candidate")
BeforeTest = Callable[[pytest.Session, pytest.Function], None]


def suspects_of(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings to confirm: those that the gate suspects, and those that fail the session."""
    from pytest_microcloud.verdict import gate

    suspects = gate.suspects(findings)
    # With a user's rule that has a large q, a metric can regress with a p too large for a suspect.
    return suspects + [f for f in findings if f.fails and f not in suspects]


class Confirmation:
    """Measures suspects again. Used in the process that drives their boards."""

    def __init__(self, config: pytest.Config, against: Against) -> None:
        self._config = config
        self._session = config.stash[SESSION]
        self._against = against

    def measure(
        self,
        session: pytest.Session,
        run: Run,
        suspects: Sequence[Finding],
        boots: int,
        before_test: BeforeTest = lambda *_: None,
    ) -> None:
        """Run the tests that measured the suspects, in `boots` boots of each side.

        `before_test` is called before each test. Raises NotConfirmed with the reason if a suspect cannot be
        measured again on both sides.
        """
        items = self._items_of(session, run, suspects)
        if why := self._cannot_confirm(run, suspects, items):
            raise NotConfirmed(why)
        self._session.progress.announce(
            "gate", f"measuring {len(suspects)} suspects again, in {boots} fresh boots of each side"
        )
        self._measure_again(session, items, boots, before_test)

    def _items_of(
        self, session: pytest.Session, run: Run, suspects: Iterable[Finding]
    ) -> dict[tuple[str, ...], pytest.Function]:
        """Return a dict from name (without the boot) to test, for the tests that measured the suspects."""
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
        """Return why a suspect cannot be measured again on both sides; empty if all suspects can be."""
        from pytest_microcloud.verdict import comparison

        theirs = {ours: name for name, ours in comparison.paired(self._against.baseline, run).items()}
        boards = {board_of(item) for item in items.values()}
        for name in dict.fromkeys(finding.board for finding in suspects):
            if name not in boards:
                return f"{name}: the tests that measured its suspects are not part of this session"
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
        self,
        session: pytest.Session,
        items: Mapping[tuple[str, ...], pytest.Function],
        boots: int,
        before_test: BeforeTest,
    ) -> None:
        phases = [Phase(boot, stage) for boot in range(1, boots + 1) for stage in STAGES]
        again = [_again(item, phase) for phase in phases for item in items.values()]
        session.testscollected += len(again)
        for item, following in pairwise([*again, None]):
            if item is None:
                continue
            # Fixtures are torn down before another image is booted on their board.
            before_test(session, item)
            same = following is not None and phase_of(item) == phase_of(following)
            self._config.hook.pytest_runtest_protocol(item=item, nextitem=following if same else None)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)


class NotConfirmed(Exception):
    """Raised if suspects cannot be measured again; the text is the reason."""


class WorkersConfirmation:
    """The hook of a pytest-xdist worker that measures the suspects of its boards again after the last test.

    Later, the controller compares both sides, and adjusts p for the number of suspects on all boards. A
    worker does not know this number, so it boots as often as if every metric of every board were a suspect.
    """

    def __init__(
        self,
        config: pytest.Config,
        against: Against,
        send: Callable[[str, Any], None],
        before_test: BeforeTest,
    ) -> None:
        self._config = config
        self._session = config.stash[SESSION]
        self._against = against
        self._send = send
        self._before_test = before_test

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """After the last test, measure suspects again, unless the session was stopped."""
        result = yield
        if not session.shouldstop and not session.shouldfail:
            self._confirm(session)
        return result

    def _confirm(self, session: pytest.Session) -> None:
        from pytest_microcloud.verdict import comparison, gate

        mine = self._session
        run = mine.collected.run(mine.run_file, mine.effort.id)
        try:
            found = comparison.compare(self._against.baseline, run, self._against.rules)
        except RunError:
            return  # the controller reports the error
        suspects = [f for f in suspects_of(found.findings) if f.board in mine.boards]
        if not suspects:
            return
        most = len(found.findings) * len(mine.rack.targets)
        boots = gate.fresh_boots(suspects, self._against.rules, tests=most)
        try:
            Confirmation(self._config, self._against).measure(
                session, run, suspects, boots, self._before_test
            )
        except NotConfirmed as why:
            self._send("not confirmed", {"boards": sorted({f.board for f in suspects}), "why": str(why)})


def _again(item: pytest.Function, phase: Phase) -> pytest.Function:
    """Return a copy of a test that needs another boot, as if pytest had collected this copy."""
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
    """Return the parameter ids in a test's name (`test[id-id]`), without the id of the boot."""
    words = list(item.callspec._idlist)
    return words[:-1] if phase_of(item) else words


def _name(item: pytest.Function) -> tuple[str, ...]:
    parent = item.parent.nodeid if item.parent is not None else ""
    return (parent, item.originalname, *_words(item))
