"""The choice of boards and catalogs: what is refused, before any board is touched."""

from __future__ import annotations

import pytest

from tests.support.plugin_project import Run, said, set_ini, usage_error

# The choice of boards


def test_a_test_with_a_board_and_no_hosts_is_a_usage_error_that_says_how_to_choose(run: Run) -> None:
    text = usage_error(run())
    assert "test_board.py::test_it" in text
    assert "needs a board: choose boards with --hosts, e.g. --hosts=pi3b" in text


@pytest.mark.parametrize("name", ["effort", "deploy", "serve", "measure", "limit"])
def test_every_fixture_of_ours_asks_for_hosts(name: str, project: pytest.Pytester) -> None:
    project.makepyfile(test_board=f"def test_it({name}): ...")
    assert "needs a board: choose boards with --hosts" in usage_error(project.runpytest_subprocess())


def test_a_deselected_test_of_a_board_asks_for_nothing(project: pytest.Pytester) -> None:
    project.makepyfile(test_other="def test_other(): ...")
    result = project.runpytest_subprocess("-k", "other")
    result.assert_outcomes(passed=1, deselected=1)


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ("pi3", "no host or group is named 'pi3'; did you mean 'pi3b'?"),
        ("pi3b,dsek", "no host or group is named 'dsek'; did you mean 'desk'?"),
        ("attic", "'attic' contains no host"),
        ("", "'' selects no host"),
        ("all,!all", "'all,!all' selects no host"),
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
    assert f"no inventory {project.path / 'hosts.ini'}" in text
    assert "--microcloud-inventory" in text


def test_boards_by_a_spec_of_testinfras_are_a_usage_error_too(project: pytest.Pytester) -> None:
    assert "needs a board of an inventory" in usage_error(project.runpytest_subprocess("--hosts=local://"))


# What cannot go with boards


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
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


# Boards that are out of service


def test_a_board_out_of_service_is_left_out_of_groups_and_patterns(project: pytest.Pytester) -> None:
    (project.path / "hosts.ini").write_text(
        "[pi3b]\ndesk\nshelf microcloud_out_of_service='card dies'\nattic microcloud_out_of_service=false\n"
    )
    for pattern in ("all", "pi3b", "desk,s*,attic"):
        result = project.runpytest_subprocess(f"--hosts={pattern}", "--microcloud-plan")
        assert "boards: desk (pi3b, ssh), attic (pi3b, ssh)" in said(result)
        assert "shelf is out of service (card dies)" in result.outlines


def test_a_board_out_of_service_is_used_if_it_is_named(project: pytest.Pytester) -> None:
    (project.path / "hosts.ini").write_text("[pi3b]\ndesk\nshelf microcloud_out_of_service='card dies'\n")
    result = project.runpytest_subprocess("--hosts=desk,shelf", "--microcloud-plan")
    assert "boards: desk (pi3b, ssh), shelf (pi3b, ssh)" in said(result)
    assert "out of service" not in said(result)


def test_boards_that_are_all_out_of_service_are_a_usage_error(project: pytest.Pytester) -> None:
    (project.path / "hosts.ini").write_text("[pi3b]\nshelf microcloud_out_of_service=yes\n")
    text = usage_error(project.runpytest_subprocess("--hosts=all"))
    assert "--hosts=all: shelf is out of service (no reason is given)" in text
