"""Applications that cannot be loaded or started on a board: each is reported and leaves nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import socket
import tarfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.errors import BoardError, EngineError, NotMeasured
from pytest_microcloud.experiments.deploy import deploy, docker_server, native_server

if TYPE_CHECKING:
    from docker import DockerClient

    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.catalog import Catalog, Workload
    from tests.conftest import NewRealBoard
    from tests.support.real import RealBoard

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SMALL_STORE = """
systemctl stop docker.socket docker.service
mount -t tmpfs -o size=120m none /var/lib/docker
systemctl start docker.socket docker.service
"""
KILL_IT_LOADING = """
until ls /var/lib/docker/tmp/* >/dev/null 2>&1; do sleep 0.1; done
systemctl kill -s KILL docker.service
"""
STRANGER = "somebody/strange:1"
WEB_SERVER = """perl -MIO::Socket::INET -e '
    $s = IO::Socket::INET->new(LocalPort => 80, Listen => 5, ReuseAddr => 1) or die;
    while ($c = $s->accept) { close $c }'
"""


@pytest.fixture
def desk(real_board: RealBoard) -> Iterator[Board]:
    """The shared real board, powered on; afterwards it must be unchanged."""
    before = real_board.state()
    with closing(real_board.in_rack()) as rack:
        yield rack.board(real_board.name)
    assert real_board.changes_since(before) == []


@contextmanager
def an_image(engine: DockerClient, **config: object) -> Iterator[None]:
    """Import a nearly empty image with that configuration, which no registry has."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("nothing"))
    layers = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"]}
    files: dict[str, bytes | str] = {
        "layer.tar": layer.getvalue(),
        "config.json": json.dumps({"os": "linux", "rootfs": layers} | config),
        "manifest.json": json.dumps(
            [{"Config": "config.json", "RepoTags": [STRANGER], "Layers": ["layer.tar"]}]
        ),
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    engine.images.load(archive.getvalue())
    yield
    engine.images.remove(STRANGER, force=True)


@pytest.fixture
def httpd(catalog: Catalog) -> Workload:
    return catalog.workload("httpd")


def test_an_image_for_another_architecture_is_reported_before_it_is_loaded(
    desk: Board, host_engine: DockerClient, httpd: Workload
) -> None:
    with an_image(host_engine, architecture="arm64"):
        strange = dataclasses.replace(httpd, image=STRANGER)
        with pytest.raises(EngineError, match=rf"^real: .*{STRANGER} is for arm64.*amd64"):
            deploy(desk, strange)
    assert STRANGER not in [tag for image in desk.docker.images.list() for tag in image.tags]


@contextmanager
def silent_registry() -> Iterator[str]:
    """A registry that accepts connections and never responds."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def no_registry() -> Iterator[str]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    yield address


@pytest.mark.parametrize("registry", [no_registry, silent_registry])
def test_a_workload_is_not_measured_if_the_registry_is_down_or_silent(
    desk: Board, httpd: Workload, registry: object
) -> None:
    assert callable(registry)
    with registry() as address:
        elsewhere = dataclasses.replace(httpd, image=f"{address}/httpd:2")
        with pytest.raises(NotMeasured, match=f"no image {address}/httpd:2 .* and no registry has it"):
            deploy(desk, elsewhere)


def test_a_disk_too_small_for_an_image_is_reported_and_no_layer_remains(
    new_real_board: NewRealBoard, httpd: Workload
) -> None:
    board = new_real_board()
    board.shell(SMALL_STORE)
    board.wait_until_up()
    free = "df --output=used -k /var/lib/docker | tail -1"
    before, used_kib = board.state(), int(board.shell(free))
    expected = pytest.raises(EngineError, match=r"^desk: loading the image .*[Nn]o space left on device")
    with closing(board.in_rack()) as rack, expected:
        deploy(rack.board("desk"), httpd)
    assert board.changes_since(before) == []
    assert int(board.shell(free)) - used_kib < 2**10


def test_an_engine_killed_while_loading_is_reported_and_the_next_run_works(
    new_real_board: NewRealBoard, httpd: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = new_real_board()
    before = board.state()

    def kill(text: str) -> None:
        if text.startswith("loading"):
            threading.Thread(target=board.shell, args=[KILL_IT_LOADING]).start()

    with closing(board.in_rack()) as rack:
        desk = rack.board("desk")
        monkeypatch.setattr(desk, "say", kill)
        with pytest.raises(EngineError, match=r"^desk: loading the image "):
            deploy(desk, httpd)
    board.wait_until_up()
    with closing(board.in_rack()) as rack, docker_server(deploy(rack.board("desk"), httpd)):
        pass
    assert board.changes_since(before) == []


def test_an_engine_that_hangs_is_an_error_after_its_timeout(
    new_real_board: NewRealBoard, httpd: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = new_real_board()
    with closing(board.in_rack()) as rack:
        desk = rack.board("desk")
        desk.docker.api.timeout = 5
        board.shell("pkill -STOP dockerd")
        with pytest.raises(BoardError, match=r"^desk: loading the image .*did not answer within"):
            deploy(desk, httpd)
        assert board.shell("ps -C dockerd -o state=").strip() == "T"  # it hangs on
        board.shell("pkill -CONT dockerd")


def test_an_application_that_ends_at_once_is_reported_with_its_exit_code_and_log(
    desk: Board, httpd: Workload
) -> None:
    dies = dataclasses.replace(httpd, command=("sh", "-c", "echo my last words; exit 132"))
    expected = pytest.raises(BoardError, match=r"^real: a container ended .*132.*my last words")
    with expected, docker_server(deploy(desk, dies)):
        pass


def test_a_port_in_use_is_reported_and_the_other_server_keeps_running(
    desk: Board, real_board: RealBoard, httpd: Workload
) -> None:
    real_board.container.exec_run(["sh", "-c", WEB_SERVER], detach=True)
    try:
        with pytest.raises(BoardError, match=r"^real: .*port 80"), native_server(desk, httpd):
            pass
        assert ":80 " in real_board.shell("ss -Hltn 'sport = :80'")
    finally:
        real_board.shell("pkill perl")
