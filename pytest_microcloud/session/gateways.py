"""Prepares other machines, such as the gateway of a site, for workers, and cleans up afterwards.

Besides the workers' connections, each `--tx` spec has a connection that lasts as long as the session: see
`gateway_process`, which runs over this connection and creates a directory on the gateway. pytest-xdist
starts the workers in this directory, and copies the suites into it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import execnet
import pytest
from execnet.gateway_io import ssh_args

import pytest_microcloud
from pytest_microcloud.controller import turns
from pytest_microcloud.errors import UserMistake
from pytest_microcloud.session import gateway_process
from pytest_microcloud.session.sent_files import SentFiles
from pytest_microcloud.session.sites import expanded, is_here, site_of
from pytest_microcloud.session.state import SESSION

if TYPE_CHECKING:
    from execnet import Gateway, Group, XSpec
    from xdist.workermanage import WorkerController

CONNECT_TIMEOUT_S = 60.0
END_TIMEOUT_S = gateway_process.WORKERS_END_S + 60.0
LOGIN = "openssh-client"
KEEPALIVE = "-oConnectTimeout=15 -oServerAliveInterval=5 -oServerAliveCountMax=6"
"""The options of ssh that make it end a connection to a gateway that no longer responds."""
NOT_KEPT = ("chdir=", "id=", "execmodel=", "env:", "nice=")
"""Prefixes of the parts of a `--tx` spec that apply to workers, but not to the session's connection."""


@dataclass(frozen=True)
class _Kept:
    """The session's connection to the gateway of a `--tx` spec; `about` describes the gateway."""

    site: str
    gateway: Gateway
    channel: Any
    about: dict[str, Any]


class Gateways:
    """The hooks of a controller if some workers run on other machines."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._files = SentFiles(config)
        self._here = config.invocation_params
        self._group: Group = execnet.Group()
        self._kept: dict[str, _Kept] = {}
        there = self._files.arguments()
        self._there = type(self._here)(args=there, plugins=self._here.plugins, dir=self._here.dir)
        self._read = {
            "catalog": self._files.copies(config.getini("microcloud_catalog"), "microcloud_catalog"),
            "gate": self._files.copies(config.getini("microcloud_gate"), "microcloud_gate"),
        }

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionstart(self) -> Generator[None, None, None]:
        """Connect to the gateways, and block SIGINT while pytest-xdist starts the workers.

        The workers' ssh processes inherit the blocked SIGINT, so Ctrl-C in a terminal does not end ssh. A
        worker on this machine unblocks SIGINT (`worker.begin`).
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._open()
            yield
        except UserMistake as error:
            raise pytest.UsageError(str(error)) from None
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_newgateway(self, gateway: Gateway) -> None:
        """Set the pytest arguments of the next worker, with paths on the worker's machine."""
        self._config.invocation_params = self._here if is_here(gateway.spec) else self._there

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Remove the session's files from the gateways, after the workers have ended."""
        result = yield
        if (left := self._end()) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        progress = self._config.stash[SESSION].progress
        for site in left:
            progress.announce(site, "the gateway did not confirm that it removed the session's files")
        return result

    def pytest_unconfigure(self) -> None:
        """Remove the session's files from the gateways, if pytest_sessionfinish was never called."""
        self._end()
        self._config.invocation_params = self._here

    def input_for(self, node: WorkerController) -> dict[str, Any]:
        """Return what a worker on a gateway needs in addition to the input of every worker; otherwise {}."""
        spec = node.gateway.spec
        return {} if is_here(spec) else {"gateway": site_of(spec), **self._read}

    def signal(self, node: WorkerController, number: int) -> None:
        """Send a signal to the process of a worker on another machine."""
        if kept := self._kept.get(str(node.gateway.spec.chdir)):
            with suppress(OSError):  # the connection broke
                kept.channel.send(["signal", node.gateway._rinfo().pid, int(number)])

    def _open(self) -> None:
        """Connect to all gateways in parallel, and make workers start in the gateways' directories."""
        specs = {str(spec): spec for spec in expanded(self._config) if not is_here(spec)}
        found = {text: self._connecting(spec) for text, spec in specs.items()}
        moved = {}
        for text, spec in specs.items():
            kept = _result(spec, found[text])
            self._kept[kept.about["suites"]] = kept
            self._check(kept, spec)
            moved[text] = _moved(text, kept.about)
        self._config.option.tx = [moved.get(str(spec), str(spec)) for spec in expanded(self._config)]
        self._files.choose()

    def _connecting(self, spec: XSpec) -> Future[_Kept]:
        """Start to connect to a gateway, in a daemon thread, so that a slow login does not delay the exit."""
        result: Future[_Kept] = Future()
        run_id = self._config.stash[SESSION].rack.workspace.run_id
        text = "//".join(part for part in _kept_alive(str(spec)) if not part.startswith(NOT_KEPT))

        def connect() -> None:
            try:
                gateway = self._group.makegateway(text)
                channel = gateway.remote_exec(gateway_process)
                channel.send([spec.chdir, run_id])
                result.set_result(_Kept(site_of(spec), gateway, channel, channel.receive(CONNECT_TIMEOUT_S)))
            except Exception as error:
                result.set_exception(error)

        threading.Thread(target=connect, daemon=True).start()
        return result

    def _check(self, kept: _Kept, spec: XSpec) -> None:
        about, ours = kept.about, pytest_microcloud.__version__
        install = f"{about['python']} -m pip install pytest-microcloud=={ours}"
        if not about["version"]:
            raise UserMistake(
                f"--tx {spec}: {about['python']} on that machine cannot import this plugin "
                f"({about['problem']}): install it there with `{install}`, or name another interpreter "
                "with //python=…"
            )
        if about["version"] != ours:
            raise UserMistake(
                f"--tx {spec}: that machine has pytest-microcloud {about['version']}, this machine {ours}: "
                f"install the same version on that machine with `{install}`"
            )
        if LOGIN in about["missing"]:
            raise UserMistake(f"--tx {spec}: ssh is not installed on that machine: apt-get install {LOGIN}")
        for package in about["missing"]:
            what = f"the gateway lacks the load generator, so serving will fail: apt-get install {package}"
            self._config.stash[SESSION].progress.announce(kept.site, what)

    def _end(self) -> list[str]:
        """Make all gateways remove the session's directories; return the sites that did not confirm this."""
        kept, self._kept = self._kept, {}
        left = []
        for one in kept.values():
            with suppress(OSError):
                one.channel.send(["end"])
        for one in kept.values():
            try:
                removed = one.channel.receive(END_TIMEOUT_S)
            except Exception:  # the connection broke: the gateway removes the directories by itself
                removed = False
            if not removed:
                left.append(one.site)
        self._group.terminate(timeout=5.0)
        return left


def _result(spec: XSpec, connecting: Future[_Kept]) -> _Kept:
    """Wait until the connection for a spec is open, and return it. Raises UserMistake if it fails."""
    try:
        return connecting.result(CONNECT_TIMEOUT_S)
    except TimeoutError:
        what = f"the machine did not respond within {CONNECT_TIMEOUT_S:.0f} s"
    except (execnet.HostNotFound, EOFError, OSError):  # each cause can raise any of these errors
        python = spec.python or "python"
        what = f"ssh cannot log in, or there is no {python} on that machine (choose another with //python=…)"
    except Exception as error:
        what = str(error).strip().splitlines()[-1]
    raise UserMistake(f"--tx {spec}: {what}. To test the login, run: {_by_hand(spec)}") from None


def _by_hand(spec: XSpec) -> str:
    return " ".join([*ssh_args(spec)[:-1], spec.python or "python", "-V"]) if spec.ssh else str(spec)


def _kept_alive(spec: str) -> list[str]:
    """Return the parts of a `--tx` spec, with KEEPALIVE added to the ssh part."""
    return [
        f"ssh={KEEPALIVE} {part.removeprefix('ssh=')}" if part.startswith("ssh=") else part
        for part in spec.split("//")
    ]


def _moved(spec: str, about: dict[str, Any]) -> str:
    """Return a worker's `--tx` spec, changed so that the worker uses the session's directories there."""
    kept = [part for part in _kept_alive(spec) if not part.startswith("chdir=")]
    run = about["run"]
    environment = {"TMPDIR": run, "XDG_RUNTIME_DIR": run, turns.DIRECTORY: about["temporary"]}
    return "//".join(
        [*kept, f"chdir={about['suites']}", *(f"env:{name}={value}" for name, value in environment.items())]
    )
