"""Claims in a session: `results`, `judge_claim` and --microcloud-claims, without any board."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_boards import Project, said

CLAIMS = """\
    import pytest
    from pytest_microcloud.verdict.claims import Claim

    JUDGED = {
        "faster": Claim("faster", "Newer is faster", "4.I", "", "holds", ("1 s < 2 s",), (), ()),
        "early": Claim(
            "early", "It is early", "4.IV", "", "holds", ("1 s",), ("a run of pi2b",), ("pi3b", "pi1b")
        ),
        "bigger": Claim("bigger", "Newer is bigger", "4.II", "", "does not hold", ("3 > 2",), (), ("pi3b",)),
        "ready": Claim("ready", "It boots", "4.IV", "", "not measured", (), ("a run of pi3b",), ()),
    }

    @pytest.mark.parametrize("name", JUDGED)
    def test_claim(judge_claim, name):
        judge_claim(JUDGED[name])
    """


@pytest.fixture
def run(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = -p no:cacheprovider")
    pytester.makepyfile(test_claims=CLAIMS)
    return pytester


def test_a_claim_that_does_not_hold_is_a_finding_and_fails_nothing(run: pytest.Pytester) -> None:
    result = run.runpytest_subprocess("-v")
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes() == {"passed": 3, "unmeasured": 1}
    text = said(result)
    assert "claims: 2 hold (1 of them so far), 1 do not hold, 1 are not measured" in text
    assert "  does not hold: Newer is bigger (4.II): 3 > 2; emulated: pi3b" in text
    assert "  not measured: It boots (4.IV): a run of pi3b" in text
    assert "test_claim[ready] UNMEASURED" in text


def test_a_claim_that_holds_so_far_says_what_is_missing_and_whose_figures_are_emulated(
    run: pytest.Pytester,
) -> None:
    text = said(run.runpytest_subprocess())
    line = "  holds so far: It is early (4.IV): not measured: a run of pi2b; emulated: pi3b, pi1b"
    assert line in text
    assert "Newer is faster" not in text, "what simply holds is only counted"


def test_claims_that_are_not_measured_are_counted_and_named_with_verbose_alone(run: pytest.Pytester) -> None:
    text = said(run.runpytest_subprocess())
    assert "1 do not hold, 1 are not measured (-v lists the missing figures)" in text
    assert "It boots" not in text


@pytest.mark.parametrize("way", ["option", "ini"])
def test_strict_claims_fail_with_their_numbers_and_no_traceback(run: pytest.Pytester, way: str) -> None:
    strict = ["--microcloud-claims=strict"] if way == "option" else ["-o", "microcloud_claims=strict"]
    result = run.runpytest_subprocess(*strict)
    assert result.parseoutcomes() == {"passed": 2, "failed": 1, "unmeasured": 1}
    assert "Newer is bigger: does not hold: 3 > 2" in said(result)
    assert "def test_claim" not in said(result)


def test_a_strictness_that_there_is_not_is_a_usage_error(run: pytest.Pytester) -> None:
    result = run.runpytest_subprocess("-o", "microcloud_claims=very")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "microcloud_claims = very: expected strict or report" in said(result)


def test_results_are_all_stored_runs_and_need_no_board(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(pytester, monkeypatch)
    project.tests("def test_it(measure, board):\n    measure(took, board)")
    for image in ("old", "new"):
        project.hosts(desk={"microcloud_image": image})
        project.run("--microcloud-reports=elsewhere").assert_outcomes(passed=1)
    (Path(pytester.path) / "test_desk.py").unlink()
    pytester.makepyfile(
        test_stored="""
        def test_all(results):
            assert [s.os_release for s in results.subjects] == ["old", "new"]
        """
    )
    pytester.runpytest_subprocess("--microcloud-reports=elsewhere").assert_outcomes(passed=1)


def test_without_any_runs_there_are_no_results(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_none(results):\n    assert results.subjects == []")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
