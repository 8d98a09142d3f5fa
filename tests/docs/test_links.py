"""Every link of the documentation has a target, and the site builds."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support import fenced
from tests.support.fenced import PAGES, ROOT

OTHER_SITES = ("https://", "http://", "mailto:")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading_in_it(page: Path) -> None:
    for link in fenced.links(page):
        if link.startswith(OTHER_SITES):
            continue
        name, _, anchor = link.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.is_relative_to(ROOT), link
        assert there.exists(), link
        if anchor:
            assert anchor in fenced.anchors(there), link


def test_links_and_anchors_are_found_as_they_are_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# May this *OS* go?\n[a](b.md#c) `[no](code)`\n[![pic](p.png)](d)\n```\n[no](e)\n```\n")
    assert list(fenced.links(page)) == ["b.md#c", "d"]
    assert fenced.anchors(page) == {"may-this-os-go"}


def test_the_site_builds_with_search_and_without_a_warning(tmp_path: Path) -> None:
    """MkDocs checks links and anchors as well, and that each page is in the navigation."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    index = json.loads((tmp_path / "search" / "search_index.json").read_text(encoding="utf-8"))
    indexed = {entry["location"].partition("#")[0] for entry in index["docs"]}
    pages = {
        str(page.relative_to(ROOT / "docs").with_suffix(".html")) for page in (ROOT / "docs").rglob("*.md")
    }
    assert pages <= indexed | {"index.html"}
    assert not list(loaded_from_elsewhere(tmp_path))


def loaded_from_elsewhere(site: Path) -> list[str]:
    """Return what the pages of a site load from other sites: nothing, so that they work offline."""
    loads = re.compile(r"<(?:script|img)[^>]+src=\"(https?:[^\"]+)|<link[^>]+href=\"(https?:[^\"]+)")
    found = [
        match for page in site.rglob("*.html") for match in loads.findall(page.read_text(encoding="utf-8"))
    ]
    return ["".join(match) for match in found]


def test_what_the_site_is_built_with_is_pinned_and_installed() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert "pytest-microcloud[docs]" in extras["dev"]
    for requirement in extras["docs"]:
        name, at_least = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups()  # type: ignore[union-attr]
        assert importlib.metadata.version(name) >= at_least


def test_the_readme_has_the_two_commands_and_the_picture_on_its_first_screen() -> None:
    first = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:40])
    for needed in ("$ make feasibility", "$ make test", "](docs/feasibility.png)"):
        assert needed in first
