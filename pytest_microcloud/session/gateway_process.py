"""Runs on a gateway during a session: creates the session's directories, and signals the workers.

execnet sends this source to the gateway, so the module imports only the standard library. The first message
from the controller holds the directory of the `--tx` spec (`chdir`, or None) and the run id. The reply is a
dict that describes the gateway. Further messages are `["signal", pid, number]` and `["end"]`.

Another process removes the directories: it waits until this process has ended, by whatever cause, and until
no process of the session works in the directories any more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import Any

PREFIX = "mc-"
"""Prefix of the name of the session's directory on a gateway: short, as socket paths must be short."""
WORKERS_END_S = 60
"""How long (s) the workers may take to release their boards after the controller has gone."""
NEEDED = {"ssh": "openssh-client", "ab": "apache2-utils"}
"""The programs that a worker runs on the gateway, each with its Debian package."""
REMOVE = """
import os, shutil, signal, sys, time
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
timeout_s, parent, *directories = sys.argv[1:]
sys.stdin.buffer.read()

def in_use():
    for process in os.listdir("/proc"):
        try:
            there = os.readlink("/proc/" + process + "/cwd") if process.isdigit() else ""
        except OSError:
            continue
        if any((there + "/").startswith(directory + "/") for directory in directories):
            return True
    return False

deadline = time.monotonic() + float(timeout_s)
while in_use() and time.monotonic() < deadline:
    time.sleep(0.1)
for directory in directories:
    for attempt in range(20):
        shutil.rmtree(directory, ignore_errors=True)
        if not os.path.exists(directory):
            break
        time.sleep(0.1)
if parent:
    try:
        os.rmdir(parent)
    except OSError:
        pass
"""


def keep(channel: Any) -> None:
    """Create the session's directories, then obey the controller until it sends "end" or disconnects."""
    chdir, run_id = channel.receive()
    created = ""
    if chdir is not None:
        chdir = os.path.abspath(os.path.expanduser(chdir))  # noqa: PTH100, PTH111
        if not os.path.exists(chdir):  # noqa: PTH110
            os.mkdir(chdir)  # noqa: PTH102
            created = chdir
    run = os.path.realpath(tempfile.mkdtemp(prefix=PREFIX))
    suites = os.path.realpath(tempfile.mkdtemp(prefix=f"microcloud-{run_id}-", dir=chdir or run))
    remover = subprocess.Popen(
        [sys.executable, "-c", REMOVE, str(WORKERS_END_S), created, *dict.fromkeys((suites, run))],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
    with open(os.path.join(suites, "pytest.ini"), "w") as ini:  # noqa: PTH118, PTH123
        ini.write("[pytest]\n")  # so that no pytest.ini of a parent directory applies
    channel.send({"run": run, "suites": suites, "temporary": tempfile.gettempdir(), **_installed()})
    for message in channel:
        if message[0] == "end":
            remover.communicate(timeout=WORKERS_END_S + 30)
            channel.send(not any(map(os.path.exists, (run, suites))))
            return
        _, pid, number = message
        with suppress(OSError):  # the process has ended
            os.kill(pid, number)


def _installed() -> dict[str, Any]:
    """Return a description of this machine's Python, plugin and missing packages for the controller."""
    try:
        import pytest_microcloud

        version, problem = str(pytest_microcloud.__version__), ""
    except Exception as error:
        version, problem = "", f"{type(error).__name__}: {error}"
    missing = [package for program, package in NEEDED.items() if shutil.which(program) is None]
    return {"version": version, "problem": problem, "python": sys.executable, "missing": missing}


if __name__ == "__channelexec__":
    keep(channel)  # type: ignore[name-defined] # noqa: F821
