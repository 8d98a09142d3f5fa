"""Images for ARMv6, on which ARMv7 images crash: what is pulled, refused or not measured."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from docker import DockerClient
from docker.errors import InvalidVersion

from pytest_microcloud import catalog as catalogs
from pytest_microcloud.controller import images
from pytest_microcloud.errors import EngineError, NotMeasured

OFFICIAL = [workload for workload in catalogs.load().workloads.values() if workload.image]
ARMV7 = [{"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm", "variant": "v7"}]
ARMV6 = [*ARMV7, {"os": "linux", "architecture": "arm", "variant": "v6"}]


class Images:
    """A fake of an engine's images: it has none, answers for a registry, and records pulls."""

    def __init__(self, platforms: list[dict[str, str]] | None, variant: str | None = None) -> None:
        self.pulled: list[str] = []
        self._platforms = platforms
        self._attrs = {"Architecture": "arm"} | ({} if variant is None else {"Variant": variant})

    def list(self, **_: object) -> list[object]:
        return []

    def pull(self, name: str) -> SimpleNamespace:
        self.pulled.append(name)
        return SimpleNamespace(tag=lambda *_: True)

    def get(self, _name: str) -> SimpleNamespace:
        return SimpleNamespace(attrs=self._attrs)

    def get_registry_data(self, _name: str) -> SimpleNamespace:
        if self._platforms is None:
            raise InvalidVersion("inspect_distribution is not available for version < 1.30")
        return SimpleNamespace(attrs={"Platforms": self._platforms})


def engine(there: Images) -> DockerClient:
    fake: Any = SimpleNamespace(images=there, version=lambda: {"Arch": "arm"})
    return cast("DockerClient", fake)


@pytest.mark.parametrize(
    ("isa", "source"),
    [
        ("armv6l", "arm32v5/debian:bookworm-slim"),
        ("armv7l", "debian:bookworm-slim"),
        (None, "debian:bookworm-slim"),
    ],
)
def test_an_armv6_boards_debian_is_the_one_for_armel(isa: str | None, source: str) -> None:
    there, reported, coming = Images([]), list[str](), list[str]()
    tag = images.base(engine(there), "bookworm", reported.append, coming.append, isa)
    assert tag == "microcloud/base:bookworm"
    assert there.pulled == [source]
    assert reported == [f"pulling {source}"]
    assert coming == [source, tag]


@pytest.mark.parametrize("official", OFFICIAL, ids=lambda workload: workload.id)
@pytest.mark.parametrize("platforms", [ARMV7, None], ids=["none for ARMv6", "an engine that cannot ask"])
def test_an_image_that_is_not_for_armv6_is_not_measured_there_and_not_pulled(
    official: catalogs.Workload, platforms: list[dict[str, str]] | None
) -> None:
    there = Images(platforms)
    with pytest.raises(NotMeasured, match=rf"{official.name}: .*{official.image} is not for ARMv6"):
        images.workload(engine(there), official, print, isa="armv6l")
    assert there.pulled == []
    assert images.workload(engine(there), official, print, isa="armv7l") == official.image
    assert there.pulled == [official.image]


def test_an_image_that_is_for_armv6_is_pulled() -> None:
    there = Images(ARMV6)
    assert images.workload(engine(there), OFFICIAL[0], print, isa="armv6l") == OFFICIAL[0].image
    assert there.pulled == [OFFICIAL[0].image]


@pytest.mark.parametrize("variant", [None, "", "v5", "v6"])
def test_an_image_for_armv6_or_before_runs_on_it(variant: str | None) -> None:
    pi = engine(Images([], variant))
    images.must_run_on(pi, pi, "httpd:1", "desk", "armv6l")


def test_an_image_for_armv7_does_not_run_on_armv6() -> None:
    pi = engine(Images([], "v7"))
    with pytest.raises(EngineError, match="desk: the image httpd:1 is for armv7, and the board is armv6l"):
        images.must_run_on(pi, pi, "httpd:1", "desk", "armv6l")
    images.must_run_on(pi, pi, "httpd:1", "desk", "armv7l")
