"""What pytest says and does before any board is touched, in projects of users."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parent.parent
HOSTS = """\
    [pi3b]
    desk microcloud_driver=ssh ansible_host=192.0.2.13

    [pi2b]
    shelf microcloud_driver=ssh ansible_host=192.0.2.12

    [attic]
    """
WITH_BOARD = """\
    def test_it(board):
        assert board.name
    """
SWEEPS = """\
    import pytest

    @pytest.mark.sweep("clients", "setting")
    def test_page(board, clients, setting): ...

    @pytest.mark.sweep("size")
    def test_disk(board, size): ...

    @pytest.mark.sweep("workload")
    def test_filling(board, workload): ...
    """

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with two boards, a test that needs one, and no Docker engine; warnings are errors."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(pytester.path / "runtime"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{pytester.path}/docker.sock")
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers -p no:cacheprovider")
    (pytester.path / "hosts.ini").write_text(dedent(HOSTS))
    pytester.makepyfile(test_board=WITH_BOARD)
    return pytester


@pytest.fixture
def run(project: pytest.Pytester) -> Run:
    return project.runpytest_subprocess


def said(result: pytest.RunResult) -> str:
    return "\n".join([*result.outlines, *result.errlines])


def usage_error(result: pytest.RunResult) -> str:
    """Return all that was said, provided that it was a UsageError and looked like one."""
    text = said(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR, text
    assert text.count("ERROR: ") == 1, text
    for noise in ("Traceback", "INTERNALERROR", "Error:", 'File "'):
        assert noise not in text, text
    return text


def set_ini(project: pytest.Pytester, *lines: str) -> None:
    with (project.path / "tox.ini").open("a") as ini:
        ini.writelines(f"\n{line}" for line in lines)


# The choice of boards


def test_a_test_with_a_board_and_no_hosts_is_a_usage_error_that_says_how_to_choose(run: Run) -> None:
    text = usage_error(run())
    assert "test_board.py::test_it" in text
    assert "needs a board: choose with --hosts, e.g. --hosts=pi3b" in text


@pytest.mark.parametrize("name", ["effort", "deploy", "serve", "measure", "limit"])
def test_every_fixture_of_ours_asks_for_hosts(name: str, project: pytest.Pytester) -> None:
    project.makepyfile(test_board=f"def test_it({name}): ...")
    assert "needs a board: choose with --hosts" in usage_error(project.runpytest_subprocess())


def test_a_deselected_test_of_a_board_asks_for_nothing(project: pytest.Pytester) -> None:
    project.makepyfile(test_other="def test_other(): ...")
    result = project.runpytest_subprocess("-k", "other")
    result.assert_outcomes(passed=1, deselected=1)


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ("pi3", "no host or group is named 'pi3'; did you mean 'pi3b'?"),
        ("pi3b,dsek", "no host or group is named 'dsek'; did you mean 'desk'?"),
        ("attic", "'attic' holds no host"),
        ("", "'' leaves no host"),
        ("all,!all", "'all,!all' leaves no host"),
    ],
)
def test_a_wrong_choice_of_hosts_is_answered_with_what_there_is(run: Run, hosts: str, expected: str) -> None:
    text = usage_error(run(f"--hosts={hosts}"))
    assert expected in text
    assert "there are: groups pi2b, pi3b; hosts desk, shelf" in text


def test_a_board_without_a_model_is_a_usage_error_that_lists_the_models(project: pytest.Pytester) -> None:
    (project.path / "hosts.ini").write_text("[pi3bb]\ndesk\n")
    text = usage_error(project.runpytest_subprocess("--hosts=desk"))
    assert "host 'desk' has no board model" in text
    assert "did you mean 'pi3b" in text
    assert "set microcloud_model to one of: " in text


def test_an_unknown_driver_is_a_usage_error_that_lists_the_drivers(project: pytest.Pytester) -> None:
    (project.path / "hosts.ini").write_text("[pi3b]\ndesk microcloud_driver=contaner\n")
    text = usage_error(project.runpytest_subprocess("--hosts=desk"))
    assert "no driver is named 'contaner'; did you mean 'container'? (there are: container, ssh" in text


def test_an_inventory_that_was_named_and_is_not_there_is_a_usage_error(run: Run) -> None:
    text = usage_error(run("--hosts=pi3b", "--microcloud-inventory=host.ini"))
    assert "host.ini: no such inventory file; did you mean 'hosts.ini'?" in text


def test_boards_without_any_inventory_are_a_usage_error_that_says_where_it_is_looked_for(
    project: pytest.Pytester,
) -> None:
    (project.path / "hosts.ini").unlink()
    text = usage_error(project.runpytest_subprocess("--hosts=pi3b"))
    assert "test_board.py::test_it" in text
    assert " needs a board of an inventory; " in text
    assert f"there is no {project.path / 'hosts.ini'}" in text
    assert "--microcloud-inventory" in text


def test_boards_by_a_spec_of_testinfras_are_a_usage_error_too(project: pytest.Pytester) -> None:
    assert "needs a board of an inventory" in usage_error(project.runpytest_subprocess("--hosts=local://"))


# What cannot go with boards


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["-n", "2"], "pytest-benchmark switches itself off under xdist"),
        (["--numprocesses=2"], "pytest-benchmark switches itself off under xdist"),
        (["-d", "--tx", "2*popen"], "pytest-benchmark switches itself off under xdist"),
        (["--dist=load"], "pytest-benchmark switches itself off under xdist"),
        (["--benchmark-disable"], "measurements need pytest-benchmark: run without --benchmark-disable"),
        (["--benchmark-skip"], "measurements need pytest-benchmark: run without --benchmark-disable"),
        (["-p", "no:benchmark"], "measurements need pytest-benchmark: run without -p no:benchmark"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_run_that_would_measure_nothing_is_refused(run: Run, arguments: list[str], why: str) -> None:
    assert why in usage_error(run("--hosts=pi3b", *arguments))


def test_no_worker_processes_is_as_good_as_none_asked_for(run: Run) -> None:
    assert run("--hosts=pi3b", "-n", "0", "--collect-only").ret == pytest.ExitCode.OK


def test_without_pytest_html_boards_are_collected_all_the_same(run: Run) -> None:
    result = run("--hosts=pi3b", "-p", "no:html", "--microcloud-plan")
    assert (result.ret, "desk: connect" in said(result)) == (pytest.ExitCode.OK, True)


# The user's own catalog


def test_a_wrong_catalog_file_is_a_usage_error_that_names_file_and_key(project: pytest.Pytester) -> None:
    (project.path / "mine.toml").write_text('[boards.mine]\nname = "Mine"\nlike = "pi3b"\ncoers = 4\n')
    set_ini(project, "microcloud_catalog = mine.toml")
    text = usage_error(project.runpytest_subprocess("--hosts=pi3b"))
    assert f"{project.path / 'mine.toml'}: key \"boards.mine.coers\": unknown; did you mean 'cores'?" in text


def test_a_catalog_file_that_is_not_there_is_a_usage_error(run: Run) -> None:
    text = usage_error(run("--hosts=pi3b", "-o", "microcloud_catalog=none.toml"))
    assert "none.toml: cannot be read: No such file or directory" in text


def test_a_board_model_of_a_users_catalog_can_be_chosen(project: pytest.Pytester) -> None:
    (project.path / "mine.toml").write_text('[boards.mine]\nname = "Mine"\nlike = "pi3b"\n')
    (project.path / "hosts.ini").write_text("[mine]\nown microcloud_driver=ssh\n")
    set_ini(project, "microcloud_catalog = mine.toml")
    result = project.runpytest_subprocess("--hosts=mine", "--collect-only")
    assert "boards: own (mine, ssh)" in said(result)


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
    assert f"{wrong}: the axes are {right}" in text
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


# The options and their twins


def test_each_option_and_its_twin_are_in_the_help(run: Run) -> None:
    text = said(run("--help"))
    for name in ("inventory", "effort", "reports", "plan", "keep"):
        assert f"--microcloud-{name}" in text
        assert f"microcloud_{name} (" in text
    assert "microcloud_catalog (paths)" in text


SHOW_SETTINGS = """\
    import json
    from pytest_microcloud.session.state import SESSION

    def pytest_collection_finish(session):
        ours = session.config.stash[SESSION]
        print("settings:", json.dumps({
            "inventory": list(ours.rack.targets),
            "effort": ours.effort.id,
            "reports": str(ours.run_file.parent.relative_to(session.config.rootpath)),
            "keep": ours.rack._keep,
            "page": session.config.option.htmlpath and "written",
        }))
    """


def settings(project: pytest.Pytester, *arguments: str) -> dict[str, object]:
    project.makeconftest(SHOW_SETTINGS)
    result = project.runpytest_subprocess("--hosts=all", "-s", *arguments)
    (line,) = [line for line in result.outlines if "settings: " in line]
    found: dict[str, object] = json.loads(line.partition("settings: ")[2])
    return found


def test_options_and_their_ini_twins_do_the_same(project: pytest.Pytester) -> None:
    (project.path / "lab.ini").write_text("[pi3b]\nlab microcloud_driver=ssh\n")
    expected = {"inventory": ["lab"], "effort": "paper", "reports": "out/runs", "keep": True, "page": None}
    by_option = settings(
        project,
        "--microcloud-inventory=lab.ini",
        "--microcloud-effort=paper",
        "--microcloud-reports=out",
        "--microcloud-keep",
        "--microcloud-plan",
    )
    set_ini(
        project,
        "microcloud_inventory = lab.ini",
        "microcloud_effort = paper",
        "microcloud_reports = out",
        "microcloud_keep = true",
        "microcloud_plan = true",
    )
    assert by_option == settings(project) == expected


def test_an_option_goes_before_its_ini_twin_and_without_both_there_is_a_default(
    project: pytest.Pytester,
) -> None:
    assert settings(project, "--collect-only") == {
        "inventory": ["desk", "shelf"],
        "effort": "standard",
        "reports": "reports/runs",
        "keep": False,
        "page": None,
    }
    set_ini(project, "microcloud_effort = paper")
    assert settings(project, "--collect-only", "--microcloud-effort=quick")["effort"] == "quick"


def test_paths_of_options_start_where_pytest_was_called_and_those_of_ini_files_in_the_root(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = project.mkdir("below")
    (below / "lab.ini").write_text("[pi3b]\nlab microcloud_driver=ssh\n")
    set_ini(project, "microcloud_inventory = hosts.ini", "microcloud_reports = out")
    monkeypatch.chdir(below)
    given = settings(
        project, "..", "--collect-only", "--microcloud-inventory=lab.ini", "--microcloud-reports=o"
    )
    assert (given["inventory"], given["reports"]) == (["lab"], "below/o/runs")
    twins = settings(project, "..", "--collect-only")
    assert (twins["inventory"], twins["reports"]) == (["desk", "shelf"], "out/runs")


# Projects that do not use it


def test_plain_testinfra_tests_run_without_an_inventory(project: pytest.Pytester) -> None:
    (project.path / "hosts.ini").unlink()
    project.makepyfile(test_board='def test_x(host):\n    assert host.run("true").rc == 0\n')
    for arguments in ([], ["--hosts=local://"]):
        result = project.runpytest_subprocess("-v", *arguments)
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["*test_x*local*PASSED*"])


@pytest.mark.parametrize("spec", ["ssh://pi3b", "ssh://desk?port=2222,local://", "docker://pi3b"])
def test_testinfras_own_specs_are_left_to_it_even_where_there_is_an_inventory(
    project: pytest.Pytester, spec: str
) -> None:
    project.makepyfile(
        test_board="""
        def test_x(host, request):
            assert request.config.option.hosts == {spec!r}
            assert request.config.option.ssh_config is None
            assert not request.config.pluginmanager.hasplugin("microcloud-session")
        """.replace("{spec!r}", repr(spec))
    )
    result = project.runpytest_subprocess(f"--hosts={spec}")
    result.assert_outcomes(passed=spec.count("://"))
    assert not (project.path / "reports").exists()


@pytest.mark.parametrize("arguments", [[], ["--hosts=local://"]], ids=" ".join)
def test_a_users_own_fixtures_of_the_same_names_are_his(
    project: pytest.Pytester, arguments: list[str]
) -> None:
    project.makepyfile(
        test_board="""
        import pytest

        @pytest.fixture
        def board():
            return "chess"

        @pytest.fixture
        def limit(board):
            return len(board)

        def test_it(board, limit):
            assert (board, limit) == ("chess", 5)
        """
    )
    project.runpytest_subprocess(*arguments).assert_outcomes(passed=1)


def test_a_project_that_does_not_use_the_plugin_imports_nothing_heavy_for_it(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        test_board="""
        import json, sys
        from pathlib import Path

        def test_modules():
            Path("modules.json").write_text(json.dumps(list(sys.modules)))
        """
    )

    def imported(*arguments: str) -> set[str]:
        project.runpytest_subprocess(*arguments).assert_outcomes(passed=1)
        return set(json.loads((project.path / "modules.json").read_text()))

    ours = imported() - imported("-p", "no:microcloud")
    heavy = {"ansible", "docker", "pandas", "numpy", "plotly", "requests", "scipy", "testinfra", "tomllib"}
    assert "pytest_microcloud.plugin" in ours
    assert heavy.isdisjoint(name.partition(".")[0] for name in ours)
    modules = {name.removeprefix("pytest_microcloud.") for name in ours if "pytest_microcloud." in name}
    assert modules <= {
        "plugin",
        "options",
        "fixtures",
        "session",
        "session.claims",
        "session.collected",
        "session.items",
        "session.measuring",
        "session.state",
        "hookspecs",
        "errors",
    }


def test_a_measure_of_a_users_own_keeps_its_timer_and_needs_no_pytest_benchmark(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        test_board="""
        import pytest

        @pytest.fixture
        def measure(request):
            return request.node.get_closest_marker("benchmark")

        def test_it(measure):
            assert measure is None
        """
    )
    for arguments in ([], ["-p", "no:benchmark"], ["--hosts=local://"], ["--hosts=desk", "--collect-only"]):
        result = project.runpytest_subprocess("--strict-markers", *arguments)
        assert (result.ret, "INTERNALERROR" in said(result)) == (pytest.ExitCode.OK, False)


def test_without_pytest_benchmark_a_test_that_measures_asks_for_hosts(project: pytest.Pytester) -> None:
    project.makepyfile(test_board="def test_it(measure): ...")
    text = usage_error(project.runpytest_subprocess("-p", "no:benchmark", "--strict-markers"))
    assert "needs a board: choose with --hosts" in text


def test_a_users_fixture_that_wraps_ours_needs_a_board_as_ours_does(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_board="""
        import pytest

        @pytest.fixture
        def measure(measure):
            return measure

        def test_it(measure): ...
        """
    )
    assert "needs a board: choose with --hosts" in usage_error(project.runpytest_subprocess())


def test_a_sweep_mark_of_a_test_without_our_fixtures_is_somebody_elses(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_board="""
        import pytest

        @pytest.mark.sweep("chimney", 3)
        def test_it(request):
            assert request.node.get_closest_marker("sweep").args == ("chimney", 3)
        """
    )
    for arguments in ([], ["--hosts=pi3b"]):
        project.runpytest_subprocess(*arguments).assert_outcomes(passed=1)


LEFT_ALONE = """\
    def test_x(host, request):
        config = request.config
        assert not config.pluginmanager.hasplugin("microcloud-session")
        assert (config.option.hosts, config.option.connection) == HOSTS
    """


@pytest.mark.parametrize("connection", ["ssh", "ansible", "docker"])
def test_hosts_with_a_connection_are_testinfras_even_where_they_are_boards(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, connection: str
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    project.makepyfile(test_board=f"HOSTS = ('desk', {connection!r})\n{dedent(LEFT_ALONE)}")
    arguments = ["--hosts=desk", f"--connection={connection}"]
    if connection == "ansible":
        arguments.append("--ansible-inventory=hosts.ini")
    result = project.runpytest_subprocess(*arguments)
    result.assert_outcomes(passed=1)
    assert not (project.path / "reports").exists()


@pytest.mark.parametrize("hosts", ["web1", "web", "web2.example.org"])
def test_hosts_of_an_inventory_without_board_models_are_testinfras(
    project: pytest.Pytester, hosts: str
) -> None:
    (project.path / "hosts.ini").write_text("[web]\nweb1\n\n[db]\ndb1\n")
    project.makepyfile(
        test_board=f"""
        import testinfra

        def test_x(request):
            assert request.config.option.hosts == {hosts!r}
            assert not request.config.pluginmanager.hasplugin("microcloud-session")
        """
    )
    project.runpytest_subprocess(f"--hosts={hosts}").assert_outcomes(passed=1)
    project.runpytest_subprocess(f"--hosts={hosts}", "-n", "1").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--hosts=web1"], "host 'web1' has no board model"),
        (["--hosts=web1", "--connection=ssh"], "--hosts=web1 as it stands is for testinfra alone"),
        (["--hosts=ssh://web1"], "--hosts=ssh://web1 as it stands is for testinfra alone"),
    ],
)
def test_a_test_that_needs_a_board_of_testinfras_hosts_is_a_usage_error_that_says_why(
    project: pytest.Pytester, arguments: list[str], expected: str
) -> None:
    (project.path / "hosts.ini").write_text("[web]\nweb1\n")
    text = usage_error(project.runpytest_subprocess(*arguments))
    assert "test_board.py::test_it" in text
    assert f" needs a board of an inventory; {expected}" in text.replace(f"{project.path}/hosts.ini: ", "")


@pytest.mark.parametrize(
    "arguments",
    [["--microcloud-plan"], ["--microcloud-inventory=hosts.ini"], ["-o", "microcloud_inventory=./hosts.ini"]],
)
def test_who_asks_for_boards_hears_at_once_that_his_hosts_are_none(
    project: pytest.Pytester, arguments: list[str]
) -> None:
    (project.path / "hosts.ini").write_text("[web]\nweb1\n")
    project.makepyfile(test_board="def test_plain(host): ...")
    text = usage_error(project.runpytest_subprocess("--hosts=web1", *arguments))
    assert "host 'web1' has no board model" in text


def test_a_variable_of_ours_makes_a_host_a_board_whose_model_is_missing(project: pytest.Pytester) -> None:
    (project.path / "hosts.ini").write_text("[pi3bb]\ndesk microcloud_driver=container\n")
    project.makepyfile(test_board="def test_plain(host): ...")
    assert "host 'desk' has no board model" in usage_error(project.runpytest_subprocess("--hosts=desk"))


# This repository


def test_the_package_tells_type_checkers_that_it_is_typed() -> None:
    assert (resources.files("pytest_microcloud") / "py.typed").is_file()


def test_the_shipped_suites_are_collected_for_every_board_of_the_shipped_inventory(
    project: pytest.Pytester,
) -> None:
    result = project.runpytest_subprocess(
        str(ROOT / "suites"),
        f"--rootdir={ROOT}",
        f"-c{ROOT}/pyproject.toml",
        "--hosts=all",
        "--collect-only",
        "-q",
    )
    assert result.ret == pytest.ExitCode.OK
    tests = [line for line in result.outlines if "::" in line]
    inventory = (ROOT / "hosts.ini").read_text().splitlines()
    boards = [line.split()[0] for line in inventory if line.partition(" ")[0].endswith("-emulated")]
    assert len(boards) >= 10
    counts = {board: sum(f"{board}-" in test or f"{board}]" in test for test in tests) for board in boards}
    assert min(counts.values()) == max(counts.values()) > 10
    assert sum(counts.values()) == sum("test_claims.py" not in test for test in tests)


@pytest.mark.parametrize(
    ("option", "remedy"),
    [
        ("--ssh-config=mine", "set ansible_ssh_common_args='-F FILE' in the inventory"),
        ("--ssh-identity-file=mine", "set ansible_ssh_private_key_file in the inventory"),
        ("--ssh-extra-args=-C", "set ansible_ssh_extra_args in the inventory"),
        ("--force-ansible", "boards are reached over ssh only"),
    ],
)
def test_an_option_of_testinfra_that_has_no_effect_is_refused(
    pytester: pytest.Pytester, option: str, remedy: str
) -> None:
    pytester.makefile(".ini", hosts="[pi3b]\ndesk\n")
    result = pytester.runpytest_subprocess("--hosts=desk", "--microcloud-plan", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    name = option.partition("=")[0]
    result.stderr.fnmatch_lines([f"ERROR: {name} cannot be honoured for boards from the inventory: {remedy}"])
