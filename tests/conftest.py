"""What tests of the real thing share: this machine's Docker engine, the catalog, and one emulated board."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Unpack

import pytest

from pytest_microcloud import catalog as catalogs
from pytest_microcloud import inventory
from pytest_microcloud.boards.drivers import DEFAULT
from pytest_microcloud.boards.rack import Rack
from pytest_microcloud.controller import engine
from pytest_microcloud.controller.progress import Progress
from pytest_microcloud.controller.workspace import Workspace, new_run_id
from pytest_microcloud.shipped import registry as shipped_registry
from tests.support.machines import How
from tests.support.real import RealBoard, RealBoards

if TYPE_CHECKING:
    from docker import DockerClient

    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.catalog import Catalog


class NewRack(Protocol):
    def __call__(
        self,
        board: str,
        *,
        catalog: Catalog | None = None,
        announce: Callable[[str, str], None] | None = None,
        keep: bool = False,
    ) -> Rack: ...


class NewRealBoard(Protocol):
    def __call__(self, name: str = "desk", **how: Unpack[How]) -> RealBoard: ...


def pytest_configure() -> None:
    """Let sessions that tests start be sessions of their own, not an xdist worker's."""
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
        del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what needs boards last: an emulated one that is up keeps the CPUs awake, at the others' cost."""
    items.sort(key=lambda item: item.get_closest_marker("engine") is not None)


class Announced(Progress):
    """Hands what is announced to a function."""

    def __init__(self, announce: Callable[[str, str], None]) -> None:
        self._announce = announce

    def announce(self, subject: str, text: str) -> None:
        self._announce(subject, text)


@pytest.fixture(autouse=True)
def without_control(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the control, which takes 8 s a board, in sessions with boards of an engine."""
    if request.node.get_closest_marker("engine"):
        if "pytester" in request.fixturenames:
            request.getfixturevalue("pytester")  # it deletes the variable
        monkeypatch.setenv("PYTEST_ADDOPTS", "--microcloud-no-control")


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return catalogs.load()


@pytest.fixture(scope="session")
def host_engine() -> Iterator[DockerClient]:
    with closing(engine.host_engine()) as client:
        yield client


@pytest.fixture(scope="session")
def new_rack(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewRack]:
    """Make a rack with one emulated pi3b of that name; all are closed at the end."""
    racks: list[Rack] = []
    shipped = catalog

    def make(
        board: str,
        *,
        catalog: Catalog | None = None,
        announce: Callable[[str, str], None] | None = None,
        keep: bool = False,
    ) -> Rack:
        file: Path = tmp_path_factory.mktemp("inventory") / "hosts.ini"
        file.write_text(f"[pi3b]\n{board} microcloud_driver=container\n")
        chosen = catalog or shipped
        registry = shipped_registry()
        targets = inventory.read(file, board, chosen.models, registry.driver_rules, DEFAULT)
        work = Workspace(new_run_id())
        drivers, tools = registry.drivers, registry.tools
        progress = Announced(announce) if announce else Progress()
        racks.append(Rack(targets, chosen, drivers, work, progress, keep=keep, tools=tools))
        return racks[-1]

    yield make
    for rack in racks:
        rack.close()


@pytest.fixture(scope="session")
def shared_rack(new_rack: NewRack) -> Rack:
    return new_rack("shared")


@pytest.fixture(scope="session")
def pi3b(shared_rack: Rack) -> Board:
    """The emulated board of all tests that need none of their own; leave it as you found it."""
    return shared_rack.board("shared")


@pytest.fixture(scope="session")
def real_boards(
    host_engine: DockerClient, catalog: Catalog, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealBoards]:
    """Make real boards that several tests share: `real_boards.new(…)`; all are removed at the end."""
    with closing(RealBoards(host_engine, catalog, tmp_path_factory.mktemp("real"))) as boards:
        yield boards


@pytest.fixture(scope="session")
def real_board(real_boards: RealBoards) -> RealBoard:
    """The plain real board of all tests that need none of their own; leave it as you found it."""
    return real_boards.new("real")


@pytest.fixture
def new_real_board(real_boards: RealBoards) -> Iterator[NewRealBoard]:
    """Make a real board of this test's own, to break or to furnish in another way."""
    made: list[RealBoard] = []

    def make(name: str = "desk", **how: Unpack[How]) -> RealBoard:
        made.append(real_boards.new(name, **how))
        return made[-1]

    yield make
    for board in made:
        board.remove()
