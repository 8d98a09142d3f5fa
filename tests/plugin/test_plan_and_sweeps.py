"""The plan, sweeps and efforts, in projects of users."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.plugin_project import SWEEPS, Run, said, usage_error

ROOT = Path(__file__).parent.parent.parent


# The plan


def test_the_plan_lists_boards_and_steps_with_times_and_touches_nothing(project: pytest.Pytester) -> None:
    (project.path / "hosts.ini").write_text("[pi3b]\ndesk microcloud_driver=container\n")
    project.makepyfile(test_io="def test_disk(board): ...", test_plain="def test_plain(host): ...")
    before = files(project)
    result = project.runpytest_subprocess("--hosts=pi3b", "--microcloud-plan")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines_random(
        [
            "boards: desk (pi3b, container)",
            "desk: power on (about * s; minutes the first time on a host)",
            "* s  test_board.py::test_it*desk*",
            "* s  test_plain.py::test_plain*desk*",
            "about * in all; nothing was touched",
        ]
    )
    assert "feasibility.html" not in said(result)
    assert files(project) == before


def files(project: pytest.Pytester) -> set[Path]:
    """Return what is in a project and in its user's home, except for what pytester and Python put there."""
    own = ("runpytest-", "__pycache__", "stdout", "stderr")
    return {path for path in project.path.rglob("*") if not any(part.startswith(own) for part in path.parts)}


def test_the_plan_of_more_effort_takes_longer(project: pytest.Pytester) -> None:
    units = {"s": 1, "min": 60, "h": 3600}

    def planned_s(effort: str) -> float:
        result = project.runpytest_subprocess(
            str(ROOT / "suites"),
            f"--rootdir={ROOT}",
            f"--microcloud-inventory={project.path / 'hosts.ini'}",
            "--hosts=pi3b",
            "--microcloud-plan",
            f"--microcloud-effort={effort}",
        )
        (line,) = [line for line in result.outlines if line.endswith("in all; nothing was touched")]
        _, number, unit, *_ = line.split()
        return float(number) * units[unit]

    assert planned_s("quick") * 5 < planned_s("paper")


def test_collecting_leaves_the_report_of_the_last_run_alone(project: pytest.Pytester) -> None:
    page = project.path / "reports" / "feasibility.html"
    page.parent.mkdir()
    page.write_text("the last run's")
    assert project.runpytest_subprocess("--hosts=pi3b", "--collect-only").ret == pytest.ExitCode.OK
    assert page.read_text() == "the last run's"
    assert list(page.parent.iterdir()) == [page]


# Sweeps and efforts


def test_a_sweep_over_an_unknown_axis_is_refused_with_the_axes_there_are(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_board="""
        import pytest

        @pytest.mark.sweep("client")
        def test_page(board, client): ...
        """
    )
    result = project.runpytest_subprocess("--hosts=pi3b")
    text = said(result)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    wrong, right = (
        "test_board.py::test_page: @pytest.mark.sweep('client')",
        "clients, setting, size, workload",
    )
    assert f"{wrong}: expected one of {right}" in text
    assert "_hookexec" not in text


def collected(project: pytest.Pytester, effort: str) -> list[str]:
    result = project.runpytest_subprocess(
        "test_sweeps.py", "--hosts=desk", "--collect-only", "-q", f"--microcloud-effort={effort}"
    )
    return [line for line in result.outlines if "::" in line]


def test_ids_tell_board_and_point_of_the_sweep_as_people_write_them(project: pytest.Pytester) -> None:
    project.makepyfile(test_sweeps=SWEEPS)
    ids = collected(project, "standard")
    for point in ("desk-50clients-native", "desk-250clients-docker", "desk-4KiB", "desk-64MiB", "desk-httpd"):
        assert sum(test.endswith(f"{point}]") for test in ids) == 1, ids


def test_more_effort_means_more_points(project: pytest.Pytester) -> None:
    project.makepyfile(test_sweeps=SWEEPS)
    quick, standard, paper = (
        {test.partition("::")[2] for test in collected(project, effort)}
        for effort in ("quick", "standard", "paper")
    )
    assert 0 < len(quick) < len(standard) < len(paper)
    assert quick < standard | paper


def test_an_effort_that_is_none_is_a_usage_error_that_lists_the_efforts(run: Run) -> None:
    result = run("--hosts=pi3b", "--microcloud-effort=papers")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "invalid choice: 'papers' (choose from" in said(result)
    by_ini = usage_error(run("--hosts=pi3b", "-o", "microcloud_effort=papers"))
    assert "no effort is named 'papers'; did you mean 'paper'? (there are: paper, quick, standard)" in by_ini


# The mark `experiment`


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        ('"mine", tolerates="swapp"', "no symptom is named 'swapp'; did you mean 'swap'*"),
        ('"mine", tolerates=["oom", "swapp"]', "no symptom is named 'swapp'; did you mean 'swap'*"),
        ('"mine", tolerate="swap"', "got an unexpected keyword argument 'tolerate'"),
        ('"mine", "swap"', "takes from 0 to 1 positional arguments but 2 were given"),
    ],
)
def test_an_experiment_mark_that_cannot_be_applied_is_an_error(
    project: pytest.Pytester, mark: str, reason: str
) -> None:
    project.makepyfile(
        test_board=f"import pytest\n\n@pytest.mark.experiment({mark})\ndef test_it(measure): ..."
    )
    result = project.runpytest_subprocess("--hosts=pi3b", "--microcloud-plan")
    result.stdout.fnmatch_lines([f"*test_board.py::test_it*: @pytest.mark.experiment(*): {reason}*"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "During handlingback" not in said(result)
