"""The options and their ini twins, and this repository's suites."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest

from tests.support.plugin_project import Run, said, set_ini

ROOT = Path(__file__).parent.parent.parent


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
