"""Boots as samples: --microcloud-boots, in projects of users."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_microcloud import runs
from pytest_microcloud.verdict import gate
from tests.support.fake_boards import Project, said
from tests.support.real import RealBoard

NewRealBoard = Callable[..., RealBoard]
TWO = """\
    def test_disk(measure, board):
        measure(took, board)

    def test_memory(measure, board):
        measure.repeat(3, took, board, kind="memory")

    def test_plain(host): ...
    """


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(pytester, monkeypatch)
    project.tests(TWO)
    return project


def test_every_test_that_measures_runs_once_a_boot_and_any_other_once(project: Project) -> None:
    result = project.run("--microcloud-boots=3", "-v")
    result.assert_outcomes(passed=7)
    ran = [line.split()[0] for line in result.outlines if line.endswith("%]") and "::" in line]
    assert ran == [
        "test_desk.py::test_disk[ssh://desk-boot1]",
        "test_desk.py::test_memory[ssh://desk-boot1]",
        "test_desk.py::test_plain[ssh://desk]",
        "test_desk.py::test_disk[ssh://desk-boot2]",
        "test_desk.py::test_memory[ssh://desk-boot2]",
        "test_desk.py::test_disk[ssh://desk-boot3]",
        "test_desk.py::test_memory[ssh://desk-boot3]",
    ]


def test_what_runs_say_is_asked_after_the_last_boot(project: Project) -> None:
    project.tests("def test_claim(results, host):\n    assert results.subjects\n", "test_a_claim")
    result = project.run("--microcloud-boots=2", "-v")
    result.assert_outcomes(passed=6)
    ran = [line.split()[0] for line in result.outlines if line.endswith("%]") and "::" in line]
    assert ran[-1] == "test_a_claim.py::test_claim[ssh://desk]"


def test_a_board_boots_anew_before_the_first_test_of_each_further_boot(project: Project) -> None:
    project.run("--microcloud-boots=3")
    assert project.done() == ["desk on", "desk boots", "desk boots", "desk off"]


def test_all_boards_finish_a_boot_before_the_next(project: Project) -> None:
    project.hosts(desk={}, shelf={})
    project.run("--microcloud-boots=2")
    assert project.done()[:4] == ["desk on", "shelf on", "desk boots", "shelf boots"]


def test_the_run_keeps_boots_apart_and_the_repetitions_in_each(project: Project) -> None:
    project.run("--microcloud-boots=3")
    (file,) = project.files()
    run = runs.load(file)
    assert run.boots("desk") == 3
    measured = [(e.boot, len(m.samples)) for e, m in run.trusted() if m.labels.get("kind")]
    assert measured == [(1, 3), (2, 3), (3, 3)]
    stored = [b["extra_info"]["microcloud"]["boot"] for b in project.document()["benchmarks"]]
    assert stored == [1, 1, 2, 2, 3, 3]
    assert {len(series.values) for series in gate.series(run).values()} == {3}


def test_failed_first_does_not_mix_the_boots(project: Project) -> None:
    project.tests(
        """\
        def test_first(measure, board, request):
            measure(took, board)

        def test_second(measure, board, request):
            measure(took, board)
            assert "boot2" not in request.node.name or Path("mended").exists()
        """
    )
    usual = ("-o", "addopts=")
    project.run("--microcloud-boots=2", *usual)
    (project.path / "mended").touch()
    result = project.run("--microcloud-boots=2", "--failed-first", *usual)
    result.assert_outcomes(passed=4)
    assert project.done() == ["desk on", "desk boots", "desk off"]


def test_what_ends_a_measurement_by_pytests_own_means_ends_its_test_alone(project: Project) -> None:
    project.tests(
        """\
        def fails():
            pytest.fail("no such luck")

        def test_fails(measure):
            measure(fails)

        def test_well(measure, board):
            measure(took, board)
        """
    )
    result = project.run()
    result.assert_outcomes(failed=1, passed=1)
    assert [b["name"] for b in project.document()["benchmarks"]] == ["test_well[ssh://desk]"]
    assert {o["verdict"] for o in project.document()["machine_info"]["microcloud"]["outcomes"]} == {
        "infeasible",
        "feasible",
    }


def test_a_part_that_is_judged_leaves_the_rest_in_the_run(project: Project) -> None:
    project.tests(
        """\
        def test_it(measure, limit, board):
            both = measure(lambda: took(board, place="a") + took(board, place="b"))
            limit(both[:1])
        """
    )
    project.run().assert_outcomes(passed=1)
    (benchmark,) = project.document()["benchmarks"]
    stored = benchmark["extra_info"]["microcloud"]["measurements"]
    assert [m["labels"]["place"] for m in stored] == ["a", "b"]


def test_without_a_terminal_the_same_is_measured(project: Project) -> None:
    result = project.run("-p", "no:terminal")
    assert result.ret == pytest.ExitCode.OK
    assert len(project.document()["benchmarks"]) == 2


def test_one_boot_is_the_usual_and_changes_no_name(project: Project) -> None:
    result = project.run("-v")
    result.assert_outcomes(passed=3)
    assert "test_disk[ssh://desk] " in said(result)
    assert project.done() == ["desk on", "desk off"]


def test_the_ini_file_may_say_how_many_boots(project: Project) -> None:
    with (project.path / "tox.ini").open("a") as ini:
        ini.write("\nmicrocloud_boots = 2\n")
    project.run().assert_outcomes(passed=5)


@pytest.mark.parametrize("number", ["0", "-2"])
def test_fewer_than_one_boot_is_a_usage_error(project: Project, number: str) -> None:
    result = project.run(f"--microcloud-boots={number}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"--microcloud-boots={number}: give 1 or more" in said(result)


def test_a_board_that_does_not_boot_anew_is_an_error_and_the_others_go_on(project: Project) -> None:
    project.hosts(desk={}, shelf={})
    (project.path / "broken").write_text("desk boots")
    result = project.run("--microcloud-boots=2", "-k", "disk")
    result.assert_outcomes(passed=3, errors=1)
    assert "desk: did not reboot: stays dark" in said(result)
    run = runs.load(project.files()[-1])
    assert (run.boots("desk"), run.boots("shelf")) == (1, 2)
    assert [(e.board, e.boot) for e in run.entries if e.verdict == "error"] == [("desk", 2)]


def test_the_startup_experiment_reboots_once_a_boot(project: Project) -> None:
    project.tests(
        "def test_effort(effort, measure, board):\n    assert effort.boots == 1\n    measure(took, board)"
    )
    project.run("--microcloud-boots=2", "--microcloud-effort=paper").assert_outcomes(passed=2)


def test_the_boot_comes_after_all_other_parameters(project: Project) -> None:
    project.tests(
        """
        @pytest.mark.sweep("setting")
        @pytest.mark.parametrize("much", [1, 2])
        def test_it(measure, board, setting, much):
            measure(took, board)
        """
    )
    result = project.run("--microcloud-boots=2", "--collect-only", "-q")
    named = [line for line in result.outlines if "::" in line]
    assert len(named) == 8
    assert all(name.endswith(("-boot1]", "-boot2]")) for name in named)


def test_the_logs_of_each_boot_are_kept(project: Project) -> None:
    project.run("--microcloud-boots=2")
    (file,) = project.files()
    assert sorted(path.name for path in file.with_suffix("").iterdir()) == [
        "desk.boot1.log",
        "desk.boot2.log",
    ]


def test_the_plan_counts_boots_and_reboots_and_touches_nothing(project: Project) -> None:
    result = project.run("--microcloud-plan", "--microcloud-boots=10")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "desk: connect",
            "*1 s  test_desk.py::test_plain[[]ssh://desk[]]",
            "*10 s  test_desk.py::test_disk[[]ssh://desk] in 10 boots",
            "*3 min  9 reboots",
        ]
    )
    assert project.done() == []


def test_the_run_file_says_what_the_run_set_out_to_do(project: Project) -> None:
    project.run("--microcloud-boots=2", "-k", "disk")
    plan = project.document()["machine_info"]["microcloud"]["plan"]
    assert {key: plan[key] for key in ("hosts", "effort", "boots", "tests")} == {
        "hosts": ["desk"],
        "effort": "standard",
        "boots": 2,
        "tests": ["test_desk.py::test_disk[ssh://desk-boot1]", "test_desk.py::test_disk[ssh://desk-boot2]"],
    }


def test_what_a_mark_skips_is_not_part_of_what_is_to_be_done(project: Project) -> None:
    project.tests(
        """
        def test_disk(measure, board):
            measure(took, board)

        @pytest.mark.skip(reason="not today")
        def test_skipped(measure): ...
        """
    )
    project.run()
    plan = project.document()["machine_info"]["microcloud"]["plan"]
    assert plan["tests"] == ["test_desk.py::test_disk[ssh://desk]"]


REAL = """\
    from pytest_microcloud.measurement import Measurement

    def boot(board):
        said = board.link.run("cat /proc/1/stat").stdout
        return [Measurement("io.memory_time", [float(said.rpartition(")")[2].split()[19])])]

    def test_boot(measure, board, host):
        assert measure(boot, board)[0].samples[0] > 0
        assert host.check_output("hostname") == board.name
    """


@pytest.fixture
def desk(new_real_board: NewRealBoard) -> RealBoard:
    return new_real_board("desk")


@pytest.mark.engine
@pytest.mark.slow
def test_each_boot_of_a_real_board_is_another_one_and_the_board_is_left_as_it_was(
    desk: RealBoard, pytester: pytest.Pytester
) -> None:
    before = desk.state()
    pytester.makepyfile(test_desk=REAL)
    result = pytester.runpytest_subprocess(
        "--hosts=desk", f"--microcloud-inventory={desk.inventory()}", "--microcloud-boots=2"
    )
    result.assert_outcomes(passed=2)
    (file,) = Path(pytester.path / "reports" / "runs").glob("*.json")
    first, second = (m.samples[0] for _, m in runs.load(file).trusted())
    assert first != second
    assert desk.changes_since(before) == []


def test_the_ready_hook_is_called_before_the_first_test_of_each_boot(project: Project) -> None:
    project.add_to_conftest(
        """
        def pytest_microcloud_board_ready(board):
            with open("ready", "a") as file:
                print(board.name, board.booted, file=file)
        """
    )
    project.tests("def test_it(measure, board):\n    measure(took, board)\n\ndef test_other(board): ...")
    project.run("--microcloud-boots=3").assert_outcomes(passed=4)
    assert (project.path / "ready").read_text().splitlines() == ["desk boot 1", "desk boot 2", "desk boot 3"]


def test_a_board_whose_ready_hook_fails_is_not_measured_by_any_test(project: Project) -> None:
    project.add_to_conftest(
        """
        def pytest_microcloud_board_ready(board):
            raise RuntimeError("the card is not mounted")
        """
    )
    project.tests(
        """
        def test_first(measure, board):
            measure(took, board)

        def test_second(measure, board):
            measure(took, board)
        """
    )
    result = project.run()
    result.assert_outcomes(errors=2)
    assert project.document()["benchmarks"] == []


def test_fixtures_of_all_scopes_end_before_their_board_reboots(project: Project) -> None:
    project.tests(
        """
        def record(what):
            with open("done", "a") as file:
                print(what, file=file)

        @pytest.fixture(scope="session")
        def wide():
            record("session begins")
            yield
            record("session ends")

        @pytest.fixture(scope="module")
        def connection(host, wide):
            record("module begins")
            yield
            record("module ends")

        def test_it(measure, board, connection):
            measure(took, board)

        def test_other(measure, board, connection):
            measure(took, board)
        """
    )
    project.run("--microcloud-boots=2").assert_outcomes(passed=4)
    begin, end = ["session begins", "module begins"], ["module ends", "session ends"]
    assert project.done() == ["desk on", *begin, *end, "desk boots", *begin, *end, "desk off"]
