"""The `microcloud` command, without a Docker engine."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_microcloud import __version__
from pytest_microcloud.cli import main
from tests.support import run_files
from tests.support.command import one_line_error, output
from tests.support.run_files import BOOKWORM, TRIXIE


def test_help_tells_the_commands_and_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: microcloud")
    assert "clean" in said


def test_help_of_clean_tells_what_cache_removes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["clean", "--help"])
    assert exit_.value.code == 0
    assert "--cache" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["cleen"], ["clean", "--cash"]], ids=" ".join)
def test_a_wrong_command_line_exits_with_2_and_shows_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: microcloud" in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["unix://{}/docker.sock", "tcp://127.0.0.1:9"])
def test_without_an_engine_it_exits_with_1_and_one_line_that_says_what_to_do(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.format(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert main(["clean"]) == 1
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("microcloud: this machine: no Docker engine responds: ")
    assert engine.format(tmp_path) in line
    assert "make setup" in line
    assert said.out == ""


def test_it_is_installed_as_a_command_that_passes_its_exit_code_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    command = shutil.which("microcloud", path=Path(sys.executable).parent)
    assert command is not None
    done = subprocess.run([command, "clean"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1


def test_where_no_docker_is_clean_removes_what_is_not_on_one(tmp_path: Path) -> None:
    left = tmp_path / "microcloud" / "20260101T000000-aaaa"
    left.mkdir(mode=0o700, parents=True)
    calibrations = tmp_path / "cache" / "microcloud" / "calibration"
    calibrations.mkdir(parents=True)
    own = {"XDG_RUNTIME_DIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    words = shlex.join([sys.executable, "-m", "pytest_microcloud.cli", "clean", "--cache"])
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", f"mount -t tmpfs none /run && exec {words}"],
        env={name: value for name, value in os.environ.items() if name != "DOCKER_HOST"} | own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"removed the files of run {left.name}",
        "removed CPU calibrations",
        "no Docker engine on this machine, so no emulated boards to remove",
    ]
    assert not left.exists()
    assert not calibrations.exists()


@pytest.mark.parametrize("command", ["runs", "compare", "report", "fleet", "boards", "init"])
def test_every_command_has_a_help_of_its_own(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert f"usage: microcloud {command}" in capsys.readouterr().out


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"pytest-microcloud {__version__}\n"


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Runs of ten boots: two of bookworm, and one of trixie in which everything starts a fifth later."""
    directory = tmp_path / "runs"
    for number, (name, release, factor) in enumerate(
        [("first", BOOKWORM, 1.0), ("second", BOOKWORM, 1.0), ("slow", TRIXIE, 1.2)], 1
    ):
        noise = random.Random(name)
        values = [15.0 * factor * noise.lognormvariate(0, 0.02) for _ in range(10)]
        run_files.store(
            directory / f"{name}.json",
            run_files.boots("startup.ready_time", values),
            {"desk": run_files.fingerprint(os_release=release)},
            taken=f"2026-03-0{number}T12:34:56+00:00",
        )
    return directory


def test_runs_lists_every_run_with_its_board_and_what_came_of_it(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = output(capsys, "runs", "--runs", shelf)
    assert (code, err) == (0, "")
    head, first, _, last = out.splitlines()
    assert head.split() == ["RUN", "DATE", "BOARD", "MODEL", "OS", "RELEASE", "EFFORT", "BOOTS", "VERDICTS"]
    assert re.split(r"\s{2,}", first) == [
        "first", "2026-03-01 12:34", "desk (real)", "pi3b", BOOKWORM, "quick", "10", "10 feasible",
    ]  # fmt: skip
    assert last.startswith("slow ")
    assert TRIXIE in last
    assert len({line.index("desk") for line in out.splitlines()[1:]}) == 1


def test_runs_has_a_line_for_each_board_and_counts_its_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = {"board": "shelf", "experiment": "io", "verdict": "error", "reason": "no SSH"}
    run_files.store(
        tmp_path / "r.json",
        [
            run_files.benchmark("io.memory_time", [0.1], size="1MiB"),
            run_files.benchmark("io.memory_time", [0.1], size="2MiB", verdict="infeasible"),
            run_files.benchmark("io.memory_time", [0.1], board="cupboard", size="2MiB"),
        ],
        {"desk": run_files.fingerprint(), "cupboard": run_files.emulated("pi2b")},
        outcomes=[silent | {"test": "t1"}, silent | {"test": "t2"}],
    )
    lines = output(capsys, "runs", "--runs", tmp_path)[1].splitlines()[1:]
    printed = {
        cells[2]: (cells[3], cells[6], cells[7]) for cells in (re.split(r"\s{2,}", line) for line in lines)
    }
    assert printed == {
        "desk (real)": ("pi3b", "1", "1 feasible, 1 infeasible"),
        "cupboard (emulated)": ("pi2b", "1", "1 feasible"),
        "shelf (–)": ("–", "0", "2 error"),
    }


@pytest.mark.parametrize("left_out", [0, 1])
def test_runs_tells_a_run_whose_plan_is_not_done(
    left_out: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run_files.boots("startup.ready_time", [15.0, 15.1])
    tests = [benchmark["fullname"] for benchmark in done]
    plan = {"effort": "quick", "boots": 2, "tests": tests}
    run_files.store(tmp_path / "r.json", done[left_out:], plan=plan)
    assert output(capsys, "runs", "--runs", tmp_path)[1].endswith("; unfinished\n") == bool(left_out)


def test_runs_names_what_is_none_and_lists_the_others(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shelf / "half.json").write_text('{"machine_info": {')
    code, out, err = output(capsys, "runs", "--runs", shelf)
    assert (code, len(out.splitlines())) == (0, 4)
    (line,) = err.splitlines()
    assert line.startswith(f"microcloud: skipped {shelf / 'half.json'}: is not JSON, or is truncated")


def test_a_hostile_name_in_a_run_does_not_command_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "desk\x1b[2J\n\rall is well"
    run_files.store(
        tmp_path / "r.json",
        run_files.boots("startup.ready_time", [15.0], board=name),
        {name: run_files.fingerprint(os_release="\x1b]0;owned\x07")},
    )
    shutil.copy(tmp_path / "r.json", tmp_path / "s.json")
    both = [str(tmp_path / "r.json"), str(tmp_path / "s.json")]
    for arguments in (["runs", "--runs", str(tmp_path)], ["compare", *both, "-v"]):
        out = output(capsys, *arguments)[1]
        assert "desk\N{REPLACEMENT CHARACTER}[2J" in out
        assert not set("\x1b\x07\r") & set(out)


@pytest.mark.parametrize("command", ["runs", "report"])
def test_a_directory_that_is_not_there_is_reported(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = output(capsys, command, "--runs", tmp_path / "nowhere")
    assert (code, out) == (4, "")
    assert err == (
        f"microcloud: {tmp_path}/nowhere: no such directory; "
        "give the directory of the run files with --runs\n"
    )


def test_an_empty_directory_holds_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert output(capsys, "runs", "--runs", tmp_path) == (0, f"{tmp_path} holds no runs\n", "")


def test_a_regression_exits_with_1_and_shows_the_metric(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = output(capsys, "compare", "bookworm", "trixie", "--runs", shelf)
    assert (code, err) == (1, "")
    (row,) = [line for line in out.splitlines() if "startup.ready_time" in line]
    assert row.startswith("regressed")
    assert "slow against second" in out
    assert "(single-stage rule): suspects were not measured again" in out


def test_no_regression_exits_with_0(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = output(capsys, "compare", "first", shelf / "second.json", "--runs", shelf)
    assert code == 0
    assert "no evidence" in out


def test_compare_prints_json_and_nothing_else(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = output(capsys, "compare", "first", "slow", "--runs", shelf, "--json")
    printed = json.loads(out, parse_constant=pytest.fail)
    assert (code, printed["verdict"], printed["baseline"], printed["candidate"]) == (
        1,
        "regressed",
        "first",
        "slow",
    )
    (metric,) = printed["metrics"]
    assert (metric["board"], metric["metric"], metric["labels"]) == ("desk", "startup.ready_time", {})
    assert (metric["verdict"], metric["boots"]) == ("regressed", [10, 10])
    assert metric["interval"][0] < metric["ratio"] < metric["interval"][1]


def test_json_has_null_where_there_is_no_ratio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = {"setting": "docker", "clients": 250}
    for name, values in {"old": [0.0] * 10, "new": [5.0] * 10}.items():
        run_files.store(tmp_path / f"{name}.json", run_files.boots("serving.failures", values, **how))
    code, out, _ = output(capsys, "compare", "old", "new", "--runs", tmp_path, "--json")
    (metric,) = json.loads(out, parse_constant=pytest.fail)["metrics"]
    assert (code, metric["verdict"], metric["ratio"], metric["interval"]) == (1, "regressed", None, None)


def test_rules_of_ones_own_are_heeded(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = shelf / "gate.toml"
    own.write_text('["startup.ready_time"]\nreport_only = true\n')
    code, out, _ = output(capsys, "compare", "first", "slow", "--runs", shelf, "--gate", own)
    assert code == 0
    assert "regressed (report only)" in out


def test_a_run_that_is_not_there_exits_with_4_and_the_nearest_name(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = one_line_error(capsys, "compare", "frist", "slow", "--runs", shelf)
    assert line.startswith("microcloud: no run in ")
    assert "did you mean 'first'?" in line


def test_runs_that_cannot_be_compared_exit_with_4_and_the_reason(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {"desk": run_files.fingerprint(card={"cid": "02", "name": "USD00"})}
    run_files.store(shelf / "other.json", run_files.boots("startup.ready_time", [15.0] * 10), other)
    line = one_line_error(capsys, "compare", "first", "other", "--runs", shelf)
    assert line.startswith("microcloud: other cannot be compared with first: desk: the SD card is USD00")


def test_a_run_is_not_compared_with_itself(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newest = next(iter(sorted(shelf.glob("*.json"))))
    assert main(["compare", newest.stem, str(newest), "--runs", str(shelf)]) == 4
    assert "a run cannot be compared with itself" in capsys.readouterr().err


def test_an_os_release_of_a_single_run_is_not_compared_with_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_files.store(tmp_path / "only.json", run_files.boots("startup.ready_time", [15.0] * 10))
    release = run_files.fingerprint()["os_release"]
    line = one_line_error(capsys, "compare", release, release, "--runs", tmp_path)
    assert line == (
        f"microcloud: {release}: only the run only is of that OS release, and a run cannot be compared with "
        "itself"
    )


def test_a_page_that_cannot_be_written_exits_with_1_and_one_line(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--runs", str(shelf), "--output", "/proc/no/page.html"]) == 1
    assert capsys.readouterr().err == "microcloud: /proc/no: No such file or directory\n"


def test_runs_without_a_metric_in_common_are_no_success(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_files.store(shelf / "io.json", run_files.boots("io.memory_time", [0.1] * 10, size="1MiB"))
    line = one_line_error(capsys, "compare", "first", "io", "--runs", shelf, "--json")
    assert "no metric has valid measurements in both runs" in line


def test_a_wrong_gate_toml_exits_with_4_and_names_the_key(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shelf / "gate.toml").write_text('["startup.ready_time"]\nefect = 0.1\n')
    line = one_line_error(capsys, "compare", "first", "slow", "--gate", shelf / "gate.toml")
    assert 'gate.toml: key "startup.ready_time.efect": expected one of' in line


def test_report_writes_the_page_and_names_what_was_skipped(
    shelf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shelf / "half.json").write_text("{")
    page = tmp_path / "pages" / "all.html"
    code, out, err = output(capsys, "report", "--runs", shelf, "--output", page)
    assert (code, out) == (0, f"{page}\n")
    assert "half.json: is not JSON, or is truncated" in err
    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html")


def test_who_stops_reading_gets_no_traceback(shelf: Path) -> None:
    command = f"{sys.executable} -m pytest_microcloud.cli runs --runs {shelf} | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)  # noqa: S602
    assert done.stderr == ""
