"""Turns on this machine's CPUs, between processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_microcloud.controller import turns

HOLD = """
import sys, time
from pytest_microcloud.controller import turns
with turns.turn(float(sys.argv[1]), print):
    print("held", flush=True)
    time.sleep(60)
"""
CPUS = float(os.cpu_count() or 1)


@pytest.fixture(autouse=True)
def own_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


@contextmanager
def holder(cpus: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(cpus)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def taken_within(seconds: float, cpus: float, say: Callable[[str], None] = print) -> bool:
    """Return whether a turn is given in time; it is given back at once."""
    given = threading.Event()

    def take() -> None:
        with turns.turn(cpus, say):
            given.set()

    threading.Thread(target=take, daemon=True).start()
    return given.wait(seconds)


def test_turns_that_the_cpus_carry_are_held_together() -> None:
    with holder(CPUS / 2):
        assert taken_within(5, CPUS / 2)


def test_a_turn_that_the_cpus_do_not_carry_waits_until_another_ends() -> None:
    with holder(CPUS * 0.75) as other:
        given = threading.Event()

        def take() -> None:
            with turns.turn(CPUS / 2, print):
                given.set()

        threading.Thread(target=take, daemon=True).start()
        assert not given.wait(0.5)
        other.kill()  # the turn ends with its holder
        assert given.wait(5)


def test_more_than_all_cpus_are_all_of_them() -> None:
    with turns.turn(1000.0, print):
        pass
    with holder(0.1):
        assert not taken_within(0.5, 1000.0)


def test_a_turn_that_does_not_wait_occupies_what_is_free() -> None:
    with holder(CPUS * 0.75):
        with turns.turn(CPUS / 2, print, wait=False):
            assert not taken_within(0.5, 0.05)
        assert taken_within(5, CPUS * 0.25)


def test_small_turns_do_not_overtake_a_large_one() -> None:
    order: list[str] = []

    def take(name: str, cpus: float) -> None:
        with turns.turn(cpus, print):
            order.append(name)

    with holder(CPUS * 0.5) as other:
        waiting = []
        for name, cpus in (("large", CPUS), ("small", 0.1)):
            waiting.append(threading.Thread(target=take, args=(name, cpus), daemon=True))
            waiting[-1].start()
            time.sleep(0.3)
        other.kill()
        for thread in waiting:
            thread.join(5)
    assert order == ["large", "small"]


def test_who_waits_for_long_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SAY_EVERY_S", 0.2)
    said: list[str] = []
    with holder(CPUS):
        assert not taken_within(1.5, 0.1, said.append)
    assert said
    assert said[0].startswith("waits for free CPUs on this machine (")


def test_what_is_prepared_once_is_prepared_by_one_at_a_time() -> None:
    inside: list[int] = []

    def prepare() -> None:
        with turns.alone(print):
            inside.append(len(inside))
            time.sleep(0.2)
            assert len(inside) == 1
            inside.pop()

    threads = [threading.Thread(target=prepare) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert inside == []


def test_a_link_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / turns.FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=turns.FILE), turns.turn(0.1, print):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_processes_with_another_temporary_directory_take_turns_with_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with holder(CPUS):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "own"))
        (tmp_path / "own").mkdir()
        monkeypatch.setenv(turns.DIRECTORY, str(tmp_path))
        assert not taken_within(0.5, 1)
        monkeypatch.delenv(turns.DIRECTORY)
        assert taken_within(5, 1)
