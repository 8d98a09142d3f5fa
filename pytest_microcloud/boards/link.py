"""The one SSH connection to a board: commands, testinfra and the Docker socket all go through it.

The connection is an OpenSSH master with a ControlPath, run in the foreground as our child. testinfra finds it
by the ssh_config written here; Docker's socket is forwarded over it to a socket in the run's private
directory.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_microcloud.boards import engine
from pytest_microcloud.errors import BoardError, DeadlineExceeded, LinkError

if TYPE_CHECKING:
    from docker import DockerClient

CONNECT_TIMEOUT_S = 30.0
COMMAND_TIMEOUT_S = 60.0
GRACE_S = 15.0
"""What a command's deadline on the controller allows over the board's, for the way there and back."""
KILL_AFTER_S = 2
"""What a command on the board has to end after its deadline, before it is killed."""
LATE = (124, 137, 255)
"""What a command that had to be ended exits with: by timeout, by its SIGKILL, and by that as ssh tells it."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a board's sshd is and how to log in.

    `host_key` is a public key to pin, if it is known; `arguments` are further ones for ssh's command line.
    """

    address: str
    port: int | None = None
    user: str | None = None
    identity_file: Path | None = None
    host_key: str | None = None
    docker_socket: str = "/var/run/docker.sock"
    arguments: tuple[str, ...] = ()


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
        self._directory = directory
        self._number = number
        self._ssh = ["ssh", "-F", str(directory / "ssh_config"), "-o", "BatchMode=yes"]
        self._control = directory / f"{number}.ctl"
        self._socket = directory / f"{number}.sock"
        self._log = directory / f"{number}.log"
        self._master: subprocess.Popen[bytes] | None = None
        self._docker: DockerClient | None = None
        self._endpoint: Endpoint | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where the board is; an error before the first `open`."""
        if self._endpoint is None:
            raise LinkError(self.board, "is not connected")
        return self._endpoint

    @property
    def address(self) -> str:
        """The address at which the board's own servers are reached from the controller."""
        return self.endpoint.address

    def open(self, endpoint: Endpoint, *, timeout_s: float, again: bool = True) -> None:
        """Connect; raises LinkError with what ssh said last.

        With `again`, a board that is still booting is tried until the deadline; without, once, since a
        machine that is up takes many tries in a row for an attack.
        """
        self.close()
        self._endpoint = endpoint
        self._write_config(endpoint)
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self._connect(min(CONNECT_TIMEOUT_S, max(1.0, deadline - time.monotonic())))
                return
            except LinkError:
                if not again or time.monotonic() >= deadline:
                    raise
                time.sleep(0.05)

    def close(self) -> None:
        """Take down the connection and all that was forwarded over it."""
        if self._docker is not None:
            self._docker.close()
            self._docker = None
        if self._master is not None:
            self._master.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._master.wait(5)
            if self._master.poll() is None:
                self._master.kill()
                self._master.wait()
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

        Raises DeadlineExceeded, LinkError when the connection broke, and with `check` a BoardError
        that quotes what the command said when it exits with other than 0.
        """
        line = f"timeout -k {KILL_AFTER_S} {timeout_s:.0f} sh -c {shlex.quote(command)}"
        if root:
            line = as_root(line)
        data = stdin.encode() if isinstance(stdin, str) else stdin
        started = time.monotonic()
        try:
            done = subprocess.run(
                self.ssh("--", line),
                input=data if data is not None else b"",
                capture_output=True,
                timeout=timeout_s + GRACE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DeadlineExceeded(
                self.board, f"did not finish `{command}` within {timeout_s:.0f} s"
            ) from None
        result = Completed(done.returncode, _text(done.stdout), _text(done.stderr))
        if result.status in LATE and time.monotonic() - started >= timeout_s:
            raise DeadlineExceeded(self.board, f"did not finish `{command}` within {timeout_s:.0f} s")
        if result.status == 255 and self._master is None:
            raise LinkError(self.board, "is not connected")
        if result.status == 255:
            raise LinkError(self.board, f"the SSH connection broke: {_last_line(result.stderr)}")
        if check and result.status != 0:
            raise BoardError(
                self.board,
                f"`{command}` exited with {result.status}: {_last_line(result.stderr or result.stdout)}",
            )
        return result

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """Start a shell command on the board that talks over its standard input and output."""
        return subprocess.Popen(
            self.ssh("--", f"sh -c {shlex.quote(command)}"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def docker(self) -> DockerClient:
        """Return the client of the board's engine, over the forwarded socket."""
        if self._docker is None:
            self._docker = engine.connect(f"unix://{self._socket}", self.board)
        return self._docker

    def ssh(self, *arguments: str) -> list[str]:
        """Return the ssh command line that reaches this board over the open connection, and only over it."""
        return [*self._ssh, "-o", "ProxyCommand=false", self.board, *arguments]

    def _connect(self, timeout_s: float) -> None:
        self._control.unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)
        forward = f"{self._socket}:{self.endpoint.docker_socket}"
        command = ["-M", "-N", "-T", "-o", "ControlPersist=no", "-o", f"ConnectTimeout={timeout_s:.0f}"]
        with self._log.open("wb") as log:  # no pipe: refused forwards would fill it, and ssh then hangs
            self._master = subprocess.Popen(
                [*ends_with_us(), *self._ssh, *command, *self.endpoint.arguments, "-L", forward, self.board],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for pytest, which still needs the connection to clean up
            )
        deadline = time.monotonic() + timeout_s
        while not (self._control.exists() and self._socket.exists()):
            if self._master.poll() is not None:
                self.close()
                raise LinkError(self.board, f"no SSH connection: {_last_line(_tail(self._log))}")
            if time.monotonic() > deadline:
                self.close()
                raise LinkError(self.board, f"no SSH connection within {timeout_s:.0f} s")
            time.sleep(0.01)

    def _write_config(self, endpoint: Endpoint) -> None:
        lines = [
            f"Host {self.board}",
            f"  HostName {endpoint.address}",
            f"  ControlPath {self._control}",
            "  ServerAliveInterval 5",
            "  ServerAliveCountMax 6",
            "  ExitOnForwardFailure yes",
            "  StreamLocalBindUnlink yes",
        ]
        if endpoint.port is not None:
            lines.append(f"  Port {endpoint.port}")
        if endpoint.user is not None:
            lines.append(f"  User {endpoint.user}")
        if endpoint.identity_file is not None:
            lines += [f"  IdentityFile {endpoint.identity_file}", "  IdentitiesOnly yes"]
        if endpoint.host_key is not None:
            known = self._directory / f"{self._number}.known"
            known.write_text(f"{self.board} {endpoint.host_key}\n")
            lines += [f"  HostKeyAlias {self.board}", f"  UserKnownHostsFile {known}"]
        lines.append("  StrictHostKeyChecking yes")
        if endpoint.host_key is None and (own := Path.home() / ".ssh" / "config").is_file():
            lines += ["Match all", f"  Include {own}"]
        (self._directory / f"{self._number}.conf").write_text("\n".join(lines) + "\n")


def ends_with_us() -> Sequence[str]:
    """Return the prefix that makes a child end when this process does, even by SIGKILL (util-linux)."""
    return ("setpriv", "--pdeathsig", "TERM", "--") if shutil.which("setpriv") else ()


def as_root(line: str) -> str:
    """Return a command line that runs that one as root, by sudo if need be; any login shell can read it."""
    script = f'as_root=; [ "$(id -u)" = 0 ] || as_root="sudo -n"; exec $as_root {line}'
    return f"sh -c {shlex.quote(script)}"


def _tail(log: Path, most: int = 2000) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - most))
        return _text(file.read())


def _text(output: bytes) -> str:
    return output.decode(errors="replace")


def _last_line(said: str) -> str:
    lines = [line for line in said.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "nothing was said"
