"""The SSH connection to a board, which commands, testinfra and the Docker socket share.

The connection is an OpenSSH master with a ControlPath; the master runs as a child process. For a real board,
the master is the user's ssh with the user's configuration, keys, agent and jump hosts. Every other ssh uses
the ssh_config that this module writes, which allows only the master's connection. The engine's socket is
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
from pytest_microcloud.controller import engine, processes
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
"""Time that the controller adds to a command's timeout on the board, to allow for the round trip."""
KILL_AFTER_S = 2
"""Time between the SIGTERM that ends a late command on the board and its SIGKILL."""
SSH_FAILED = 255
"""The exit status of ssh if ssh itself fails. Any other status is that of the command."""
LATE = (124, 137, 255)
"""Exit statuses after a timeout: 124 if timeout(1) sent SIGTERM, 137 if it sent SIGKILL, and 255 if ssh
reports the SIGKILL."""


# If an option has several values, ssh uses the first. These options come first, so they override the user's
# configuration: an unknown host key is an error, there are no prompts, and the user's forwards are ignored.
ENFORCED_OPTIONS = (
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
    """The exit status and output of a command that ran on the board."""

    status: int
    stdout: str
    stderr: str


class Link:
    """The connection to one board.

    `directory` is the run's private directory. The files in it are named by the board's `number` in the run,
    because socket paths must be short.
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
        """The board's endpoint. Raises LinkError before the first `open`."""
        if self._endpoint is None:
            raise LinkError(self.board, "is not connected")
        return self._endpoint

    @property
    def address(self) -> str:
        """The address of the board's own servers as seen from the controller.

        It is the HostName of the user's ssh configuration if there is one, otherwise the endpoint's address.
        """
        if self._address is None:
            self._address = self._setting("hostname") or self.endpoint.address
        return self._address

    @property
    def is_open(self) -> bool:
        """Whether the connection is open."""
        return self._master is not None and self._master.poll() is None

    def open(self, endpoint: Endpoint, *, timeout_s: float, again: bool = True) -> None:
        """Connect to the board. Raises LinkError with a message that states what to do.

        With `again`, the connection is retried until the timeout, for a board that may still be booting.
        Otherwise, there is one try, because a machine that is up may treat repeated attempts as an attack.
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
                raise  # retrying does not help
            except LinkError:
                if not again or time.monotonic() >= deadline:
                    raise
                time.sleep(0.05)

    def broke(self) -> bool:
        """Whether the connection ended without `close`. Waits up to 1 s for a connection that is ending."""
        if self._master is None:
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._master.wait(1)
        return self._master.returncode is not None

    def close(self) -> None:
        """Close the connection and everything that is forwarded over it."""
        if self._docker is not None:
            self._docker.close()
            self._docker = None
        if self._master is not None:
            processes.end_group(self._master)
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
        """Run a shell command on the board, with a timeout on both sides.

        Raises DeadlineExceeded after the timeout, and LinkError if the connection breaks. With `root`, raises
        SudoNeedsPassword if sudo asks for a password or refuses. With `check`, raises a BoardError that
        quotes the output if the exit status is not 0.
        """
        line = f"timeout -k {KILL_AFTER_S} {timeout_s:.0f} sh -c {shlex.quote(command)}"
        if root:
            line = as_root(line)
        late = f"did not finish `{named(command)}` within {timeout_s:.0f} s"
        data = stdin.encode() if isinstance(stdin, str) else stdin
        started = time.monotonic()
        try:
            done = processes.run(
                self.ssh("--", marked(line)), stdin=data or b"", timeout_s=timeout_s + GRACE_S
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
                "  Log in as root (ansible_user), or allow the user sudo without a password by running this "
                "as root on the board:\n"
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
        """Start a shell command on the board, and return the ssh process with pipes for stdin and stdout.

        Output that the login shell prints before the command is discarded. Raises DeadlineExceeded if the
        command does not start in time, and LinkError if it cannot start.
        """
        with tempfile.TemporaryFile() as errors:  # not a pipe: nobody reads it, so it would fill up
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
        """Read the output up to `START`, byte by byte, because the output after `START` is for the caller."""
        output = process.stdout
        if output is None:  # not reached: a pipe was requested
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
                messages = _text(errors.read())
                if status == SSH_FAILED:
                    raise self._broke(messages)
                raise ssh_errors.no_command(self.board, messages, _text(before))
            before += part

    def docker(self) -> DockerClient:
        """Return a client of the board's engine over the forwarded socket. Raises EngineError."""
        if self._docker is None:
            self._forward()
            self._docker = engine.connect(f"unix://{self._socket}", self.board)
        return self._docker

    def forwards_fail(self) -> bool:
        """Whether the board's sshd failed to connect to a forwarded socket."""
        return "open failed" in _tail(self._log)

    def ssh(self, *arguments: str) -> list[str]:
        """Return an ssh command line that uses only the open connection to this board."""
        return [*self._ssh, self.board, *arguments]

    def _own_ssh(self, *arguments: str) -> list[str]:
        """Return the command line of the user's ssh to the board; `arguments` precede all other options."""
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
        """Return a setting of the user's ssh configuration for the board; empty if it is not set."""
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
        """Start the user's ssh with `arguments` and the enforced options. It logs in and runs no command."""
        enforced = [f"-o{option}" for option in (*ENFORCED_OPTIONS, f"ConnectTimeout={timeout_s:.0f}")]
        with self._log.open(
            "wb"
        ) as log:  # not a pipe: messages of refused forwards would fill it and block ssh
            return subprocess.Popen(
                [*processes.ends_with_us(), *self._own_ssh(*arguments, *enforced, "-N", "-T")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=os.environ
                | {"SSH_ASKPASS_REQUIRE": "never"},  # BatchMode does not apply to the ssh of jump hosts
                start_new_session=True,  # Ctrl-C is for pytest, which still needs the connection to clean up
            )

    def _connect(self, timeout_s: float) -> None:
        self._control.unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)
        self._master = self._start_own_ssh(timeout_s, "-M", "-S", str(self._control))
        deadline = time.monotonic() + timeout_s + 1  # ssh's own timeout comes first: its message is better
        while not self._control.exists():
            if self._master.poll() is not None:
                self.close()
                raise self._refused(timeout_s)
            if time.monotonic() > deadline:
                self.close()
                raise LinkError(
                    self.board,
                    f"no SSH connection within {timeout_s:.0f} s: the SSH port is open, but the login does "
                    "not complete. Either the board hangs, or the port is not sshd's (check ansible_port)",
                )
            time.sleep(0.01)

    def _refused(self, timeout_s: float) -> LinkError:
        def verbosely() -> str:
            again = self._start_own_ssh(timeout_s, "-S", "none", "-v")  # -v also applies to a jump host's ssh
            with contextlib.suppress(subprocess.TimeoutExpired):
                again.wait(timeout_s + 1)
            processes.end_group(again)
            return _tail(self._log, most=100_000)

        by_hand = [*self._own_ssh("-o", "StrictHostKeyChecking=ask"), "true"]
        known_hosts = partial(self._setting, "userknownhostsfile")
        return ssh_errors.reason(self.board, _tail(self._log), by_hand, known_hosts, verbosely)

    def _forward(self) -> None:
        """Forward the engine's socket to this machine, once per connection. The engine need not run."""
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

    def _broke(self, messages: str) -> LinkError:
        if self._master is None:
            return LinkError(self.board, "is not connected")
        if "open refused by peer" in messages:
            return LinkError(
                self.board,
                "its sshd allows too few sessions on one connection: on the board, set MaxSessions to 10 or "
                "more in /etc/ssh/sshd_config, then run `sudo systemctl reload ssh`",
            )
        return LinkError(self.board, f"the SSH connection broke: {_last_line(messages)}")

    def _write_config(self, endpoint: Endpoint) -> None:
        if endpoint.host_key is not None:
            self._known.write_text(f"{self.board} {endpoint.host_key}\n")
        lines = [
            f"Host {self.board}",
            f"  ControlPath {self._control}",
            "  ProxyCommand false",  # only over the open connection
            "  BatchMode yes",
        ]
        self._control.with_suffix(".conf").write_text("\n".join(lines) + "\n")


def _tail(log: Path, most: int = 2000) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - most))
        return _text(file.read()).replace("\r\n", "\n")


def _text(output: bytes) -> str:
    return output.decode(errors="replace")


def _last_line(messages: str) -> str:
    lines = [line for line in messages.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"
