"""The contributor's kit is up to date: paths, make targets, offline hooks, one rule for the changelog."""

from __future__ import annotations

import re
import tomllib

import yaml

from pytest_microcloud import __version__
from tests.support.fenced import ROOT

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_path_in_contributing_exists() -> None:
    paths = set(re.findall(r"(?:tests|docs|benchmarks|suites|pytest_microcloud|\.ci)/[\w./]*", CONTRIBUTING))
    assert len(paths) > 10
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
    folders = set(re.findall(r"`(\w+)/(?:\w+/)?`", CONTRIBUTING)) - {"dist", "site"}
    package = ROOT / "pytest_microcloud"
    assert [name for name in sorted(folders) if not any((at / name).is_dir() for at in (ROOT, package))] == []


def test_every_folder_of_the_package_is_in_the_layout() -> None:
    _, _, layout = CONTRIBUTING.partition("## Layout")
    for folder in (ROOT / "pytest_microcloud").iterdir():
        if (folder / "__init__.py").exists():
            assert f"`{folder.name}/" in layout or f"/{folder.name}/" in layout, folder.name


def test_every_marker_and_make_target_is_described() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    assert set(phony.group(1).split()) == set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", CONTRIBUTING)) <= set(phony.group(1).split())


def test_the_hooks_are_those_of_make_lint_and_need_no_network() -> None:
    configuration = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (local,) = configuration["repos"]
    assert local["repo"] == "local"
    tools = {hook["entry"].removeprefix(".venv/bin/python -m ").split()[0] for hook in local["hooks"]}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    _, _, lint = makefile.partition("\nlint:")
    linters = set(re.findall(r"\$\(PYTHON\) -m (\w+)", lint.partition("\n\n")[0]))
    assert tools == linters == {"ruff", "mypy"}
    assert {hook["language"] for hook in local["hooks"]} == {"system"}


def test_the_changelog_has_one_rule_at_its_top_and_a_section_for_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.match(r"# Changelog\n\nRule: ", text)
    assert text.count("Rule: ") == 1
    assert re.search(r"^## (\S+)", text, re.MULTILINE).group(1) == __version__  # type: ignore[union-attr]


def test_the_project_names_no_invented_address() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, url in project.get("urls", {}).items():
        assert re.match(r"https://[^/]+\.[^/]+/", url), name
        assert "example" not in url, name
