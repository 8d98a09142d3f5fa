"""Checks that a board meets the requirements, before anything on it is changed.

Each error names the command that fixes the problem.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pytest_microcloud.controller.engine import explained
from pytest_microcloud.errors import (
    EngineError,
    EngineForbidden,
    EngineMissing,
    EngineTooOld,
    MemoryCgroupOff,
    ToolMissing,
)

if TYPE_CHECKING:
    from docker import DockerClient

    from pytest_microcloud.boards.link import Link

PODMAN_SOCKET = "/run/podman/podman.sock"

_SOCKET = r"""
echo "user=$(id -un)"
for program in dockerd podman; do
    command -v $program >/dev/null && echo "engine=$program"
done
if [ -S "$1" ]; then
    [ -r "$1" ] && [ -w "$1" ] && echo socket=usable || echo socket=forbidden
    echo "group=$(stat -c %G "$1")"
    for path in "$1" "$(readlink -f "$1")"; do
        grep -q " 00010000 .* $path\$" /proc/net/unix && echo listens=yes
    done
elif [ -e "$1" ]; then
    echo socket=other
else
    echo socket=missing
fi
"""
_MISSING = 'for tool; do command -v "$tool" >/dev/null || echo "$tool"; done'
_PATH = "PATH=$PATH:/usr/sbin:/sbin\n"


def check(link: Link) -> None:
    """Raise a BoardError with the reason if this board cannot run an experiment's containers."""
    socket = link.endpoint.docker_socket
    done = link.run(f"{_PATH}set -- {shlex.quote(socket)}\n{_SOCKET}", check=False)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    if "socket" not in found:
        output = (done.stderr or done.stdout).strip() or f"exit status {done.status}"
        raise ToolMissing(
            link.board,
            f"accepts the login but cannot run commands ({output.splitlines()[-1]}): the user needs a POSIX "
            "shell (chsh -s /bin/sh USER), and the board needs `timeout` (apt-get install coreutils)",
        )
    if found["socket"] == "forbidden":
        raise EngineForbidden(link.board, _forbidden(socket, found))
    if found["socket"] != "usable":
        raise EngineMissing(link.board, _missing(socket, found))
    client = _client(link, socket, found)
    with explained(link.board, "reading the engine's properties"):
        limits_memory = client.info().get("MemoryLimit", True)
    if not limits_memory:
        raise MemoryCgroupOff(
            link.board,
            "its engine has no memory cgroup: append `cgroup_enable=memory cgroup_memory=1` to the one line "
            "of /boot/firmware/cmdline.txt (older systems: /boot/cmdline.txt), then reboot. A rootless "
            "engine also needs cgroup v2",
        )


def need(link: Link, tools: Mapping[str, str]) -> None:
    """Raise ToolMissing if a program is not on the board; `tools` maps programs to Debian packages."""
    if absent := missing(link, tools):
        packages = [tools[tool] for tool in absent]
        raise ToolMissing(
            link.board,
            f"has no {', '.join(absent)}: run `{by_hand(packages)}` on the board, or set "
            "microcloud_install=true in hosts.ini to install missing programs for the duration of a run",
        )


def missing(link: Link, tools: Iterable[str]) -> list[str]:
    """Return the programs that are not on the board."""
    return link.run(f"{_PATH}set -- {shlex.join(tools)}\n{_MISSING}\ntrue").stdout.split()


def by_hand(packages: Iterable[str]) -> str:
    """Return the command with which a user can install Debian packages permanently, for error messages."""
    return f"apt-get install {' '.join(packages)}"


def _client(link: Link, socket: str, found: dict[str, str]) -> DockerClient:
    try:
        return link.docker()
    except EngineTooOld:
        raise
    except EngineError as error:
        if "listens" not in found:
            raise EngineMissing(link.board, _missing(socket, found)) from error
        if link.forwards_fail():
            raise EngineError(
                link.board,
                "its sshd does not forward sockets: on the board, remove AllowStreamLocalForwarding and "
                "DisableForwarding from /etc/ssh/sshd_config, then run `sudo systemctl reload ssh`",
            ) from error
        raise


def _forbidden(socket: str, found: dict[str, str]) -> str:
    user, group = found["user"], found.get("group", "docker")
    if group == "root":
        return (
            f"{user} may not use {socket}, which only root can access: log in as root (ansible_user), or "
            f"start a rootless Podman as {user} (systemctl --user enable --now podman.socket; loginctl "
            "enable-linger) and set microcloud_docker_socket=/run/user/UID/podman/podman.sock"
        )
    return (
        f"{user} may not use {socket}: run `sudo usermod -aG {group} {user}` on the board, and log in again "
        "(an open connection keeps the old groups)"
    )


def _missing(socket: str, found: dict[str, str]) -> str:
    if found["socket"] == "other":
        return (
            f"{socket} is not a socket: remove the file, then run `sudo systemctl restart docker.socket "
            "docker` on the board"
        )
    if found.get("engine") == "dockerd":
        return (
            f"has Docker, but no process listens at {socket}: run `sudo systemctl enable --now docker` on "
            "the board, or set microcloud_docker_socket to Docker's socket (rootless Docker: "
            "/run/user/UID/docker.sock)"
        )
    if found.get("engine") == "podman":
        return (
            f"has Podman, but no process listens at {socket}: run `sudo systemctl enable --now "
            f"podman.socket` on the board, and set microcloud_docker_socket={PODMAN_SOCKET} in hosts.ini"
        )
    return (
        f"has no container engine at {socket}: run `sudo apt-get install docker.io` on the board, or see "
        "https://docs.docker.com/engine/install"
    )
