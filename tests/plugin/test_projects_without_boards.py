"""Projects that have the plugin installed and do not use it, and those whose hosts are testinfra's."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.plugin_project import said, usage_error

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
        "session.without_boards",
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
    assert "needs a board: choose boards with --hosts" in text


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
    assert "needs a board: choose boards with --hosts" in usage_error(project.runpytest_subprocess())


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
        (["--hosts=web1", "--connection=ssh"], "--hosts=web1 selects hosts for testinfra, not boards"),
        (["--hosts=ssh://web1"], "--hosts=ssh://web1 selects hosts for testinfra, not boards"),
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


def test_xdist_workers_fail_the_tests_that_need_a_board_and_run_the_others(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_board="""
        def test_it(board): ...
        def test_other(board): ...
        def test_plain(): ...
        """
    )
    result = project.runpytest_subprocess("-n2")
    result.assert_outcomes(passed=1, errors=2)
    for name in ("test_it", "test_other"):
        result.stdout.fnmatch_lines([f"test_board.py::{name}* needs a board: choose boards with --hosts*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
