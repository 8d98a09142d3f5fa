"""Every example of the documentation is run or parsed."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from pytest_microcloud import catalog as catalogs
from pytest_microcloud import cli, cli_parser
from pytest_microcloud.verdict.gate import Rules
from tests.support.fenced import PAGES, ROOT, Block, blocks

LANGUAGES = {"console", "dockerfile", "ini", "python", "sh", "sshconfig", "text", "toml", "yaml"}
CATALOG = {"boards", "workloads", "limits"}
OTHERS = {"apt-get", "echo", "git", "pip", "pre-commit", "systemctl"}
"""Commands in the examples that are neither this package's nor pytest's."""
PYTEST = ["pytest"], [".venv/bin/python", "-m", "pytest"]
HOSTS = "[pi3b]\ndesk ansible_host=192.0.2.13\n"


def commands() -> list[tuple[Block, str]]:
    """Return every command line of the console blocks, without prompt and comment."""
    return [
        (block, line.removeprefix("$ "))
        for block in blocks("console")
        for line in block.text.splitlines()
        if line.startswith("$ ")
    ]


COMMANDS = [pytest.param(line, id=f"{block}-{line.split('  ')[0]}") for block, line in commands()]


def of(language: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", blocks(language), ids=str)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A user's project, with nothing that can be connected to."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(pytester.path / "runtime"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{pytester.path}/docker.sock")
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers -p no:cacheprovider")
    (pytester.path / "hosts.ini").write_text(HOSTS)
    return pytester


def test_every_block_names_a_language_that_is_tested_here() -> None:
    assert [str(block) for block in blocks() if block.language not in LANGUAGES] == []


@of("ini")
def test_an_inventory_is_accepted_and_its_hosts_are_planned(project: pytest.Pytester, block: Block) -> None:
    text = block.text if block.text.startswith("[") else f"[pi3b]\n{block.text}"
    (project.path / "hosts.ini").write_text(text)
    write_modules(project, block.page)
    project.makepyfile("def test_it(board): ...")
    result = project.runpytest_subprocess("--hosts=all", "--microcloud-plan")
    assert result.ret == 0, result.stdout.str() + result.stderr.str()
    for line in text.splitlines():
        if line and not line.startswith(("[", "#")):
            result.stdout.fnmatch_lines([f"*{line.split()[0]}*"])


@of("toml")
def test_a_toml_file_is_a_catalog_or_rules_of_the_gate(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(block.text, encoding="utf-8")
    tables = tomllib.loads(block.text)
    for workload in tables.get("workloads", {}):
        (tmp_path / workload).mkdir()
        (tmp_path / workload / "Dockerfile").write_text("FROM scratch\n")
    if set(tables) <= CATALOG:
        catalog = catalogs.load([file])
        assert set(tables.get("boards", ())) <= set(catalog.models)
        assert set(tables.get("workloads", ())) <= set(catalog.workloads)
        for model, experiments in tables.get("limits", {}).items():
            for experiment, metrics in experiments.items():
                for metric, table in metrics.items():
                    limit = catalog.limit(model, f"{experiment}.{metric}", table.get("labels", {}))
                    assert limit is not None
                    assert table["source"] in limit.source
    else:
        for metric in tables:
            assert catalogs.metric(metric).unit, metric
        Rules([file])


@of("python")
def test_a_python_file_is_collected_without_an_error(project: pytest.Pytester, block: Block) -> None:
    write_modules(project, block.page)
    if not re.match(r"# (\w+\.py)\b", block.text):
        (project.path / "test_example.py").write_text(block.text, encoding="utf-8")
    result = project.runpytest_subprocess("--hosts=all", "--collect-only", "-q")
    assert result.ret in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED), result.stdout.str()
    for test in re.findall(r"^def (test_\w+)", block.text, re.MULTILINE):
        result.stdout.fnmatch_lines([f"*::{test}*"])


def write_modules(project: pytest.Pytester, page: Path) -> None:
    """Write the files that are named in a page's Python blocks: they may belong together."""
    for block in blocks("python"):
        if block.page == page and (own_file := re.match(r"# (\w+\.py)\b", block.text)):
            (project.path / own_file.group(1)).write_text(block.text, encoding="utf-8")


@of("yaml")
def test_a_workflow_is_valid_and_its_pytest_commands_are_accepted(
    project: pytest.Pytester, block: Block
) -> None:
    (job,) = yaml.safe_load(block.text)["jobs"].values()
    lines = [shlex.split(step["run"]) for step in job["steps"] if "run" in step]
    commands = [words for words in lines if words[0] == "pytest"]
    assert commands
    for words in commands:
        kept = [word for word in words[1:] if word != "suites/" and "baseline" not in word]
        result = project.runpytest_subprocess(*kept, "--microcloud-plan")
        assert result.ret in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert any("--microcloud-baseline=bookworm" in words for words in commands)


@of("sh")
def test_a_shell_can_parse_the_script(block: Block) -> None:
    subprocess.run(["sh", "-n"], input=block.text, text=True, check=True, timeout=10)


@of("sshconfig")
def test_an_ssh_configuration_is_accepted_by_ssh(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(block.text)
    host = block.text.split()[1]
    subprocess.run(["ssh", "-G", "-F", str(file), host], check=True, capture_output=True, timeout=10)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_exists_and_takes_these_options(line: str, project: pytest.Pytester) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        assert is_target(words[1]), line
    elif words[0] == "microcloud":
        assert isinstance(cli_parser.parser(cli.FUNCTIONS).parse_args(words[1:]), argparse.Namespace)
    elif start := next((start for start in PYTEST if words[: len(start)] == start), None):
        config = project.parseconfig(*words[len(start) :])
        for path in config.args:
            assert path == str(project.path) or (ROOT / path).exists(), path
    elif words[0].startswith("."):
        assert (ROOT / words[0]).exists()
    else:
        assert words[0] in OTHERS, f"{words[0]}: is it a command of this package?"


def is_target(name: str) -> bool:
    """Whether the Makefile has this target."""
    return re.search(rf"^{re.escape(name)}:", (ROOT / "Makefile").read_text(), re.MULTILINE) is not None


def test_pytest_options_that_do_not_exist_would_be_noticed(project: pytest.Pytester) -> None:
    with pytest.raises(pytest.UsageError):
        project.parseconfig("--microcloud-boot-count=3")
    assert not is_target("feasible")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_option_that_a_page_mentions_exists(page: Path, request: pytest.FixtureRequest) -> None:
    known = " ".join(
        option for action in request.config._parser.optparser._actions for option in action.option_strings
    ).split()
    mentioned = set(re.findall(r"--microcloud-[a-z-]+", page.read_text(encoding="utf-8")))
    assert mentioned - set(known) == set()


def test_the_readme_lists_every_option(request: pytest.FixtureRequest) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for action in request.config._parser.optparser._actions:
        for option in action.option_strings:
            if option.startswith("--microcloud-"):
                assert f"| `{option}" in text, option


@pytest.mark.engine
@pytest.mark.slow
def test_the_examples_pass_on_the_board_of_the_readmes_inventory(pytester: pytest.Pytester) -> None:
    (inventory,) = (b for b in blocks("ini") if b.page.name == "README.md" and "container" in b.text)
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider")
    (pytester.path / "hosts.ini").write_text(inventory.text)
    tests = [block for block in blocks("python") if block.page.name in ("README.md", "limits.md")]
    for number, block in enumerate(tests):
        (pytester.path / f"test_example_{number}.py").write_text(block.text, encoding="utf-8")
    result = pytester.runpytest_subprocess("--hosts=all", "--microcloud-effort=quick", timeout=500)
    result.assert_outcomes(passed=4)
