"""The SSH connection to a board, with a real ssh and a real sshd."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import os
import shlex
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import testinfra

from pytest_microcloud.boards.link import Link
from pytest_microcloud.controller.engine import explained
from pytest_microcloud.controller.workspace import Workspace, new_run_id
from pytest_microcloud.errors import BoardError, DeadlineExceeded, EngineError, HostKeyChanged, LinkError

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.boards.rack import Rack

pytestmark = pytest.mark.engine

HOSTILE = [
    'it\'s "quoted" and \\escaped\\',
    "two\nlines\n",
    "$(touch /tmp/owned) `touch /tmp/owned` ${HOME} $HOME",
    "; touch /tmp/owned & | > /tmp/owned",
    "Zürich – 30 °C × 2, 東京, 🥧",
    "  spaces  and\ttabs ",
    "-n --help",
    "*?[a-z]{1,2}~!#%",
    "",
]


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    own = Workspace(new_run_id())
    own.open()
    yield own
    own.close()


@pytest.fixture
def second(pi3b: Board, workspace: Workspace) -> Iterator[Link]:
    """A separate connection to the shared board, which a test may break."""
    link = Link(pi3b.name, 0, workspace.path)
    link.open(pi3b.link.endpoint, timeout_s=10)
    yield link
    link.close()


def ssh_processes(directory: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            dead = (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if str(directory).encode() in command and not dead:
            found.append(int(process.name))
    return found


def connections(board: Board) -> int:
    listed = board.link.run(f"ss -Htn state established '( sport = :{board.link.endpoint.port} )'").stdout
    return len(listed.splitlines())


def test_commands_testinfra_and_docker_share_one_connection(pi3b: Board, shared_rack: Rack) -> None:
    host = testinfra.get_host(
        f"ssh://{pi3b.name}?controlpersist=0", ssh_config=str(shared_rack.workspace.ssh_config)
    )
    seen = set()
    for _ in range(3):
        pi3b.link.run("true")
        assert host.service("docker").is_running
        assert host.run("echo from testinfra").stdout == "from testinfra\n"
        assert pi3b.docker.ping()
        seen.add(connections(pi3b))
    assert seen == {1}


def test_keys_and_sockets_are_the_users_alone(pi3b: Board, shared_rack: Rack) -> None:
    directory = shared_rack.workspace.path
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert directory.stat().st_uid == os.getuid()
    assert pi3b.docker.ping()
    assert [path for path in directory.iterdir() if path.is_socket()]
    assert stat.S_IMODE((directory / "id").stat().st_mode) == 0o600


def test_a_wrong_host_key_is_refused(pi3b: Board, workspace: Workspace, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    wrong = dataclasses.replace(
        pi3b.link.endpoint, host_key=other.with_suffix(".pub").read_text().rpartition(" ")[0]
    )
    impostor = Link(pi3b.name, 0, workspace.path)
    for _ in range(2):  # nor has the first try taught it the key
        with pytest.raises(HostKeyChanged, match="the host key of shared has changed"):
            impostor.open(wrong, timeout_s=0.5)
    assert ssh_processes(workspace.path) == []


@pytest.mark.parametrize(
    "command",
    ["sleep 4321", "sleep 4321; true", "trap '' TERM; while :; do sleep 4321; done"],
    ids=["one", "two", "stubborn"],
)
def test_a_command_that_runs_too_long_is_ended_on_the_board(pi3b: Board, command: str) -> None:
    with pytest.raises(DeadlineExceeded, match=r"shared: did not finish `.*sleep 4321.*` within 1 s"):
        pi3b.link.run(command, timeout_s=1)
    assert pi3b.link.run("pgrep -x sleep", check=False).stdout == ""


@pytest.mark.parametrize("status", [0, 1, 2, 42, 126, 127, 130, 254])
def test_exit_codes_are_returned(pi3b: Board, status: int) -> None:
    assert pi3b.link.run(f"exit {status}", check=False).status == status


def test_a_failing_command_is_an_error_that_quotes_its_output(pi3b: Board) -> None:
    with pytest.raises(BoardError, match=r"shared: `.*` exited with 3: no such luck") as caught:
        pi3b.link.run("echo fine; echo no such luck >&2; exit 3")
    assert type(caught.value) is BoardError


def test_output_and_errors_are_kept_apart(pi3b: Board) -> None:
    done = pi3b.link.run("printf out; printf err >&2")
    assert (done.stdout, done.stderr) == ("out", "err")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_transferred_unchanged(pi3b: Board, text: str) -> None:
    assert pi3b.link.run(f"printf %s {shlex.quote(text)}").stdout == text
    assert pi3b.link.run("cat", stdin=text).stdout == text
    assert pi3b.link.run("cat; printf %s \"$(printf '%s' 'a\"b')\"", stdin=text).stdout == text + 'a"b'
    assert pi3b.link.run("ls /tmp/owned", check=False).status != 0


def test_bytes_are_transferred_unchanged(pi3b: Board) -> None:
    data = bytes(range(256)) * 4096
    digest = pi3b.link.run("sha256sum", stdin=data).stdout.split()[0]
    assert digest == hashlib.sha256(data).hexdigest()


def test_a_command_without_input_finds_its_end(pi3b: Board) -> None:
    assert pi3b.link.run("cat; echo end").stdout == "end\n"


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # docker-py's, when it cannot connect
def test_a_lost_connection_is_an_error_until_it_is_opened_again(second: Link, workspace: Workspace) -> None:
    assert second.docker().ping()
    for process in ssh_processes(workspace.path):
        os.kill(process, signal.SIGKILL)
    with pytest.raises(LinkError, match=r"^shared: .*connection"):
        second.run("true")
    with pytest.raises(EngineError, match="shared: asking"), explained("shared", "asking"):
        second.docker().ping()
    gc.collect()
    second.open(second.endpoint, timeout_s=10)
    assert second.run("echo back").stdout == "back\n"
    assert second.docker().ping()


def test_a_connection_that_the_board_ends_is_an_error_until_it_is_opened_again(
    pi3b: Board, second: Link
) -> None:
    mine = second.run("ps -o ppid= -p $PPID").stdout.strip()  # the sshd of this connection
    pi3b.link.run(f"kill {mine}")
    with pytest.raises(LinkError, match=r"^shared: .*connection"):
        second.run("sleep 20")
    second.open(second.endpoint, timeout_s=10)
    assert second.run("echo back").stdout == "back\n"


def test_closing_leaves_no_process_and_no_socket(second: Link, workspace: Workspace) -> None:
    assert second.docker().ping()
    assert len(ssh_processes(workspace.path)) == 1
    second.close()
    assert ssh_processes(workspace.path) == []
    assert [path for path in workspace.path.iterdir() if path.is_socket()] == []
    second.close()


def test_a_link_that_is_not_open_raises_an_error(workspace: Workspace) -> None:
    link = Link("shelf", 0, workspace.path)
    with pytest.raises(LinkError, match="shelf: is not connected"):
        link.run("true")
