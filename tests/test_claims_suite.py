"""The suite of claims, over stored runs: it needs no board, and a claim that does not hold is a finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_microcloud import project
from pytest_microcloud.verdict import claims
from tests.support import run_files

SUITE = "suites/test_claims.py"
BOOT = "test_claim[boards_boot_before_the_vm]"


@pytest.fixture
def directory(pytester: pytest.Pytester) -> Path:
    """A project as `microcloud init` makes it, with a run of a board and one of the cloud VM."""
    project.create(pytester.path)
    runs = pytester.path / "reports" / "runs"
    for model, ready_s in {"pi3b": 15.0, "t2_small": 25.5}.items():
        run_files.store(
            runs / f"{model}.json",
            run_files.boots("startup.ready_time", [ready_s], board=model),
            {model: run_files.fingerprint(model)},
        )
    return runs


def let_the_board_be_slower(directory: Path) -> None:
    slow = run_files.boots("startup.ready_time", [60.0], board="pi3b")
    later = "2026-04-01T00:00:00+00:00"
    run_files.store(directory / "slow.json", slow, {"pi3b": run_files.fingerprint()}, taken=later)


def test_every_claim_is_one_test_that_bears_its_name(pytester: pytest.Pytester, directory: Path) -> None:
    assert directory.is_dir()
    items, _ = pytester.inline_genitems(SUITE)
    assert [item.name for item in items] == [f"test_claim[{name}]" for name in claims.names()]


def test_what_holds_passes_and_what_is_not_measured_is_counted_as_such(
    pytester: pytest.Pytester, directory: Path
) -> None:
    assert directory.is_dir()
    result = pytester.runpytest(SUITE, "-v")
    assert result.parseoutcomes() == {"passed": 2, "unmeasured": len(claims.names()) - 2}
    assert f"{BOOT} PASSED" in result.stdout.str()
    assert "startup.container_time of pi2b" in result.stdout.str()


def test_what_does_not_hold_is_a_finding_and_fails_only_if_strict(
    pytester: pytest.Pytester, directory: Path
) -> None:
    let_the_board_be_slower(directory)
    finding = pytester.runpytest(SUITE)
    assert finding.ret == pytest.ExitCode.OK
    finding.stdout.fnmatch_lines(["*does not hold: Every board boots before the cloud VM*60 s*25.5 s*"])
    strict = pytester.runpytest(SUITE, "--microcloud-claims=strict")
    assert strict.parseoutcomes() == {"failed": 2, "unmeasured": len(claims.names()) - 2}
    assert strict.ret == pytest.ExitCode.TESTS_FAILED


def test_without_any_run_no_claim_is_measured(pytester: pytest.Pytester) -> None:
    project.create(pytester.path)
    result = pytester.runpytest(SUITE)
    assert result.parseoutcomes() == {"unmeasured": len(claims.names())}
    assert result.ret == pytest.ExitCode.OK


def test_a_broken_file_among_the_runs_disturbs_no_claim(pytester: pytest.Pytester, directory: Path) -> None:
    (directory / "half.json").write_text('{"machine_info":')
    pytester.runpytest(SUITE, "-k", "boards_boot_before").assert_outcomes(passed=1)
