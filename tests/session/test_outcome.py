"""The outcome of a test on the terminal and in the run file: error, failure, invalid."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.outcome_project import BOOT, HOT, RunFake, run_of, samples_and_verdicts


def verdicts(result: pytest.RunResult) -> dict[str, tuple[str, list[str]]]:
    """Return experiment -> verdict with what stands beside it, and the reasons below it."""
    lines = result.outlines
    table = lines[next(n for n, line in enumerate(lines) if "micro-cloud verdicts" in line) + 1 :]
    found: dict[str, tuple[str, list[str]]] = {}
    name = ""
    for line in table:
        if line.startswith("    "):
            found[name][1].append(line.strip())
        elif line.startswith("  "):
            name, _, rest = line.strip().partition(" ")
            found[name] = (rest.strip(), [])
    return found


def test_every_end_of_a_test_has_its_place_in_the_matrix_with_its_reason(ends: pytest.RunResult) -> None:
    found = verdicts(ends)
    assert found["crash"] == ("error         –", ["KeyError: 'key'"])
    assert found["assertion"] == ("infeasible    –", ["AssertionError: wrong board"])
    assert found["fail"] == ("infeasible    –", ["Failed: smoke"])
    assert found["wire"] == ("error         –", ["desk: the wire was cut"])
    assert found["doubt"] == ("invalid       –", ["the load generator was saturated"])
    assert found["teardown"] == ("error         –", ["RuntimeError: no way back"])
    missed, reasons = found["missed"]
    assert missed.startswith("infeasible")
    assert len(reasons) == 1
    assert "my patience" in reasons[0]
    assert not any("not ours" in reason for _, reasons in found.values() for reason in reasons)


def test_what_no_limit_was_judged_on_says_so_in_the_table_the_page_and_the_run_file(
    ends: pytest.RunResult, pytester: pytest.Pytester
) -> None:
    assert verdicts(ends)["unjudged"][0] == "feasible      memory time (4KiB) 1 s; no limit judged"
    page = (pytester.path / "reports" / "feasibility.html").read_text()
    assert '<td class="mc-unjudged"><b>feasible</b><br>memory time (4KiB) 1 s<small>no limit judged' in page
    (run_file,) = (pytester.path / "reports" / "runs").glob("*.json")
    held = {
        b["name"]: b["extra_info"].get("microcloud") for b in json.loads(run_file.read_text())["benchmarks"]
    }
    (unjudged,) = next(ours["measurements"] for name, ours in held.items() if "unjudged" in name)
    assert (unjudged["verdict"], unjudged["reason"]) == ("feasible", "no limit is set")


def test_measuring_twice_in_a_test_is_refused_with_what_to_do_instead(ends: pytest.RunResult) -> None:
    verdict, (reason,) = verdicts(ends)["twice"]
    assert verdict.startswith("error")
    assert "call measure(...) once per test, because each test is one benchmark of the run file" in reason
    assert "FixtureAlreadyUsed" not in ends.stdout.str()


def test_a_board_that_breaks_in_a_test_is_counted_as_an_error_and_doubt_as_invalid(
    ends: pytest.RunResult,
) -> None:
    ends.stdout.fnmatch_lines(["*::test_wire*desk* ERROR *", "*::test_doubt*desk* INVALID *"])
    counts = ends.parseoutcomes()
    assert (ends.ret, counts["errors"], counts["invalid"]) == (pytest.ExitCode.TESTS_FAILED, 2, 1)
    ends.stdout.fnmatch_lines(["BoardError: desk: the wire was cut"])
    ends.stdout.fnmatch_lines(["INVALID test_desk.py::test_doubt*"])


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ("BoardError(board.name, 'cut')", {"errors": 1}),
        ("InvalidMeasurement('saturated')", {"invalid": 1}),
    ],
)
def test_neither_a_broken_board_nor_doubt_lets_a_session_exit_with_0(
    run_fake: RunFake,
    pytester: pytest.Pytester,
    test: str,
    outcome: dict[str, int],
) -> None:
    pytester.makepyfile(
        test_desk=f"from pytest_microcloud import *\n\ndef test_it(board):\n    raise {test}\n"
    )
    result = run_fake()
    assert (result.ret, result.parseoutcomes()) == (pytest.ExitCode.TESTS_FAILED, outcome)


def test_junit_has_what_each_test_came_to_as_a_property(
    ends: pytest.RunResult, pytester: pytest.Pytester
) -> None:
    del ends
    cases = ElementTree.parse(pytester.path / "junit.xml").iter("testcase")  # noqa: S314 - pytest wrote it
    properties = {
        case.get("name", "").partition("[")[0]: case.find("properties/property[@name='microcloud']")
        for case in cases
    }
    values = {name: None if found is None else found.get("value") for name, found in properties.items()}
    assert (values["test_wire"], values["test_doubt"], values["test_crash"]) == ("error", "invalid", None)


def test_what_is_measured_on_a_board_that_was_not_well_is_invalid_with_the_reason(
    outcomes: Callable[..., pytest.RunResult],
) -> None:
    result = outcomes(BOOT, found=[HOT])
    assert (result.ret, result.parseoutcomes()) == (pytest.ExitCode.TESTS_FAILED, {"invalid": 1})
    assert verdicts(result)["desk"] == ("invalid       –", ["desk: it was 81 °C hot"])
    result.stdout.fnmatch_lines(["I *100%]", "INVALID test_desk.py::test_boot* - desk: it was 81 °C hot"])


def test_what_is_invalid_is_in_the_run_file_but_no_benchmark_of_it(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    outcomes(BOOT + "def test_well(measure):\n    measure(took)\n", found=[[], HOT])
    run = run_of(pytester)
    assert [b["name"] for b in run["benchmarks"]] == ["test_well[ssh://desk]"]
    kept, well = run["machine_info"]["microcloud"]["outcomes"]
    assert (well["test"], well["verdict"]) == ("test_desk.py::test_well[ssh://desk]", "feasible")
    assert kept["test"] == "test_desk.py::test_boot[ssh://desk]"
    assert (kept["board"], kept["experiment"]) == ("desk", "desk")
    assert (kept["verdict"], kept["reason"]) == ("invalid", "desk: it was 81 °C hot")
    assert samples_and_verdicts(kept["measurements"]) == [([1.0], "invalid"), ([2.0], "invalid")]


def test_limits_are_not_asked_about_what_is_invalid(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    (pytester.path / "mine.toml").write_text(
        '[limits.pi3b.startup]\nready_time = { max = 0.1, source = "my patience" }\n'
    )
    tests = "def test_boot(measure, limit):\n    limit(measure(took))\n"
    result = outcomes(tests, "-o", "microcloud_catalog=mine.toml", found=[HOT])
    assert result.parseoutcomes() == {"invalid": 1}
    (kept,) = run_of(pytester)["machine_info"]["microcloud"]["outcomes"]
    assert [(m["verdict"], m["limit"]) for m in kept["measurements"]] == [("invalid", None)]


def test_doubt_after_a_measurement_takes_it_out_of_the_benchmarks(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    outcomes("def test_boot(measure):\n    measure(took)\n    raise InvalidMeasurement('clouds')\n")
    run = run_of(pytester)
    assert run["benchmarks"] == []
    (kept,) = run["machine_info"]["microcloud"]["outcomes"]
    assert [(m["verdict"], m["reason"]) for m in kept["measurements"]] == [("invalid", "clouds")]


def test_what_is_invalid_is_measured_again_as_often_as_is_asked_for(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    result = outcomes(BOOT, "--microcloud-retry-invalid=2", found=[[], HOT, HOT])
    assert (result.ret, result.parseoutcomes()) == (pytest.ExitCode.OK, {"passed": 1})
    result.stdout.fnmatch_lines(
        [
            "  desk: invalid: desk: it was 81 °C hot; retry 1 of 2 in 0 s",
            "  desk: invalid: desk: it was 81 °C hot; retry 2 of 2 in 0 s",
        ]
    )
    (benchmark,) = run_of(pytester)["benchmarks"]
    assert benchmark["stats"]["data"] == [1.0, 4.0, 5.0]
    assert samples_and_verdicts(benchmark["extra_info"]["microcloud"]["measurements"]) == [
        ([1.0, 4.0, 5.0], "feasible"),
        ([2.0], "invalid"),
        ([3.0], "invalid"),
    ]


def test_what_stays_invalid_is_given_up_after_that(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    result = outcomes(BOOT, "-o", "microcloud_retry_invalid=1", found=[HOT, HOT, HOT])
    assert result.parseoutcomes() == {"invalid": 1}
    (kept,) = run_of(pytester)["machine_info"]["microcloud"]["outcomes"]
    assert samples_and_verdicts(kept["measurements"]) == [([1.0], "invalid"), ([2.0], "invalid")]


def test_a_wrong_call_is_an_error_of_its_test_without_a_traceback(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    call = "serving.load(server, clients=100, requests=50)"
    tests = (
        "from pytest_microcloud.experiments import serving\n"
        f"def test_load(board, measure):\n    server = None\n    measure(lambda: {call})\n"
    )
    result = outcomes(tests)
    assert (result.ret, result.parseoutcomes()) == (pytest.ExitCode.TESTS_FAILED, {"errors": 1})
    result.stdout.fnmatch_lines(["UserMistake: requests=50, clients=100: each client needs at least one *"])
    result.stdout.no_fnmatch_line("*Traceback*")
    (kept,) = run_of(pytester)["machine_info"]["microcloud"]["outcomes"]
    assert kept["verdict"] == "error"


def test_a_number_of_repetitions_below_0_is_refused(outcomes: Callable[..., pytest.RunResult]) -> None:
    result = outcomes(BOOT, "--microcloud-retry-invalid=-1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--microcloud-retry-invalid=-1: give 0 or more"])


def test_a_board_that_breaks_between_rounds_leaves_those_that_were_made_in_the_run_file(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    outcomes(
        """
        def dying():
            if (measured := took())[0].samples == [3.0]:
                raise BoardError("desk", "the wire was cut")
            return measured

        def test_boot(measure):
            measure.repeat(5, dying)
        """
    )
    (kept,) = run_of(pytester)["machine_info"]["microcloud"]["outcomes"]
    assert (kept["verdict"], kept["reason"]) == ("error", "desk: the wire was cut")
    assert samples_and_verdicts(kept["measurements"]) == [([1.0, 2.0], "invalid")]


def test_what_is_not_measured_is_in_the_run_file_with_the_reason(
    outcomes: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    outcomes(
        """
        from pytest_microcloud import NotMeasured
        from pytest_microcloud.experiments import deploy as deploying

        def none(board, workload):
            raise NotMeasured(f"no registry has {workload.id}")

        deploying.deploy = none

        def test_image(deploy):
            deploy("jenkins")
        """
    )
    (kept,) = run_of(pytester)["machine_info"]["microcloud"]["outcomes"]
    assert (kept["verdict"], kept["reason"]) == ("not measured", "no registry has jenkins")
    assert kept["measurements"] == []


@pytest.mark.parametrize("found", [[HOT], [[], [], [], HOT]])
def test_pytest_benchmark_reads_a_run_with_invalid_tests(
    outcomes: Callable[..., pytest.RunResult],
    pytester: pytest.Pytester,
    tmp_path: Path,
    found: list[list[str]],
) -> None:
    outcomes(BOOT + "def test_again(measure):\n    measure.repeat(2, took)\n" * (len(found) > 1), found=found)
    (file,) = (pytester.path / "reports" / "runs").glob("*.json")
    compare = [str(Path(sys.executable).with_name("pytest-benchmark")), "compare", str(file)]
    done = subprocess.run(compare, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert ("test_boot" in done.stdout) == (len(found) > 1)
    assert "test_again" not in done.stdout


@pytest.mark.parametrize(
    ("mark", "counts"),
    [
        ("xfail(reason='slow')", {"invalid": 1}),
        ("xfail(reason='slow', strict=True)", {"invalid": 1}),
        ("xfail(raises=AssertionError)", {"invalid": 1}),
        ("xfail(raises=InvalidMeasurement)", {"xfailed": 1}),
    ],
)
def test_a_test_that_should_fail_is_invalid_unless_its_mark_says_that_it_should_be(
    outcomes: Callable[..., pytest.RunResult], mark: str, counts: dict[str, int]
) -> None:
    result = outcomes(f"@pytest.mark.{mark}\n{BOOT}", found=[HOT])
    assert result.parseoutcomes() == counts
    assert (result.ret == pytest.ExitCode.OK) == ("xfailed" in counts)


THREE = "".join(f"def test_{name}(measure):\n    measure(took)\n" for name in ("a", "b", "c"))


@pytest.mark.parametrize(("option", "ran"), [("-x", 1), ("--maxfail=2", 2), ("--maxfail=3", 3)])
def test_invalid_tests_count_as_failures_for_stopping_early(
    outcomes: Callable[..., pytest.RunResult], option: str, ran: int
) -> None:
    assert outcomes(THREE, option, found=[HOT] * 3).parseoutcomes() == {"invalid": ran}


def test_invalid_tests_are_among_those_that_failed_last(outcomes: Callable[..., pytest.RunResult]) -> None:
    outcomes(THREE, found=[[], HOT])
    again = outcomes(THREE, "--lf", "-v")
    assert again.parseoutcomes()["passed"] == 1
    again.stdout.fnmatch_lines(["*::test_b*PASSED*"])
