"""A test's record on its TestReport: `report.microcloud`, plain data that survives a JSON round trip.

Run file, page and terminal output are made from these records alone (`collected.py`), so it does not matter
in which process a test ran. A record has these keys:

- `board`, `fingerprint`: the test's board, and its fingerprint if the board is up;
- `control`: readings of the board's control since the board's last report (`control.py`);
- `stage`: the side that the test measured in the gate's confirmation, else empty;
- `outcome`: the test's outcome with measurements, as in the run file; None before the test has one;
- `benchmarks`: pytest-benchmark's JSON of the test, with our data in `extra_info`.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud.session.collected import ATTRIBUTE, record
from pytest_microcloud.session.items import ENTRY, board_of, stage_of
from pytest_microcloud.session.state import SESSION

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board


class Records:
    """The hook that puts each test's record, redacted, on its reports."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._session = config.stash[SESSION]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put a test's record on its report. Runs after all hooks that decide on the outcome."""
        report = yield
        if board_of(item) is not None:
            setattr(report, ATTRIBUTE, self._record(item))
        return report

    def _record(self, item: pytest.Item) -> dict[str, Any]:
        from pytest_microcloud.redaction import in_all
        from pytest_microcloud.runs import unreadable

        board = board_of(item)
        up = self._session.boards.get(board or "")
        entry = item.stash.get(ENTRY, None)
        found = record(
            board,
            entry.as_dict() if entry else None,
            stage=stage_of(item),
            fingerprint=fingerprint(up, self._session.place) if up else None,
            control=self._session.readings.pop(board or "", ()),
            benchmarks=self._benchmarks(item),
        )
        plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
        if plain["outcome"] and (reason := unreadable(plain["outcome"])):  # a hook changed the measurements
            reason = f"the test's measurements cannot be stored: {reason}"
            plain["outcome"] |= {"verdict": "error", "reason": reason, "measurements": []}
            plain["benchmarks"] = []
        return dict(in_all(plain, self._session.redactor.without_secrets))

    def _benchmarks(self, item: pytest.Item) -> list[dict[str, Any]]:
        """Return a test's benchmarks as pytest-benchmark's JSON; none if its measurements are not valid."""
        benchmark = (getattr(item, "funcargs", None) or {}).get("benchmark")
        stats = getattr(benchmark, "stats", None)
        if stats is None or stats.has_error:
            return []
        document = self._config.hook.pytest_benchmark_generate_json(
            config=self._config, benchmarks=[stats], include_data=True, machine_info={}, commit_info={}
        )
        return list(document["benchmarks"])


def fingerprint(board: Board, place: str) -> dict[str, Any]:
    """Return the fingerprint of a board for the run file. `place` is where its load generator runs."""
    return {
        "model": board.model.id,
        "driver": board.target.driver,
        "load_from": place,
        "emulated": board.driver.labelled,
        "not_emulated": list(board.gaps),
        "not_watched": list(board.unwatched),
        "others_containers": list(board.others),
        "made_of": board.driver.made_of(),
        "emulated_by": board.driver.emulated_by(),
        "waited_s": board.waited_s,
        **board.facts.as_dict(),
    }
