"""The one SSH connection to a board: commands, testinfra and the Docker socket all go through it.

The connection is an OpenSSH master with a ControlPath, run in the foreground as our child. To a real board
it is the user's own ssh with the user's own configuration, keys, agent and jump hosts. All else goes by the
ssh_config written here, which knows the way over that connection and no other. The engine's socket is
forwarded to a socket in the run's private directory.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pytest_microcloud.boards import ssh_errors
from pytest_microcloud.boards.command_line import START, as_root, marked, named, sudo_refused
from pytest_microcloud.boards.endpoint import Endpoint
from pytest_microcloud.controller import engine
from pytest_microcloud.controller.processes import end_group, ends_with_us
from pytest_microcloud.errors import (
    BoardError,
    DeadlineExceeded,
    HostKeyChanged,
    HostKeyUnknown,
    LinkError,
    SudoNeedsPassword,
)

if TYPE_CHECKING:
    from docker import DockerClient

CONNECT_TIMEOUT_S = 30.0
COMMAND_TIMEOUT_S = 60.0
GRACE_S = 15.0
"""What a command's deadline on the controller allows over the board's, for the way there and back."""
KILL_AFTER_S = 2
"""What a command on the board has to end after its deadline, before it is killed."""
SSH_FAILED = 255
"""What ssh itself exits with, and not the command."""
LATE = (124, 137, 255)
"""Exit statuses of a command after its timeout: of timeout(1), of its SIGKILL, and of that as ssh has it."""


# ssh takes the first value of an option, and ours come first. Whatever the user's configuration says,
# a host key is known or it is an error, nobody is asked anything, and none of the user's forwards are made.
OURS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "NoHostAuthenticationForLocalhost=no",
    "UpdateHostKeys=no",
    "ClearAllForwardings=yes",
    "ConnectionAttempts=1",
    "ControlPersist=no",
    "LogLevel=INFO",
    "RemoteCommand=none",
    "ServerAliveCountMax=6",
    "ServerAliveInterval=5",
)


@dataclass(frozen=True)
class Completed:
    """What a command on the board came to."""

    status: int
    stdout: str
    stderr: str


class Link:
    """The connection to one board.

    `directory` is the run's private directory; `number` keeps file names short.
    """

    def __init__(self, board: str, number: int, directory: Path) -> None:
        self.board = board
        self._ssh = ["ssh", "-F", str(directory / "ssh_config")]
        self._control = directory / f"{number}.ctl"
        self._known = directory / f"{number}.known"
        self._socket = directory / f"{number}.sock"
        self._log = directory / f"{number}.log"
        self._master: subprocess.Popen[bytes] | None = None
        self._docker: DockerClient | None = None
        self._endpoint: Endpoint | None = None
        self._address: str | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where the board is; an error before the first `open`."""
        if self._endpoint is None:
            raise LinkError(self.board, "is not connected")
        return self._endpoint

    @property
    def address(self) -> str:
        """The address at which the board's own servers are reached from the controller.

        That is the HostName of the user's ssh configuration, if it has one for the endpoint's address.
        """
        if self._address is None:
            self._address = self._setting("hostname") or self.endpoint.address
        return self._address

    def open(self, endpoint: Endpoint, *, timeout_s: float, again: bool = True) -> None:
        """Connect; raises LinkError, or one of its kinds, with what is to be done.

        With `again`, a board that is still booting is tried until the deadline; without, once, since a
        machine that is up takes many tries in a row for an attack.
        """
        self.close()
        self._endpoint, self._address = endpoint, None
        self._write_config(endpoint)
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self._connect(min(CONNECT_TIMEOUT_S, max(1.0, deadline - time.monotonic())))
                return
            except (HostKeyChanged, HostKeyUnknown):
                raise  # waiting makes no key known
            except LinkError:
                if not again or time.monotonic() >= deadline:
                    raise
                time.sleep(0.05)

    def broke(self) -> bool:
        """Whether the connection ended, other than by `close`; one that is just ending gets a moment."""
        if self._master is None:
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._master.wait(1)
        return self._master.returncode is not None

    def close(self) -> None:
        """Take down the connection and all that was forwarded over it."""
        if self._docker is not None:
            self._docker.close()
            self._docker = None
        if self._master is not None:
            end_group(self._master)
            self._master = None
        self._control.unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)

    def run(
        self,
        command: str,
        *,
        timeout_s: float = COMMAND_TIMEOUT_S,
        root: bool = False,
        check: bool = True,
        stdin: str | bytes | None = None,
    ) -> Completed:
        """Run a shell command on the board, with a deadline there and here.

        Raises DeadlineExceeded, LinkError when the connection broke, with `root` SudoNeedsPassword when that
        cannot be, and with `check` a BoardError that quotes what the command said when it exits with other
        than 0.
        """
        line = f"timeout -k {KILL_AFTER_S} {timeout_s:.0f} sh -c {shlex.quote(command)}"
        if root:
            line = as_root(line)
        late = f"did not finish `{named(command)}` within {timeout_s:.0f} s"
        data = stdin.encode() if isinstance(stdin, str) else stdin
        started = time.monotonic()
        try:
            done = subprocess.run(
                self.ssh("--", marked(line)),
                input=data if data is not None else b"",
                capture_output=True,
                timeout=timeout_s + GRACE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DeadlineExceeded(self.board, late) from None
        before, mark, output = done.stdout.partition(START)
        result = Completed(done.returncode, _text(output), _text(done.stderr))
        if result.status in LATE and time.monotonic() - started >= timeout_s:
            raise DeadlineExceeded(self.board, late)
        if result.status == SSH_FAILED:
            raise self._broke(result.stderr)
        if not mark:
            raise ssh_errors.no_command(self.board, result.stderr, _text(before))
        if root and result.status != 0 and sudo_refused(result.stderr):
            raise SudoNeedsPassword(
                self.board,
                f"cannot run commands as root: {_last_line(result.stderr)}\n"
                "  Log in as root (ansible_user), or let the user use sudo without a password; as root on "
                "the board:\n"
                '  echo "USER ALL=(ALL) NOPASSWD:ALL" > /etc/sudoers.d/microcloud',
            )
        if check and result.status != 0:
            raise BoardError(
                self.board,
                f"`{named(command)}` exited with {result.status}: "
                f"{_last_line(result.stderr or result.stdout)}",
            )
        return result

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """Start a shell command on the board that talks over its standard input and output.

        What the user's login shell prints before it is discarded. Raises DeadlineExceeded if it does not
        start in time, and LinkError if it cannot.
        """
        with tempfile.TemporaryFile() as errors:  # no pipe, which nobody would empty
            process = subprocess.Popen(
                self.ssh("--", marked(f"sh -c {shlex.quote(command)}")),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
            try:
                self._await_start(process, errors)
            except BaseException:
                process.kill()
                process.communicate()
                raise
        return process

    def _await_start(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        """Read up to the mark, byte by byte: what follows is the command's."""
        output = process.stdout
        if output is None:  # a pipe, as it was asked for
            raise LinkError(self.board, "its shell has no output")
        before, deadline = b"", time.monotonic() + CONNECT_TIMEOUT_S
        while not before.endswith(START):
            if not select.select([output], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise DeadlineExceeded(
                    self.board, f"did not start a command within {CONNECT_TIMEOUT_S:.0f} s"
                )
            part = os.read(output.fileno(), 1)
            if not part:
                status = process.wait(GRACE_S)
                errors.seek(0)
                said = _text(errors.read())
                if status == SSH_FAILED:
                    raise self._broke(said)
                raise ssh_errors.no_command(self.board, said, _text(before))
            before += part

    def docker(self) -> DockerClient:
        """Return the client of the board's engine, over the forwarded socket. Raises EngineError."""
        if self._docker is None:
            self._forward()
            self._docker = engine.connect(f"unix://{self._socket}", self.board)
        return self._docker

    def forwards_fail(self) -> bool:
        """Whether the board's sshd failed to reach a forwarded socket."""
        return "open failed" in _tail(self._log)

    def ssh(self, *arguments: str) -> list[str]:
        """Return the ssh command line that reaches this board over the open connection, and only over it."""
        return [*self._ssh, self.board, *arguments]

    def _own_ssh(self, *arguments: str) -> list[str]:
        """Return the command line of the user's own ssh to the board, these arguments before all others."""
        endpoint = self.endpoint
        command = ["ssh", *arguments]
        if endpoint.host_key is not None:
            command += ["-F", "none", "-o", f"HostKeyAlias={self.board}"]
            command += ["-o", f"UserKnownHostsFile={self._known}"]
        if endpoint.port is not None:
            command += ["-p", str(endpoint.port)]
        if endpoint.user is not None:
            command += ["-l", endpoint.user]
        if endpoint.identity_file is not None:
            command += ["-o", "IdentitiesOnly=yes", "-i", str(endpoint.identity_file)]
        return [*command, *endpoint.arguments, "--", endpoint.address]

    def _setting(self, name: str) -> str:
        """Return what the user's own ssh makes of its configuration for the board, or an empty text."""
        try:
            asked = subprocess.run(
                self._own_ssh("-G"),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=GRACE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:  # a `Match exec` that hangs
            return ""
        settings = (line.partition(" ") for line in _text(asked.stdout).splitlines())
        return next((value for key, _, value in settings if key == name), "")

    def _start_own_ssh(self, timeout_s: float, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the user's own ssh with these arguments and ours, to log in and do nothing more."""
        ours = [f"-o{option}" for option in (*OURS, f"ConnectTimeout={timeout_s:.0f}")]
        with self._log.open("wb") as log:  # no pipe: refused forwards would fill it, and ssh then hangs
            return subprocess.Popen(
                [*ends_with_us(), *self._own_ssh(*arguments, *ours, "-N", "-T")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=os.environ | {"SSH_ASKPASS_REQUIRE": "never"},  # BatchMode is not for jump hosts' ssh
                start_new_session=True,  # Ctrl-C is for pytest, which still needs the connection to clean up
            )

    def _connect(self, timeout_s: float) -> None:
        self._control.unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)
        self._master = self._start_own_ssh(timeout_s, "-M", "-S", str(self._control))
        deadline = time.monotonic() + timeout_s + 1  # ssh's own deadline comes first: it says for what
        while not self._control.exists():
            if self._master.poll() is not None:
                self.close()
                raise self._refused(timeout_s)
            if time.monotonic() > deadline:
                self.close()
                raise LinkError(
                    self.board,
                    f"no SSH connection within {timeout_s:.0f} s: something answers at its port, but the "
                    "login does not get on. The board hangs, or it is not sshd's port (ansible_port)",
                )
            time.sleep(0.01)

    def _refused(self, timeout_s: float) -> LinkError:
        def verbosely() -> str:
            again = self._start_own_ssh(timeout_s, "-S", "none", "-v")  # -v: a jump host's ssh has it, too
            with contextlib.suppress(subprocess.TimeoutExpired):
                again.wait(timeout_s + 1)
            end_group(again)
            return _tail(self._log, most=100_000)

        by_hand = [*self._own_ssh("-o", "StrictHostKeyChecking=ask"), "true"]
        known_hosts = partial(self._setting, "userknownhostsfile")
        return ssh_errors.reason(self.board, _tail(self._log), by_hand, known_hosts, verbosely)

    def _forward(self) -> None:
        """Forward the engine's socket, unless it is forwarded; nobody need listen at its other end."""
        if self._socket.exists():
            return
        forward = ["-O", "forward", "-L", f"{self._socket}:{self.endpoint.docker_socket}"]
        try:
            done = subprocess.run(
                [*self._ssh, *forward, self.board], capture_output=True, timeout=GRACE_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise DeadlineExceeded(
                self.board, f"ssh did not forward Docker's socket within {GRACE_S:.0f} s"
            ) from None
        if done.returncode != 0:
            raise self._broke(_text(done.stderr))

    def _broke(self, said: str) -> LinkError:
        if self._master is None:
            return LinkError(self.board, "is not connected")
        if "open refused by peer" in said:
            return LinkError(
                self.board,
                "its sshd allows too few sessions on one connection: set MaxSessions to 10 or more in its "
                "/etc/ssh/sshd_config, then systemctl reload ssh",
            )
        return LinkError(self.board, f"the SSH connection broke: {_last_line(said)}")

    def _write_config(self, endpoint: Endpoint) -> None:
        if endpoint.host_key is not None:
            self._known.write_text(f"{self.board} {endpoint.host_key}\n")
        lines = [
            f"Host {self.board}",
            f"  ControlPath {self._control}",
            "  ProxyCommand false",  # over the open connection, or not at all
            "  BatchMode yes",
        ]
        self._control.with_suffix(".conf").write_text("\n".join(lines) + "\n")


def _tail(log: Path, most: int = 2000) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - most))
        return _text(file.read()).replace("\r\n", "\n")


def _text(output: bytes) -> str:
    return output.decode(errors="replace")


def _last_line(said: str) -> str:
    lines = [line for line in said.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "nothing was said"
