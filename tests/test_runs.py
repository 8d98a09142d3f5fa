"""Run files are written in one step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_microcloud import runs


def test_a_run_file_is_json_with_every_sample(tmp_path: Path) -> None:
    file = tmp_path / "reports" / "runs" / "run.json"
    runs.write(file, {"benchmarks": [{"samples": [0.1, 1e-9]}], "name": "Zürich – 2 µs"})
    assert json.loads(file.read_text(encoding="utf-8")) == {
        "benchmarks": [{"samples": [0.1, 1e-9]}],
        "name": "Zürich – 2 µs",
    }


def test_a_later_write_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    runs.write(file, {"tests": 1})
    runs.write(file, {"tests": 2})
    assert json.loads(file.read_text()) == {"tests": 2}
    assert list(tmp_path.iterdir()) == [file]


def test_who_reads_while_it_is_replaced_goes_on_with_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    runs.write(file, {"tests": 1})
    with file.open(encoding="utf-8") as reader:
        runs.write(file, {"tests": 2})
        assert json.load(reader) == {"tests": 1}


def test_what_cannot_be_json_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    runs.write(file, {"tests": 1})
    endless: dict[str, object] = {}
    endless["itself"] = endless
    with pytest.raises(ValueError, match="Circular"):
        runs.write(file, endless)
    assert json.loads(file.read_text()) == {"tests": 1}
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    runs.write(file, {"tests": 1})
    script = """
        import resource, sys
        from pathlib import Path
        from pytest_microcloud import runs
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        runs.write(Path(sys.argv[1]), {"samples": [0.5] * 100_000})
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(script), str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "OSError: [Errno 27] File too large" in done.stderr
    assert json.loads(file.read_text()) == {"tests": 1}
    assert list(tmp_path.iterdir()) == [file]
