"""Run files with values of other types in them: each is used, or named and skipped, and nothing breaks."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_microcloud import cli, runs
from pytest_microcloud.catalog import Catalog
from pytest_microcloud.errors import RunError
from pytest_microcloud.redaction import Redactor
from pytest_microcloud.report import feasibility, generations, run_directory
from pytest_microcloud.runs import unfinished
from pytest_microcloud.runs.plan import Plan
from pytest_microcloud.verdict import claims
from pytest_microcloud.verdict.results import Results
from tests.support import run_files

OTHERS: tuple[Any, ...] = (
    None, "x", "", -1, 0, True, 10**400, -1e308, 1e308, math.nan, math.inf, [], [1], {}, {"a": {"b": [1]}},
    "\ud800", "\x1b[2J",
)  # fmt: skip
PLAN = Plan(("desk",), "quick", 2, ("suites/test_io.py::test_never",))


def whole() -> dict[str, Any]:
    """Return a run that has something of everything."""
    pages = [
        run_files.benchmark(metric, [0.2, 0.3], boot=boot, setting=setting, clients=50)
        for metric in ("serving.page_time", "serving.throughput")
        for boot in (1, 2)
        for setting in ("native", "docker")
    ]
    limit = {"max": 1.0, "statistic": "median", "source": "the paper"}
    pages[0]["extra_info"]["microcloud"]["measurements"][0]["limit"] = limit
    frequency = {"governor": "ondemand", "min_hz": 6e8, "max_hz": 1.2e9, "now_hz": 6e8}
    made_of = {
        "image": "bookworm", "calibrated_cpus": 0.74, "cpu_share": 1.0, "altered": [],
        "link_bits_per_s": 94e6, "round_trip_s": 0.02, "host": "h1",
    }  # fmt: skip
    board = run_files.emulated(
        made_of=made_of,
        emulated_by={"round_trip": "netem"},
        card={"cid": "c1", "name": "SD", "serial": "s1"},
        frequency=frequency,
        identity={"name": "Raspberry Pi 3 Model B", "ram_bytes": 2**30, "evidence": "its code"},
    )
    outcome = {"board": "desk", "experiment": "io", "test": "t", "verdict": "error", "reason": "no SSH"}
    return run_files.document(pages, {"desk": board}, outcomes=[outcome], plan=PLAN.as_dict())


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value that is ours, objects and lists included."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        if key not in ("stats", "options", "commit_info"):
            yield from leaves(each, (*path, key))


def mutated(document: dict[str, Any], path: tuple[Any, ...], other: Any) -> dict[str, Any]:
    found = copy.deepcopy(document)
    place: Any = found
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = other
    return found


@pytest.fixture(scope="module")
def mutations() -> list[str]:
    """Each value of a run replaced by values of other types: over a thousand files, as text."""
    document = whole()
    paths = [
        path for path in leaves(document) if path and path[:2] not in {("benchmarks", n) for n in range(1, 8)}
    ]
    return [json.dumps(mutated(document, path, other)) for path in paths for other in OTHERS]


def test_every_mutation_is_used_or_named_by_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mutations: list[str], catalog: Catalog
) -> None:
    directory = tmp_path / "runs"
    directory.mkdir()
    (directory / "0-good.json").write_text(json.dumps(whole()))
    used = 0
    assert len(mutations) > 1000
    for number, text in enumerate(mutations):
        file = directory / f"{number:05}.json"
        file.write_text(text)
        try:
            run = runs.load(file)
        except RunError as error:
            if not str(error).startswith(f"{file}: "):
                pytest.fail(f"the file is not named: {error}")
            continue
        used += 1
        claims.check_all(Results([run]))
        if number % 10 == 0:  # the page of a run takes longer
            feasibility.summary(run, catalog, Redactor())
    assert 100 < used < len(mutations)
    for file in sorted(directory.glob("0*.json")):
        for sides in ([str(file), "0-good"], ["0-good", str(file)]):
            assert cli.main(["compare", *sides, "--runs", str(directory)]) in (0, 4), file.read_text()
    capsys.readouterr()
    assert cli.main(["runs", "--runs", str(directory)]) == 0
    listed = capsys.readouterr()
    assert listed.err.count("microcloud: skipped") == len(mutations) - used
    stored = run_directory.read(directory)
    assert (stored.count, len(stored.skipped)) == (used + 1, len(mutations) - used)
    generations.page(stored, catalog).encode()


@pytest.mark.parametrize("other", OTHERS, ids=repr)
def test_a_session_resumes_past_a_mutated_plan(tmp_path: Path, other: Any) -> None:
    (tmp_path / "1.json").write_text(json.dumps(whole()))
    for key in ("plan", "outcomes", "boards"):
        changed = mutated(whole(), ("machine_info", "microcloud", key), other)
        (tmp_path / f"2-{key}.json").write_text(json.dumps(changed))
    for key in PLAN.as_dict():
        changed = mutated(whole(), ("machine_info", "microcloud", "plan", key), other)
        (tmp_path / f"3-{key}.json").write_text(json.dumps(changed))
    assert unfinished.find(tmp_path, PLAN).plan.is_like(PLAN)


def test_the_path_inside_the_file_is_named(tmp_path: Path) -> None:
    changed = whole()
    changed["machine_info"]["microcloud"]["boards"]["desk"]["made_of"]["calibrated_cpus"] = "x"
    (tmp_path / "1.json").write_text(json.dumps(changed))
    with pytest.raises(RunError, match=r"1\.json: is a run .*calibrated_cpus.*\$\.machine_info\.microcloud"):
        runs.load(tmp_path / "1.json")


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A directory of a good run and of files that would end or hang who reads them."""
    run_files.store(tmp_path / "good.json", whole()["benchmarks"])
    good = (tmp_path / "good.json").read_bytes()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.json")).write_bytes(good)
    os.mkfifo(tmp_path / "fifo.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    (tmp_path / "directory.json").mkdir()
    with (tmp_path / "sparse.json").open("wb") as sparse:
        sparse.truncate(2 * 2**30)
    return tmp_path


@pytest.mark.timeout(60)
def test_what_is_no_regular_file_of_a_runs_size_is_named_and_left_out(
    bad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["runs", "--runs", str(bad)]) == 0
    listed = capsys.readouterr()
    assert "good" in listed.out
    for name in ("\N{REPLACEMENT CHARACTER}.json", "fifo.json", "zero.json", "directory.json", "sparse.json"):
        assert f"/{name}: " in listed.err
    page = tmp_path / "page.html"
    assert cli.main(["report", "--runs", str(bad), "--output", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "sparse.json" in text
    assert "is not a regular file" in text


@pytest.mark.parametrize("name", ["fifo", "zero", "sparse", "directory", "x" * 300])
def test_comparing_with_a_damaged_run_is_a_usage_error(bad: Path, name: str) -> None:
    for sides in ([name, "good"], ["good", str(bad / f"{name}.json")]):
        assert cli.main(["compare", *sides, "--runs", str(bad)]) == 4
