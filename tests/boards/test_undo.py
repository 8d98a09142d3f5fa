"""The board reverts the changes itself: exactly those that were made, in reverse order."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.boards import undo
from pytest_microcloud.boards.undo import LEDGER
from pytest_microcloud.controller.engine import host_labels, labels
from pytest_microcloud.errors import BoardError
from pytest_microcloud.experiments.deploy import changed, deploy, native_server
from tests.support.machines import OTHERS

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.catalog import Catalog
    from tests.conftest import NewRealBoard
    from tests.support.real import RealBoard

pytestmark = pytest.mark.engine

TOOLS = ("curl", "cut", "grep", "head", "ls", "rm", "rmdir", "sh", "tail", "timeout")


@pytest.fixture
def board(real_board: RealBoard) -> Iterator[Board]:
    rack = real_board.in_rack()
    yield rack.board(real_board.name)
    rack.close()


def revert_all(board: Board) -> str:
    done = board.link.run(undo.script(board.link.endpoint.docker_socket), check=False)
    return done.stdout + done.stderr


def test_notes_are_executed_as_root_in_reverse_order_and_struck_out(board: Board) -> None:
    for word in ("first", "second", "third"):
        board.undo(f"echo {word} $(id -un) >> /tmp/order")
    assert board.link.run(f"stat -c %a {LEDGER}; ls {LEDGER}").stdout.split()[0] == "700"
    assert revert_all(board) == ""
    assert board.link.run("cat /tmp/order; rm /tmp/order").stdout == "third root\nsecond root\nfirst root\n"
    assert board.link.run(f"ls {LEDGER}", check=False).status != 0
    assert revert_all(board) == ""


def test_a_failing_note_is_reported_and_kept_and_the_others_are_executed(board: Board) -> None:
    board.undo("touch /tmp/taken-back")
    board.undo("echo 'the disk is gone' >&2; exit 1")
    board.undo("touch /tmp/taken-back-too")
    assert "failed: the disk is gone" in revert_all(board)
    assert board.link.run(f"ls {LEDGER}").stdout.split() == ["00002"]
    assert board.link.run("rm /tmp/taken-back /tmp/taken-back-too").status == 0
    board.undo("true")
    assert board.link.run(f"ls {LEDGER}").stdout.split() == ["00002", "00003"]
    board.link.run(f"rm {LEDGER}/00002")


def test_an_incomplete_note_is_ignored_after_a_power_failure(board: Board) -> None:
    board.link.run(f"echo 'touch /tmp/half' > {LEDGER}/00001.part")
    assert board.undo("true") == "00002"
    assert revert_all(board) == ""
    assert board.link.run("ls /tmp/half", check=False).status != 0


def test_a_change_within_a_context_is_reverted_once_and_its_note_deleted(board: Board) -> None:
    with changed(board, "echo back >> /tmp/times"):
        assert board.link.run(f"ls {LEDGER}").stdout.split() == ["00001"]
    assert board.link.run(f"ls {LEDGER}").stdout == ""
    note = board.undo("echo back >> /tmp/times")
    board.revert(note)
    board.revert(note)
    assert board.link.run("cat /tmp/times; rm /tmp/times").stdout == "back\nback\n"
    with (
        pytest.raises(BoardError, match=r"could not be reverted: `exit 3` failed"),
        changed(board, "exit 3"),
    ):
        pass
    board.link.run(f"rm {LEDGER}/*")


def test_hostile_text_in_a_note_is_not_executed_when_it_is_recorded(board: Board) -> None:
    note = board.undo(undo.unload("'; touch /tmp/owned; $(touch /tmp/owned) `touch /tmp/owned`"))
    board.revert(note)
    assert board.link.run("ls /tmp/owned", check=False).status != 0


def furnish(board: Board) -> dict[str, list[str]]:
    """Create one object of each kind for this run, for another user, and for an emulated board."""
    engine, image = board.docker, "somebody/else:1"
    marks = {"ours": labels(board.run_id), "theirs": {}, "emulated": host_labels(board.run_id)}
    for name, label in marks.items():
        engine.containers.create(image, "/bin/sleep 1", name=name, labels=label)
        engine.volumes.create(name, labels=label)
        engine.networks.create(name, labels=label)
    running = engine.containers.create(image, "/bin/sleep infinity", name="ours-runs", labels=marks["ours"])
    running.start()
    board.docker.images.get(image).tag("microcloud/loaded", "1")
    board.undo(undo.unload("microcloud/loaded:1"))
    board.undo(undo.unload("microcloud/never-came:1"))
    return there(board)


def there(board: Board) -> dict[str, list[str]]:
    engine = board.docker
    usual = {"bridge", "host", "none", "podman"}
    return {
        "containers": sorted(str(c.name) for c in engine.containers.list(all=True)),
        "volumes": sorted(str(v.name) for v in engine.volumes.list()),
        "networks": sorted({str(n.name) for n in engine.networks.list()} - usual),
        "images": sorted("/".join(tag.split("/")[-2:]) for i in engine.images.list() for tag in i.tags),
    }


LEFT = {
    "containers": ["emulated", "theirs", "theirs-1"],
    "volumes": ["emulated", "theirs"],
    "networks": ["emulated", "theirs"],
    "images": ["somebody/else:1"],
}


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_only_objects_with_the_runs_label_are_removed(new_real_board: NewRealBoard, engine: str) -> None:
    real = new_real_board(engine=engine)  # type: ignore[arg-type]
    real.shell(OTHERS.format(count=1).replace("docker", engine))
    board = real.in_rack().board(real.name)
    assert "ours" in furnish(board)["containers"]
    assert revert_all(board) == ""
    assert there(board) == LEFT


def test_an_engine_without_its_command_line_client_is_queried_with_curl(
    new_real_board: NewRealBoard, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    real = new_real_board(others_containers=1)
    board = real.in_rack().board(real.name)
    furnish(board)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    notes = tmp_path / "ledger"
    notes.mkdir()
    (notes / "00001").write_text("unload microcloud/loaded:1")
    (notes / "00002").write_text("unload microcloud/never-came:1")
    done = subprocess.run(
        ["sh", "-c", undo._SCRIPT.replace(LEDGER, str(notes)), "undo", str(board.link._socket)],
        env=os.environ | {"PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert there(board) == LEFT
    assert not notes.exists()


def test_an_object_that_another_session_has_removed_meanwhile_is_reverted(
    new_real_board: NewRealBoard,
) -> None:
    real = new_real_board()
    real.shell(OTHERS.format(count=1))
    board = real.in_rack().board(real.name)
    assert "ours" in furnish(board)["containers"]
    # The other session is this wrapper: it removes whatever the script is about to remove.
    wrapper = """
        cat > /usr/local/bin/docker <<'END'
        #!/bin/sh
        case "$*" in *" rm "*) /usr/bin/docker "$@" >/dev/null 2>&1; echo "$*" >> /tmp/removed ;; esac
        exec /usr/bin/docker "$@"
        END
        chmod +x /usr/local/bin/docker
        """
    real.shell(dedent(wrapper))
    assert revert_all(board) == ""
    assert "network rm" in real.shell("cat /tmp/removed")
    assert there(board) == LEFT


def test_notes_that_need_the_engine_stay_while_it_is_down(new_real_board: NewRealBoard) -> None:
    real = new_real_board()
    board = real.in_rack().board(real.name)
    board.undo(undo.unload("microcloud/loaded:1"))
    board.undo("true")
    real.shell("systemctl stop docker.socket docker")
    output = revert_all(board)
    assert "containers could not be listed: " in output
    assert "`unload microcloud/loaded:1` failed: " in output
    assert board.link.run(f"ls {LEDGER}").stdout.split() == ["00001"]
    real.shell("systemctl start docker")
    assert revert_all(board) == ""
    assert board.link.run(f"ls {LEDGER}", check=False).status != 0


def test_a_board_is_restored_and_keeps_its_existing_images(
    new_real_board: NewRealBoard, catalog: Catalog
) -> None:
    real = new_real_board(others_containers=1)
    rack = real.in_rack()
    httpd = catalog.workload("httpd")
    real.shell("systemctl start apache2 && systemctl stop apache2")  # it has made what it has under /run
    real.shell("echo mine > /var/www/html/microcloud.html")
    before = real.state()
    board = rack.board(real.name)
    image = deploy(board, httpd).image
    with native_server(board, httpd) as server:
        assert "micro-cloud" in board.link.run("cat /var/www/html/microcloud.html").stdout
        assert server.setting == "native"
    assert real.shell("cat /var/www/html/microcloud.html") == "mine\n"
    assert image in str(board.docker.images.list())
    rack.close()
    assert set(before) ^ set(real.state()) == set()

    real.shell("docker tag somebody/else:1 " + image)
    before = real.state()
    rack = real.in_rack()
    deploy(rack.board(real.name), httpd)
    rack.close()
    assert real.state() == before
