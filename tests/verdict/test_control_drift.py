"""Whether a board drifted, by its control and its earlier sessions."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_microcloud import runs
from pytest_microcloud.errors import RunError
from pytest_microcloud.runs.controls import Control, Reading
from pytest_microcloud.runs.fingerprint import Fingerprint
from pytest_microcloud.verdict import control_drift
from tests.support import run_files
from tests.support.controls import JITTER, control

LEAST = control_drift.rule().sessions_least


def typed(stored: dict[str, Any]) -> Control:
    return msgspec.convert(stored, Control)


def history(jitter: Iterable[float] = JITTER) -> control_drift.History:
    found = control_drift.History()
    for factor in jitter:
        for session in typed(control(factor, factor * 1.001)).sessions():
            found.add(session)
    return found


def test_a_board_like_in_its_earlier_sessions_has_not_drifted() -> None:
    assert control_drift.drifts(typed(control(1.01, 0.99)), history()) == ()


def test_a_slower_load_is_named_with_its_usual_spread() -> None:
    (sentence,) = control_drift.drifts(typed(control(1.0, 1.0, disk=(1.31, 1.31))), history())
    assert sentence == "disk control 31 % slower than usual (median of 9 sessions, spread 1 %)"


def test_a_faster_board_has_drifted_too() -> None:
    sentences = control_drift.drifts(typed(control(0.7, 0.7)), history())
    assert [sentence[: sentence.index(" than")] for sentence in sentences] == [
        f"{load} control 30 % faster" for load in ("cpu", "memory", "disk", "loopback")
    ]


def test_a_change_within_the_session_is_named_as_such() -> None:
    (sentence,) = control_drift.drifts(typed(control(0.96, 1.0, cpu=(0.96, 1.07))), history())
    assert sentence.startswith(
        "cpu control 11 % slower at the end than at the start (usually +0 %, median of 9"
    )


def test_the_doubts_of_a_reading_explain_its_drift() -> None:
    stored = control(1.0, 1.0, cpu=(1.0, 2.0))
    stored["readings"][1]["doubts"] = ["it was throttled"]
    (sentence,) = control_drift.drifts(typed(stored), history())
    assert sentence.endswith("; at the end, it was throttled")


def test_a_change_that_the_gate_would_ignore_is_no_drift() -> None:
    assert control_drift.drifts(typed(control(1.045, 1.045)), history([1.0] * 9)) == ()
    assert len(control_drift.drifts(typed(control(1.06, 1.06)), history([1.0] * 9))) == 4


def test_a_noisy_board_is_judged_by_its_own_spread() -> None:
    noisy = history([1.0, 1.3, 0.8, 1.1, 0.9, 1.2, 0.85, 1.15, 0.95])
    assert control_drift.drifts(typed(control(1.4, 1.4)), noisy) == ()


def test_too_few_earlier_sessions_are_not_judged() -> None:
    few = history(JITTER[: LEAST - 1])
    assert control_drift.drifts(typed(control(5.0, 5.0)), few) == ()
    (line,) = control_drift.too_few({"desk": few})
    assert line == f"desk: drift is not judged: needs {LEAST} earlier sessions, has {LEAST - 1}"
    assert list(control_drift.too_few({"desk": history(JITTER[:LEAST])})) == []


def test_a_session_without_an_end_counts_by_its_start() -> None:
    started = [typed(control(factor)) for factor in JITTER]
    found = control_drift.History()
    for each in started:
        for session in each.sessions():
            found.add(session)
    (sentence, *_) = control_drift.drifts(typed(control(2.0)), found)
    assert "100 % slower than usual (median of 9 sessions" in sentence


def test_readings_in_doubt_are_no_part_of_the_history() -> None:
    stored = control(9.0, 9.0)
    for reading in stored["readings"]:
        reading["doubts"] = ["it was throttled"]
    found = control_drift.History()
    found.add(next(typed(stored).sessions()))
    assert found.sessions == 0


def test_a_resumed_run_has_several_sessions() -> None:
    readings = [Reading(at) for at in ("start", "start", "end", "start", "end")]
    sessions = list(Control(tuple(readings)).sessions())
    assert [sorted(session) for session in sessions] == [["start"], ["end", "start"], ["end", "start"]]


Store = Callable[..., Path]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Write a run of the board with its control, and return the directory."""

    def store(name: str, facts: dict[str, Any] | None = None, **more: Any) -> Path:
        boards = {"desk": facts or run_files.fingerprint()}
        run_files.store(tmp_path / f"{name}.json", [], boards, controls={"desk": control()}, **more)
        return tmp_path

    return store


def sessions(directory: Path, facts: dict[str, Any] | None = None) -> int:
    now = {"desk": Fingerprint.of(facts or run_files.fingerprint())}
    return control_drift.histories(now, runs.every(directory, newest_first=True))["desk"].sessions


def test_the_history_is_that_of_the_same_board_in_the_same_state(store: Store) -> None:
    store("1")
    store("2", run_files.fingerprint(os_release=run_files.TRIXIE))
    store("3", run_files.fingerprint(card={"cid": "02"}))
    directory = store("4", run_files.emulated())
    assert sessions(directory) == 1


@pytest.mark.parametrize("change", [{"host": "h2"}, {"calibrated_cpus": 0.5}, {"altered": ["CPU: 0.5"]}])
def test_an_emulated_board_has_the_history_of_its_host_and_share(
    store: Store, change: dict[str, object]
) -> None:
    emulated = run_files.emulated()
    store("1", emulated)
    directory = store("2", run_files.emulated(made_of=emulated["made_of"] | change))
    assert sessions(directory, emulated) == 1


def test_files_that_are_no_runs_and_runs_without_a_control_are_passed_over(store: Store) -> None:
    directory = store("1")
    (directory / "2.json").write_text("{}")
    run_files.store(directory / "3.json", [])
    assert sessions(directory) == 1


def test_only_the_newest_sessions_count(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "12345":
        directory = store(name)
    monkeypatch.setattr(control_drift, "rule", lambda: control_drift.Rule(8, 3, 200, 6.0, 0.05))
    assert sessions(directory) == 3


def test_a_time_that_no_clock_gives_is_refused_with_its_place(tmp_path: Path) -> None:
    stored = control()
    stored["readings"][0]["times_s"]["cpu"] = -1
    file = run_files.store(tmp_path / "1.json", [], controls={"desk": stored})
    with pytest.raises(RunError, match=r"the time of the cpu control is -1.*controls"):
        runs.load(file)


@pytest.mark.parametrize("cv", [0.02, 0.10])
def test_boards_that_do_not_drift_have_few_false_warnings(cv: float) -> None:
    noise = random.Random(f"drift {cv}")

    def session() -> dict[str, Any]:
        cpu, disk, others = ([noise.lognormvariate(0, cv) for _ in range(2)] for _ in range(3))
        return control(*others, cpu=cpu, disk=disk)

    alarms = 0
    for _ in range(250):
        earlier = control_drift.History()
        for _ in range(LEAST):
            earlier.add(next(typed(session()).sessions()))
        alarms += bool(control_drift.drifts(typed(session()), earlier))
    assert alarms / 250 <= 0.05
