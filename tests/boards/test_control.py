"""The script that reads a board's control, run by this machine's shell."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_microcloud.boards import control
from pytest_microcloud.catalog import Load, loads

CPU = Load(id="cpu", about="", command="sleep 0.02", seconds=0.1, most=1000, needs=("sleep",))


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as created:
        yield Path(created) / "control"


def read(directory: Path, *of: Load) -> control.Reading:
    script = control.script(of).replace(control.DIRECTORY, str(directory))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return control.parsed(done.stdout)


def test_every_shipped_load_runs_with_programs_of_a_plain_system(directory: Path) -> None:
    brief = [replace(load, seconds=0.1, most=50) for load in loads().values()]
    reading = read(directory, *brief)
    assert reading.left_out == {}
    assert all(0 < time_s < 5 for time_s in reading.times_s.values())
    assert list(reading.times_s) == ["cpu", "memory", "disk", "loopback"]


def test_all_loads_together_take_a_few_seconds() -> None:
    assert 2 < sum(load.seconds for load in loads().values()) < 4
    assert all(load.seconds * control.PER_S >= 50 for load in loads().values())  # resolution of the clock


def test_the_time_is_that_of_one_pass(directory: Path) -> None:
    assert read(directory, CPU).times_s["cpu"] == pytest.approx(0.025, rel=0.4)


def test_a_load_stops_after_the_most_passes(directory: Path) -> None:
    counting = replace(CPU, command="sleep 0.05; echo pass >> passes", most=3)
    read(directory, counting)
    assert (directory / "passes").read_text().split() == ["pass"] * 3  # the first is not counted


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"needs": ("nc-of-another-system",)}, "the board has no nc-of-another-system"),
        ({"command": "echo No space left on device >&2; false"}, "it failed: No space left on device"),
        ({"command": "[ ! -e once ] && touch once"}, "it failed after 0 passes"),
        ({"command": ":", "most": 1}, "it was too fast for the board's clock"),
    ],
)
def test_a_load_that_cannot_be_run_is_left_out_with_the_reason(
    directory: Path, change: dict[str, object], why: str
) -> None:
    other = replace(CPU, id="memory")
    reading = read(directory, replace(CPU, **change), other)  # type: ignore[arg-type]
    assert reading.left_out["cpu"] == why
    assert list(reading.times_s) == ["memory"]


def test_a_directory_of_another_user_is_replaced(directory: Path) -> None:
    directory.symlink_to("/etc")
    read(directory, CPU)
    assert directory.is_dir()
    assert not directory.is_symlink()


def test_foreign_output_is_ignored_and_a_missing_line_is_a_load_left_out() -> None:
    reading = control.parsed(
        "hello\ntook cpu 10 100\ntook disk ten 100\ntook other 1 100\nleft memory \x1b[2J"
    )
    assert reading.times_s == {"cpu": 0.1}
    assert reading.left_out["loopback"] == "it did not finish"
    assert set(reading.left_out) == {"memory", "disk", "loopback"}
    assert "\x1b" not in reading.left_out["memory"]
