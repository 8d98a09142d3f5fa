"""Run files: written in one step, read whatever else lies beside them, found by what they are called."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from pytest_microcloud import runs
from pytest_microcloud.errors import RunError
from tests.support import run_files


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


def page_times(board: str = "desk") -> list[dict[str, Any]]:
    return [
        run_files.benchmark("serving.page_time", [0.2, 0.3, 0.4], board=board, setting="docker", clients=50)
    ]


def test_a_run_is_read_with_its_boards_boots_and_samples(tmp_path: Path) -> None:
    file = run_files.store(
        tmp_path / "20260301T120000-1.json", run_files.boots("startup.ready_time", [15.0, 16.0])
    )
    run = runs.load(file)
    assert (run.id, run.taken, run.effort) == ("20260301T120000-1", run_files.TAKEN, "quick")
    assert run.boards["desk"].model == "pi3b"
    assert run.boots("desk") == 2
    assert [m.samples for _, m in run.trusted()] == [[15.0], [16.0]]
    assert {(e.board, e.experiment, e.boot, e.verdict) for e in run.entries} == {
        ("desk", "startup", 1, "feasible"),
        ("desk", "startup", 2, "feasible"),
    }


def test_a_reboot_between_two_metrics_is_no_second_boot_of_either(tmp_path: Path) -> None:
    before = run_files.benchmark("io.memory_time", [0.1], size="1MiB")
    after = run_files.benchmark("startup.ready_time", [15.0], boot=2)
    assert run_files.run(tmp_path / "r.json", [before, after]).boots("desk") == 1


def test_what_is_no_benchmark_is_read_with_its_reason(tmp_path: Path) -> None:
    outcome = {"board": "desk", "experiment": "io", "test": "t", "verdict": "error", "reason": "no SSH"}
    run = run_files.run(tmp_path / "r.json", [], outcomes=[outcome])
    (entry,) = run.entries
    assert (entry.verdict, entry.reason, entry.measurements) == ("error", "no SSH", [])
    assert run.boots("desk") == 0


def test_an_outcome_tells_the_verdict_of_its_benchmark(tmp_path: Path) -> None:
    (pages,) = page_times()
    outcome = {
        "board": "desk",
        "experiment": "serving",
        "test": pages["fullname"],
        "verdict": "infeasible",
        "reason": "too slow",
    }
    (entry,) = run_files.run(tmp_path / "r.json", [pages], outcomes=[outcome]).entries
    assert (entry.verdict, entry.reason, len(entry.measurements)) == ("infeasible", "too slow", 1)


def test_only_what_can_be_trusted_is_trusted(tmp_path: Path) -> None:
    run = run_files.run(
        tmp_path / "r.json",
        [
            run_files.benchmark("io.memory_time", [0.1], size="1MiB"),
            run_files.benchmark("io.memory_time", [0.2], size="2MiB", verdict="infeasible"),
            run_files.benchmark("io.memory_time", [0.3], size="3MiB", verdict="invalid"),
            run_files.benchmark("io.memory_time", [], size="4MiB", verdict="not measured"),
            run_files.benchmark("io.memory_time", [0.5, float("nan")], size="5MiB"),
            run_files.benchmark("io.memory_time", [0.6], size="6MiB", stage="candidate"),
        ],
    )
    assert [m.labels["size"] for _, m in run.trusted()] == ["1MiB", "2MiB"]
    assert [m.labels["size"] for _, m in run.trusted("candidate")] == ["6MiB"]


def test_benchmarks_of_the_users_own_are_left_alone(tmp_path: Path) -> None:
    theirs = {"name": "test_sort", "fullname": "tests/test_sort.py::test_sort", "extra_info": {}, "stats": {}}
    run = run_files.run(tmp_path / "r.json", [theirs, *page_times()])
    assert [entry.experiment for entry in run.entries] == ["serving"]


@pytest.mark.parametrize("lacking", ["schema", "boot", "experiment", "driver", "model"])
def test_what_an_earlier_version_did_not_write_yet_is_not_missed(tmp_path: Path, lacking: str) -> None:
    (pages,) = page_times()
    del pages["extra_info"]["microcloud"][lacking]
    (entry,) = run_files.run(tmp_path / "r.json", [pages]).entries
    assert (entry.board, entry.boot, len(entry.measurements)) == ("desk", 1, 1)


@pytest.mark.parametrize("lacking", ["labels", "limit", "verdict", "reason", "unit", "better"])
def test_nor_is_it_in_a_measurement(tmp_path: Path, lacking: str) -> None:
    (pages,) = page_times()
    del pages["extra_info"]["microcloud"]["measurements"][0][lacking]
    (found,) = run_files.run(tmp_path / "r.json", [pages]).trusted()
    assert (found[1].unit, found[1].better, found[1].median) == ("s", "lower", 0.3)


@pytest.mark.parametrize("lacking", ["effort", "boards", "outcomes"])
def test_nor_in_what_stands_beside_the_benchmarks(tmp_path: Path, lacking: str) -> None:
    document = run_files.document(page_times())
    del document["machine_info"]["microcloud"][lacking]
    runs.write(tmp_path / "r.json", document)
    assert len(runs.load(tmp_path / "r.json").entries) == 1


def as_bytes(**changed: Any) -> bytes:
    """Return a run whose benchmark's part of ours is changed."""
    (pages,) = page_times()
    pages["extra_info"]["microcloud"] |= changed
    return json.dumps(run_files.document([pages])).encode()


NOT_RUNS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is not JSON, or is truncated"),
    "half-written": (as_bytes()[:-300], "is not JSON, or is truncated"),
    "not UTF-8": (b'{"machine_info": "\xff\xfe"}', "is not JSON, or is truncated"),
    "nested without end": (b"[" * 200_000, "is not JSON, or is truncated"),
    "a list": (b"[1, 2]", "is not a run of pytest-microcloud"),
    "a number": (b"7", "is not a run of pytest-microcloud"),
    "foreign": (b'{"name": "left-pad", "version": "1.3.0"}', "it has no 'machine_info'"),
    "pytest-benchmark's own": (
        b'{"machine_info": {"node": "n"}, "benchmarks": []}',
        "it has no 'microcloud'",
    ),
    "no dictionary": (
        b'{"machine_info": {"microcloud": 1}, "benchmarks": []}',
        "is not a run of pytest-micro",
    ),
    "a later schema": (as_bytes(schema=2), "was written by a later version (schema 2): upgrade to read it"),
    "a board without a name": (as_bytes(board=None, measurements=None), "is a run with a wrong value"),
    "samples that are words": (
        as_bytes(measurements=[{"metric": "io.memory_time", "samples": ["fast"]}]),
        "is a run with a wrong value",
    ),
    "boots that are words": (as_bytes(boot="first"), "is a run with a wrong value"),
    "endless boots": (as_bytes(boot=float("inf")), "is a run with a wrong value"),
    "a metric that nobody knows, without its unit": (
        as_bytes(measurements=[{"metric": "sky.blueness", "samples": [1]}]),
        "is a run with a wrong value",
    ),
}


@pytest.mark.parametrize(("content", "reason"), NOT_RUNS.values(), ids=list(NOT_RUNS))
def test_what_is_no_run_is_named_and_skipped_and_the_others_are_read(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    first = run_files.store(tmp_path / "1.json", page_times())
    (tmp_path / "2.json").write_bytes(content)
    last = run_files.store(tmp_path / "3.json", page_times())
    before, skipped, after = runs.every(tmp_path)
    assert isinstance(before, runs.Run)
    assert isinstance(after, runs.Run)
    assert (before.file, after.file) == (first, last)
    assert isinstance(skipped, runs.Skipped)
    assert skipped.file == tmp_path / "2.json"
    assert str(skipped.file) in skipped.reason
    assert reason in skipped.reason
    with pytest.raises(RunError, match=re.escape(str(tmp_path / "2.json"))):
        runs.load(tmp_path / "2.json")


def test_a_directory_and_a_broken_link_among_the_runs_are_named_and_skipped(tmp_path: Path) -> None:
    (tmp_path / "1.json").mkdir()
    (tmp_path / "2.json").symlink_to(tmp_path / "nowhere")
    run_files.store(tmp_path / "3.json", page_times())
    directory, link, run = runs.every(tmp_path)
    assert isinstance(directory, runs.Skipped)
    assert "1.json: cannot be read: Is a directory" in directory.reason
    assert isinstance(link, runs.Skipped)
    assert "2.json: cannot be read: No such file" in link.reason
    assert isinstance(run, runs.Run)


def test_what_is_being_written_is_not_looked_at(tmp_path: Path) -> None:
    run_files.store(tmp_path / "1.json", page_times())
    (tmp_path / ".2.json.4711").write_text("{")
    assert len(list(runs.every(tmp_path))) == 1


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Three runs of two OS releases, the newest of which stands first by its name."""
    directory = tmp_path / "runs"
    old, new = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"
    hypriot = run_files.fingerprint(
        os_release="Raspbian GNU/Linux 10 (buster)", hypriot_image_version="v1.12.2"
    )
    run_files.store(directory / "b-old.json", page_times(), taken=old)
    run_files.store(directory / "a-new.json", page_times(), taken=new)
    run_files.store(directory / "c-hypriot.json", page_times(), {"desk": hypriot}, taken=old)
    return directory


@pytest.mark.parametrize("reference", ["b-old", "b-old.json", "{directory}/b-old.json"])
def test_a_run_is_found_by_its_name_and_by_its_file(shelf: Path, reference: str) -> None:
    assert runs.find(reference.format(directory=shelf), shelf).id == "b-old"


@pytest.mark.parametrize("reference", ["bookworm", "Bookworm", run_files.BOOKWORM, "Debian GNU/Linux 12"])
def test_an_os_release_means_its_newest_run(shelf: Path, reference: str) -> None:
    assert runs.find(reference, shelf).id == "a-new"


def test_of_an_os_release_a_run_that_was_interrupted_is_not_meant(shelf: Path) -> None:
    planned = {"effort": "quick", "boots": 1, "tests": ["suites/test_io.py::test_never"]}
    benchmarks = run_files.boots("startup.ready_time", [15.0])
    run_files.store(shelf / "z.json", benchmarks, taken="2027-01-01T00:00:00+00:00", plan=planned)
    assert runs.load(shelf / "z.json").unfinished
    assert runs.find("bookworm", shelf).id == "a-new"


def test_of_an_os_release_a_run_of_the_same_boards_is_meant(shelf: Path) -> None:
    other = {"two": run_files.fingerprint("pi2b")}
    run_files.store(shelf / "pi2b.json", page_times("two"), other, taken="2026-03-01T00:00:00+00:00")
    assert runs.find("bookworm", shelf).id == "pi2b"
    assert runs.find("bookworm", shelf, models={"pi3b"}).id == "a-new"
    assert runs.find("bookworm", shelf, models={"pi4b"}).id == "pi2b"


@pytest.mark.parametrize("reference", ["v1.12.2", "V1.12.2", "buster"])
def test_a_version_of_hypriotos_is_an_os_release(shelf: Path, reference: str) -> None:
    assert runs.find(reference, shelf).id == "c-hypriot"


@pytest.mark.parametrize("reference", ["1.12", "v1.12", "12.2", "worm"])
def test_a_part_of_a_release_is_not_the_release(shelf: Path, reference: str) -> None:
    with pytest.raises(RunError, match=r"no run in .* is named"):
        runs.find(reference, shelf)


@pytest.mark.parametrize(
    ("slip", "meant"), [("b-odl", "b-old"), ("Debian GNU/Linux 12 (bokworm)", "bookworm")]
)
def test_a_slip_is_answered_with_the_nearest_name(shelf: Path, slip: str, meant: str) -> None:
    with pytest.raises(RunError) as caught:
        runs.find(slip, shelf)
    (mend,) = re.findall(r"did you mean '(.*?)'", str(caught.value))
    assert meant in mend
    assert f"OS releases: {run_files.BOOKWORM}" in str(caught.value)


@pytest.mark.parametrize("reference", ["nowhere/b-old.json", "d.json", ""])
def test_a_file_that_is_not_there_is_reported_as_such(shelf: Path, reference: str) -> None:
    with pytest.raises(RunError, match=rf"^{reference}: there is no such run file$"):
        runs.find(reference, shelf)


def test_among_no_runs_nothing_is_found(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the directory holds no runs"):
        runs.find("bookworm", tmp_path)


def test_a_broken_file_that_was_named_is_an_error_and_not_skipped(shelf: Path) -> None:
    (shelf / "d.json").write_text("{")
    with pytest.raises(RunError, match=r"d\.json: is not JSON"):
        runs.find("d", shelf)
    assert runs.find("bookworm", shelf).id == "a-new"


def test_pytest_benchmark_compares_the_files(tmp_path: Path) -> None:
    files = [run_files.store(tmp_path / f"{name}.json", page_times()) for name in ("old", "new")]
    command = [str(Path(sys.executable).parent / "pytest-benchmark"), "compare", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("test_serving[desk-serving.page_time-docker-50-run-boot1]") == 2


def test_the_run_that_is_compared_is_among_the_nearest_names_and_no_other_run(shelf: Path) -> None:
    for other in [file for file in shelf.glob("*.json") if file.stem != "b-old"]:
        other.unlink()
    with pytest.raises(RunError, match=r"did you mean 'b-old'\? \(the directory holds no other runs\)"):
        runs.find("b-odl", shelf, apart_from=shelf / "b-old.json")
