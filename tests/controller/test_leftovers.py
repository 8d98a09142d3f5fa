"""Runs that are alive, boards that are kept, and failed cleanups, without a board."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_microcloud import catalog as catalogs
from pytest_microcloud.boards.command_line import as_root
from pytest_microcloud.boards.endpoint import Endpoint
from pytest_microcloud.boards.link import Link
from pytest_microcloud.boards.rack import Rack
from pytest_microcloud.controller import engine, images, lease, leftovers, workspace
from pytest_microcloud.controller.progress import Progress
from pytest_microcloud.controller.workspace import Workspace, new_run_id
from pytest_microcloud.errors import BoardError, DeadlineExceeded, EngineError, LinkError

if TYPE_CHECKING:
    from docker import DockerClient

    from pytest_microcloud.boards.board import Board


@pytest.fixture
def own() -> Iterator[Workspace]:
    made = Workspace(new_run_id())
    made.open()
    yield made
    made.close()


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A private XDG_RUNTIME_DIR; the paths of pytest's directories are too long for sockets."""
    with tempfile.TemporaryDirectory() as directory:
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        yield Path(directory)


@pytest.fixture
def base(host_engine: DockerClient) -> str:
    return images.base(host_engine, "bookworm", print)


class Engine:
    """A fake of an engine that reports its location."""

    def __init__(self, **expected: str) -> None:
        self._info = {"KernelVersion": os.uname().release, "Name": os.uname().nodename} | expected

    def info(self) -> dict[str, str]:
        return self._info


def rack(own: Workspace, output: list[str]) -> Rack:
    class Said(Progress):
        def announce(self, subject: str, text: str) -> None:
            output.append(f"{subject}: {text}")

    return Rack([], catalogs.load(), {}, own, Said())


def test_a_run_is_alive_for_a_shell_with_another_runtime_directory(own: Workspace, tmp_path: Path) -> None:
    lock = engine.host_labels(own.run_id)[engine.LOCK_LABEL]
    ask = """import sys
from pathlib import Path
from pytest_microcloud.controller.workspace import alive
print(alive(Path(sys.argv[1])))
"""
    elsewhere = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "TMPDIR": str(tmp_path)}

    def expected() -> str:
        done = subprocess.run(
            [sys.executable, "-c", ask, lock], env=elsewhere, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert expected() == "True"
    own.close()
    assert expected() == "False"


def _link(root: Path) -> None:
    (root.parent / "elsewhere").mkdir(mode=0o700)
    root.symlink_to(root.parent / "elsewhere")


def _everybodys(root: Path) -> None:
    root.mkdir()
    root.chmod(0o777)


PLANTED: dict[str, Callable[[Path], object]] = {
    "a link": _link,
    "a file": Path.touch,
    "everybody's": _everybodys,
    "another user's": lambda root: root.mkdir(mode=0o700),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_directory_that_another_user_created_is_not_used(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    PLANTED[planted](workspace.root())
    if planted == "another user's":
        mine = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    with pytest.raises(PermissionError, match=r"is not a directory that you own .* set XDG_RUNTIME_DIR"):
        Workspace(new_run_id()).open()
    assert [path.name for path in runtime.rglob("*") if path.name not in ("microcloud", "elsewhere")] == []


def test_a_run_that_begins_while_another_tidies_up_keeps_its_directory(runtime: Path) -> None:
    tidy = (
        "from pytest_microcloud.controller.workspace import remove_abandoned as tidy\n"
        "while True: list(tidy())"
    )
    with subprocess.Popen([sys.executable, "-c", tidy]) as other:
        try:
            abandoned = workspace.root() / "20260101T000000-aaaa"
            abandoned.mkdir(mode=0o700, parents=True)
            while abandoned.exists():
                assert other.poll() is None
            for number in range(500):
                beginning = Workspace(f"20260101T000000-{number:04}")
                beginning.open()
                assert beginning.ssh_config.is_file()
                beginning.close()
        finally:
            other.kill()


def test_a_lock_that_may_not_be_read_counts_as_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    assert workspace.alive(tmp_path / "lock")


def _left(host_engine: DockerClient, run_id: str) -> set[str | None]:
    filters: dict[str, Any] = {"label": f"{engine.RUN_LABEL}={run_id}"}
    return {str(c.name) for c in host_engine.containers.list(all=True, ignore_removed=True, filters=filters)}


@pytest.mark.engine
def test_a_run_with_a_held_lease_is_not_touched_even_if_its_lock_is_not_visible(
    host_engine: DockerClient, base: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_id = new_run_id()
    held = lease.take(host_engine, base, run_id)
    assert held is not None
    usual = host_engine.containers.create(base, "true", labels=engine.host_labels(run_id))
    kept = host_engine.containers.create(base, "true", labels=engine.host_labels(run_id))
    kept.rename(f"{engine.KEPT_PREFIX}{run_id}-shelf")
    kept.reload()
    volume = host_engine.volumes.create(name=f"{run_id}-card", labels=engine.host_labels(run_id))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    leftovers.clean(host_engine, kept=True)
    assert _left(host_engine, run_id) == {engine.lease_name(run_id), usual.name, kept.name}
    volume.reload()
    held.end()
    leftovers.clean(host_engine)
    assert _left(host_engine, run_id) == {kept.name}
    leftovers.clean(host_engine, run_id, kept=True)
    assert _left(host_engine, run_id) == set()


@pytest.mark.engine
def test_a_lease_has_one_holder_and_ends_with_it_even_by_sigkill(
    host_engine: DockerClient, base: str
) -> None:
    run_id = new_run_id()
    hold = f"""import time
from pytest_microcloud.controller import engine, lease
held = lease.take(engine.host_engine(), {base!r}, {run_id!r})
print("held" if held else "refused", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert run_id in lease.held(host_engine)
        assert lease.take(host_engine, base, run_id) is None
        holder.kill()
    deadline = time.monotonic() + 10
    while run_id in lease.held(host_engine):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.engine
def test_what_cannot_be_removed_does_not_keep_the_rest(
    host_engine: DockerClient, own: Workspace, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (engine, leftovers):  # another session that starts a board would remove the same objects
        monkeypatch.setattr(module, "RUN_LABEL", "microcloud.tests-run")
    names = [f"{own.run_id}-{place}" for place in "abc"]
    marks = engine.host_labels(own.run_id)
    stuck = host_engine.volumes.create(name=names[1], labels=marks)
    for name in (names[0], names[2]):
        host_engine.volumes.create(name=name, labels=marks)
    own.close()
    mount = stuck.attrs["Mountpoint"]
    subprocess.run(["mount", "-t", "tmpfs", "none", mount], check=True)
    try:
        cleaned = leftovers.clean(host_engine)
    finally:
        subprocess.run(["umount", mount], check=True)
    mine = sorted(name for name in cleaned.removed if own.run_id in name)
    assert mine == [f"volume {names[0]}", f"volume {names[2]}"]
    (remaining,) = [name for name in cleaned.remaining if own.run_id in name]
    assert remaining.startswith(f"volume {names[1]}: ")
    assert "busy" in remaining
    assert f"volume {names[1]}" in leftovers.clean(host_engine).removed


@pytest.mark.engine
@pytest.mark.parametrize("doubt", ["no lease", "lock held"])
def test_objects_that_may_belong_to_a_live_run_are_not_removed(
    host_engine: DockerClient, base: str, own: Workspace, doubt: str
) -> None:
    marks = engine.host_labels(own.run_id)
    if doubt == "no lease":  # of a version that had none
        own.close()
        marks.pop(engine.LEASE_LABEL)
    thing = host_engine.containers.create(base, "true", labels=marks)
    leftovers.clean(host_engine, kept=True)
    assert _left(host_engine, own.run_id) == {thing.name}
    leftovers.clean(host_engine, own.run_id)
    assert _left(host_engine, own.run_id) == set()


@pytest.mark.engine
@pytest.mark.parametrize(
    ("script", "timeout_s", "error", "expected"),
    [
        ("echo no room >&2; exit 3", 30.0, EngineError, "shelf: packing: exited with 3: no room"),
        ("sleep 60", 1.0, DeadlineExceeded, "shelf: packing: did not end within 1 s"),
    ],
)
def test_a_container_that_fails_or_does_not_end_is_an_error_and_is_removed(
    host_engine: DockerClient,
    base: str,
    script: str,
    timeout_s: float,
    error: type[BoardError],
    expected: str,
) -> None:
    marks = {"microcloud.test": new_run_id()}
    command = ["sh", "-c", script]
    with (
        pytest.raises(error, match=expected),
        engine.ended(
            host_engine, base, command, board="shelf", step="packing", timeout_s=timeout_s, labels=marks
        ),
    ):
        pytest.fail("it ended well")
    label = f"microcloud.test={marks['microcloud.test']}"
    assert host_engine.containers.list(all=True, filters={"label": label}) == []


def test_an_engine_on_another_machine_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    engine.must_be_here(cast("DockerClient", Engine()))
    with pytest.raises(EngineError, match=r"the Docker engine runs on desktop.*unset DOCKER_HOST"):
        engine.must_be_here(cast("DockerClient", Engine(Name="desktop", KernelVersion="1.0")))
    monkeypatch.setenv("DOCKER_HOST", "tcp://farm:2375")
    engine.must_be_here(cast("DockerClient", Engine()))
    with pytest.raises(EngineError, match=r"the Docker engine runs on farm"):
        engine.must_be_here(cast("DockerClient", Engine(Name="farm")))


def test_failures_of_the_cleanup_are_reported_and_the_workspace_is_removed(own: Workspace) -> None:
    class Dead:
        name = "shelf"

        def power_off(self, *, keep: bool) -> None:
            raise EngineError("shelf", f"the engine died (keep={keep})")

    output: list[str] = []
    shelf = rack(own, output)
    shelf._boards = {"shelf": cast("Board", Dead())}
    shelf.close()
    (line,) = output
    assert line.startswith("shelf: not cleaned up: the engine died (keep=False)")
    assert not own.path.exists()
    shelf.close()
    assert output == [line]


@pytest.mark.parametrize("error", [OSError("no space"), ValueError("a bug")], ids=["system", "bug"])
def test_a_board_that_fails_to_power_on_is_not_tried_again(
    own: Workspace, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tried: list[str] = []

    def fail(_target: object) -> Board:
        tried.append("once")
        raise error

    shelf = rack(own, [])
    monkeypatch.setattr(shelf, "targets", {"shelf": None})
    monkeypatch.setattr(shelf, "_power_on", fail)
    with pytest.raises((BoardError, ValueError)):
        shelf.board("shelf")
    with pytest.raises(BoardError, match=f"shelf: could not be started: .*{error}"):
        shelf.board("shelf")
    assert tried == ["once"]


@pytest.mark.parametrize(("user_id", "expected"), [(0, "0 a b 'c\n"), (1000, "sudo -n 0 a b 'c\n")])
def test_a_command_for_root_goes_through_sudo_only_when_the_user_is_not_root(
    tmp_path: Path, user_id: int, expected: str
) -> None:
    (tmp_path / "id").write_text(f"#!/bin/sh\necho {user_id}\n")
    (tmp_path / "sudo").write_text('#!/bin/sh\nprintf "sudo $1 "; shift; exec "$@"\n')
    for tool in ("id", "sudo"):
        (tmp_path / tool).chmod(0o755)
    line = as_root("""printf '%s a b '"'"'c\\n' 0""")
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(["sh", "-c", line], env={"PATH": path}, capture_output=True, text=True, check=True)
    assert done.stdout == expected


def test_ssh_logs_to_a_file_and_a_failure_quotes_its_end(own: Workspace) -> None:
    link = Link("shelf", 0, own.path)
    with pytest.raises(LinkError, match=r"shelf: .*refuses SSH"):
        link.open(Endpoint(address="127.0.0.1", port=9), timeout_s=5, again=False)
    assert "refused" in (own.path / "0.log").read_text()


def test_large_temporary_files_of_a_killed_run_are_removed_and_those_of_a_live_one_are_not(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(runtime))
    monkeypatch.setattr(tempfile, "tempdir", None)
    script = (
        "import os\nfrom pytest_microcloud.controller.workspace import scratch\n"
        "with scratch() as directory:\n"
        "    (directory / 'file').touch()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    (left,) = runtime.glob(f"{workspace.SCRATCH}*")
    assert (left / "file").exists()
    with workspace.scratch() as live:
        workspace.remove_abandoned()
        assert live.is_dir()
        assert not left.exists()
    assert not live.exists()
