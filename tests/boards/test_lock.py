"""The lock of a board on a real sshd: it has one holder, and is released when the holder ends."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.boards import lock as locks
from pytest_microcloud.boards.drivers.ssh import SshDriver
from pytest_microcloud.boards.link import Link
from pytest_microcloud.boards.lock import Lock, holder_of
from pytest_microcloud.boards.undo import LEDGER, Ledger
from pytest_microcloud.controller.workspace import Workspace, new_run_id
from pytest_microcloud.errors import BoardBusy, BoardError
from tests.support.driver_context import context

if TYPE_CHECKING:
    from pytest_microcloud.inventory.target import Target
    from tests.conftest import NewRealBoard
    from tests.support.real import RealBoard

pytestmark = pytest.mark.engine

FILE = "/run/lock/microcloud.lock"
PATIENCE_S = 60.0

Controller = Callable[..., Lock]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, grace_s=1)


@pytest.fixture
def controller(real_board: RealBoard) -> Iterator[Controller]:
    """Create a lock with a separate connection, as another controller would."""
    opened: list[tuple[Workspace, Link, Lock]] = []

    def make(
        *,
        name: str = "desk",
        run_id: str | None = None,
        board: RealBoard = real_board,
        say: list[str] | None = None,
        purpose: str = "",
    ) -> Lock:
        workspace = Workspace(new_run_id())
        workspace.open()
        link = Link(name, 0, workspace.path)
        link.open(SshDriver(context(target_of(board))).endpoint(), timeout_s=30)
        shown = [] if say is None else say
        lock = Lock(link, run_id or workspace.run_id, shown.append, purpose=purpose)
        opened.append((workspace, link, lock))
        return lock

    yield make
    for workspace, link, lock in opened:
        lock.drop()
        link.close()
        workspace.close()
    wait_until(lambda: not real_board.shell("pgrep -f microcloud-[k]eeper", check=False))


def target_of(board: RealBoard) -> Target:
    return board.in_rack().targets[board.name]


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_second_controller_is_shown_the_holder_and_since_when(controller: Controller) -> None:
    first, second = controller(run_id="20260101T000000-aaaa"), controller()
    first.take()
    assert first.held
    today = time.strftime("%Y-%m-%d %H:%M", time.localtime())[:-1]
    with pytest.raises(
        BoardBusy, match=rf"desk: is in use by \S+@\S+ \(run 20260101T000000-aaaa\) since {today}"
    ):
        second.take()
    assert not second.held
    first.release()
    second.take()
    assert second.held


def test_the_holder_is_shown_without_taking_the_lock(controller: Controller, real_board: RealBoard) -> None:
    first, second = controller(run_id="first", purpose="pytest suites/"), controller()
    assert holder_of(second._link) is None
    first.take()
    holder = holder_of(second._link)
    assert holder is not None
    assert (holder.run_id, holder.board, holder.purpose) == ("first", "desk", "pytest suites/")
    assert abs(holder.since - time.time()) < PATIENCE_S
    with pytest.raises(BoardBusy, match=r"since \S+ \S+ for `pytest suites/`: wait for it"):
        second.take()
    assert first.held
    real_board.shell(f"sed -i 's/ pytest.*//' {FILE}")  # as earlier versions write it
    earlier = holder_of(second._link)
    assert earlier is not None
    assert (earlier.who, earlier.purpose) == (holder.who, "")
    real_board.shell("pkill -KILL -f microcloud-[k]eeper")
    assert holder_of(second._link) is None


def test_a_worker_takes_over_the_lock_of_its_controller(controller: Controller) -> None:
    first, worker, other = (controller(run_id=run_id) for run_id in ("a-run", "a-run-gw1", "b-run-gw1"))
    first.take()
    with pytest.raises(BoardBusy):
        other.take()
    worker.take()
    assert worker.held
    wait_until(lambda: not first.held)
    with pytest.raises(BoardBusy, match=r"\(run a-run-gw1\)"):
        other.take()
    with pytest.raises(BoardBusy):
        first.take()


def test_a_lock_that_is_passed_on_is_left_to_the_keeper_that_waits_for_it(
    controller: Controller, real_board: RealBoard
) -> None:
    lock = controller()
    real_board.shell("bash -c 'exec -a microcloud-keeper sleep 600' >/dev/null 2>&1 &")
    pid = real_board.shell("pgrep -f '^microcloud-[k]eeper'").strip()
    real_board.shell(f"echo '1 passing {pid} a-run desk anna@lab' > {FILE}; chmod 666 {FILE}")
    with pytest.raises(BoardBusy, match=r"is in use by anna@lab \(run a-run\)"):
        lock.take()
    real_board.shell(f"kill {pid}")
    lock.take()
    assert lock.held


def test_waiting_for_the_lock_is_announced(controller: Controller) -> None:
    messages: list[str] = []
    first, second = controller(run_id="first"), controller(say=messages)
    first.take()
    started = time.monotonic()
    with pytest.raises(BoardBusy):
        second.take(wait_s=1)
    assert time.monotonic() - started > 1
    assert messages[0].startswith("is in use by ")
    assert messages[0].endswith("waiting at most 1 s")
    assert len(messages) == 1


def test_a_session_that_waits_names_the_holder_every_minute(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "SAY_EVERY_S", 1.0)
    monkeypatch.setattr(locks, "POLL_S", 0.5)
    messages: list[str] = []
    first, second = controller(run_id="first"), controller(say=messages)
    first.take()
    with pytest.raises(BoardBusy):
        second.take(wait_s=4)
    assert len(messages) >= 3
    assert all(re.match(r"is in use by \S+@\S+ \(run first\) since ", message) for message in messages)
    assert re.search(r": waiting for [1-3] s, at most 4 s$", messages[1])


def test_releasing_the_lock_leaves_no_trace(controller: Controller, real_board: RealBoard) -> None:
    lock = controller()
    before = real_board.shell(f"ls /run/lock {LEDGER} 2>&1", check=False)
    lock.take()
    assert real_board.shell(f"cat {FILE}")
    lock.release()
    assert not lock.held
    assert real_board.shell(f"ls /run/lock {LEDGER} 2>&1", check=False) == before
    lock.release()


def test_the_lock_is_released_soon_after_its_controller_dies(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, grace_s=2)
    messages: list[str] = []
    first, second = controller(run_id="first"), controller(say=messages)
    first.take()
    first._link.close()  # as when the process is killed: ssh is gone, and no message was sent
    second.take()
    assert second.held
    assert messages[0].startswith("is being cleaned up after ")


def test_the_lock_is_released_soon_after_a_controller_falls_silent(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, grace_s=1, silence_s=2)
    first, second = controller(run_id="first"), controller()
    first.take()  # its next sign of life is later than that
    with pytest.raises(BoardBusy):
        second.take()
    second.take(wait_s=PATIENCE_S)
    assert second.held


def test_a_controller_that_lives_keeps_it(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, grace_s=0, silence_s=2)
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.5)
    first, second = controller(run_id="first"), controller()
    first.take()
    with pytest.raises(BoardBusy):
        second.take(wait_s=5)
    assert first.held


def test_a_new_connection_of_the_same_run_takes_over_its_lock(controller: Controller) -> None:
    first, second = (controller(run_id="one-run") for _ in range(2))
    first.take()
    Ledger(first._link).open()
    first._link.close()
    second.take(leave=True)
    assert second.held
    assert second._link.run(f"ls {LEDGER}", root=True).status == 0
    second.release()
    assert second._link.run(f"ls {LEDGER}", root=True, check=False).status != 0


@pytest.mark.parametrize("processes", [("one-run", "one-run"), ("one-run-gw0", "one-run-gw1")])
def test_two_names_of_one_machine_are_found_out(controller: Controller, processes: tuple[str, str]) -> None:
    first, second = (
        controller(run_id=run_id, name=name)
        for run_id, name in zip(processes, ("desk", "shelf"), strict=True)
    )
    first.take()
    with pytest.raises(BoardBusy, match="shelf: is the same machine as desk: remove one of the names"):
        second.take(wait_s=PATIENCE_S)


def test_the_file_that_another_user_left_is_locked_and_written_to(
    controller: Controller, new_real_board: NewRealBoard
) -> None:
    pirate = new_real_board("ship", user="pirate")
    first, second = (controller(board=pirate, run_id=run_id) for run_id in ("first", "second"))
    first.take()
    pirate.shell("pkill -KILL -f microcloud-[k]eeper")
    pirate.shell(f"chown root: {FILE}")  # in a sticky directory, where the kernel may protect it
    second.take()
    assert " second " in pirate.shell(f"cat {FILE}")
    second.release()
    assert not second.held


def test_hostile_text_in_the_lock_file_is_shown_as_text_and_kills_no_process(
    controller: Controller, real_board: RealBoard
) -> None:
    first, second = controller(run_id="first"), controller(run_id="second")
    first.take()
    real_board.shell(f"printf 'never busy -1 second desk\033[31m$(touch /tmp/owned)' > {FILE}")
    with pytest.raises(BoardBusy) as caught:
        second.take()
    assert str(caught.value).isprintable()
    real_board.shell(f"printf 'never busy -1 second desk who' > {FILE}")
    with pytest.raises(BoardBusy):
        second.take()
    assert first.held
    assert real_board.shell("ls /tmp/owned", check=False).startswith("ls: cannot access")


def test_changes_that_stay_are_reported_when_the_lock_is_released(controller: Controller) -> None:
    lock = controller()
    lock.take()
    ledger = Ledger(lock._link)
    ledger.note("echo no such luck >&2; exit 3")
    with pytest.raises(BoardError, match=r"desk: `echo no such luck .*` failed: no such luck"):
        lock.release()
    lock.take()
    lock._link.run(f"rm -r {LEDGER}", root=True)


def shorten(monkeypatch: pytest.MonkeyPatch, *, grace_s: int, silence_s: int = locks.SILENCE_S) -> None:
    keeper = locks._KEEPER.replace(f"sleep {locks.GRACE_S} ", f"sleep {grace_s} ")
    monkeypatch.setattr(locks, "_KEEPER", keeper.replace(f"-t {locks.SILENCE_S} ", f"-t {silence_s} "))
