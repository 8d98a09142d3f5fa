"""Events between a pytest-xdist worker and its controller, for which pytest-xdist has no hook.

pytest-xdist does not document the names that are used here (`sendevent`, `item_index`, `handle_command`,
`process_from_remote`, `_clone_node`, `triggershutdown`, `worker_…`). Tests of sessions with workers fail if a
version changes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest
    from xdist.workermanage import WorkerController

INPUT = "microcloud"
"""The key of our data in pytest-xdist's input for a worker (`workerinput`)."""
NAME = "microcloud"
STOP = "microcloud-stop"
"""The command that makes a worker stop after its current test."""
Handler = Callable[["WorkerController", str, Any], None]


def sender(config: pytest.Config) -> Callable[[str, Any], None]:
    """Return the function `send(kind, data)`, by which a worker sends the controller an event."""
    interactor = _interactor(config)

    def send(kind: str, data: Any) -> None:
        interactor.sendevent(NAME, kind=kind, data=json.dumps(data, default=str))

    return send


def add_test(config: pytest.Config, session: pytest.Session, item: pytest.Item) -> None:
    """Add a test that was not collected to the session, so that the worker can report its outcome."""
    session.items.append(item)
    _interactor(config).item_index = len(session.items) - 1


def stop_on_command(config: pytest.Config) -> None:
    """Make this worker obey STOP: when the controller sends it, stop after the current test."""
    interactor = _interactor(config)
    usual = interactor.handle_command

    def handle(command: Any) -> None:
        if isinstance(command, tuple) and command[0] == STOP:
            interactor.session.shouldstop = command[1]["why"]
        else:
            usual(command)

    interactor.handle_command = handle


def stop_all_at_once(dsession: Any) -> None:
    """Send STOP to all workers when pytest-xdist stops, such as after a failure with -x.

    Without this, a worker would run all tests that it has been sent, which are all tests of its board.
    """
    usual = dsession.triggershutdown
    notified = set()

    def trigger() -> None:
        for node in dsession.sched.nodes if dsession.shouldstop else ():
            if node not in notified:
                notified.add(node)
                with suppress(OSError):  # the worker has ended
                    node.sendcommand(STOP, why=str(dsession.shouldstop))
        usual()

    dsession.triggershutdown = trigger


def _interactor(config: pytest.Config) -> Any:
    """Return pytest-xdist's plugin that runs the tests of a worker."""
    return next(plugin for plugin in config.pluginmanager.get_plugins() if hasattr(plugin, "sendevent"))


def handle_with(handler: Handler, dsession: Any) -> None:
    """Call `handler` for each event of a worker, in order, in the controller's main thread."""

    def worker_event(node: WorkerController, kind: str, data: str) -> None:
        handler(node, kind, json.loads(data))

    setattr(dsession, f"worker_{NAME}", worker_event)


def when_not_replaced(lost: Callable[[WorkerController, Exception], None], dsession: Any) -> None:
    """Call `lost` if a crashed worker cannot be replaced. By itself, pytest-xdist would end the session."""
    import execnet

    usual = dsession._clone_node

    def clone(node: WorkerController) -> None:
        try:
            usual(node)
        except (execnet.HostNotFound, execnet.RemoteError, EOFError, OSError) as error:
            lost(node, error)

    dsession._clone_node = clone


def listen(node: WorkerController) -> None:
    """Pass a worker's events on to `handle_with`'s handler, in order with pytest-xdist's own events."""
    usual = node.process_from_remote

    def process(event: Any) -> None:
        if isinstance(event, tuple) and event[0] == NAME:
            node.notify_inproc(NAME, node=node, **event[1])
        else:
            usual(event)

    node.process_from_remote = process
