"""The lock that limits a board to one session at a time, from any controller.

The lock is a file on the board. Over SSH, the session starts a process on the board, the keeper, which holds
the file locked for as long as it receives heartbeats on its standard input. If the session is killed, the
keeper notices at once. If the controller loses its power or network, the keeper notices within `SILENCE_S`.
The keeper then reverts the changes on the board and releases the lock.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import select
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_microcloud.boards import undo
from pytest_microcloud.boards.plain_text import text
from pytest_microcloud.controller.workspace import whole_run
from pytest_microcloud.errors import BoardBusy, BoardError, DeadlineExceeded, LinkError, ToolMissing

if TYPE_CHECKING:
    from pytest_microcloud.boards.link import Link

HEARTBEAT_S = 10
SILENCE_S = 60
"""After this time without a heartbeat, a keeper assumes that its controller is dead."""
GRACE_S = 20
"""How long a keeper waits after its connection broke, for commands to end or for the session to reconnect."""
TIDYING_S = 180.0
"""A session waits at least this long for a keeper that cleans up after a dead controller."""
ANSWER_TIMEOUT_S = 30.0
POLL_S = 2.0
SAY_EVERY_S = 60.0
LONGEST = 500
"""Maximum length of an error message of a keeper, in characters."""
TIME = re.compile(r"\d+(\.\d+)?")

# The file has one line with these fields: the board's uptime when the lock was taken (s), the keeper's state,
# the keeper's process id, the run's id, the board's name in the inventory, the user and controller, and what
# the board is used for. Earlier versions write no last field, and read it as part of the field before it.
_FILE = r"""
[ -k /run/lock ] && file=/run/lock/microcloud.lock || file=/tmp/microcloud.lock
read -r now _ </proc/uptime
holder() { read -r since state pid its_run its_board its_who <"$file" && pid=${pid//[^0-9]/}; }
alive() { grep -qa microcloud-keeper "/proc/$pid/cmdline" 2>/dev/null; }
busy() { echo "busy $now $since $state $its_run $its_board $its_who"; exit; }
"""

# This script does not need the lock. The board is in use if the keeper that the file names is alive.
_SHOW = f"""{_FILE}
[ -e "$file" ] && holder && alive && busy
exit 0
"""

# The keeper needs bash for `read -t`; every Debian has the other programs. The shell opens the file only
# for reading and dd writes to it, because the kernel refuses O_CREAT on another user's file in a sticky
# directory.
_KEEPER = (
    r"""
run=$1 board=$2 who=$3 undo=$4 leave=$5
trap '' HUP PIPE
umask 0
"""
    + _FILE
    + r"""
take() { # retries if it locked a deleted file: a holder deletes the file before it releases the lock
    while :; do
        (set -C; : >"$file") 2>/dev/null
        complaint=$({ : <"$file"; } 2>&1) && { exec 9<"$file"; } 2>/dev/null || {
            [ $((tries += 1)) -lt 9 ] && continue # the previous holder has just removed it
            return 1
        }
        complaint=$(flock "$@" 9 2>&1) || return # no message if another process has the lock
        [ "$file" -ef /proc/self/fd/9 ] && return
    done
}
state() { echo "$now $1 $$ $run $board $who" | dd of="$file" conv=nocreat status=none; }

failed() { echo "cannot ${complaint//$'\n'/; }"; exit; }
ours() { # the lock of this run, whose connection broke, or of its pytest-xdist controller
    [ "$its_board" = "$board" ] && case $run in "$its_run" | "$its_run"-gw*) true ;; *) false ;; esac
}

if take -n; then
    holder
    [ "$state" = passing ] && alive && busy # the lock is being passed to another keeper
else
    [ ! "$complaint" ] || failed
    holder
    # If the holder is an earlier keeper of our run, and it is reverting changes, wait until it ends, because
    # its commands would continue without it. If it is not reverting changes, kill it. The state "passing"
    # keeps other keepers from taking the lock before us.
    ours && alive && { [ "$state" = undoing ] || { state passing; kill -9 "$pid"; }; } && take -w UNDOING || {
        [ ! "$complaint" ] || failed
        busy
    }
fi
state busy
if [ ! "$leave" ] && [ -d LEDGER ]; then
    sh -c "$undo" 2>&1 9<&-
    [ -d LEDGER ] || echo undone
fi
echo held

while read -r -t SILENCE word; do [ "$word" = end ] && ended=1; done
state tidying
[ "$ended" ] || sleep GRACE 9<&-
state undoing
sh -c "$undo" 2>&1 9<&-
rm -f "$file" || exit 0 # another user's file, from a killed keeper: it is no longer locked
""".replace("SILENCE", str(SILENCE_S))
    .replace("GRACE", str(GRACE_S))
    .replace("UNDOING", str(undo.UNDO_TIMEOUT_S))
    .replace("LEDGER", undo.LEDGER)
)

_NEEDS_BASH = "command -v bash >/dev/null || { echo 'cannot bash: not found'; exit; }\n"


@dataclass(frozen=True)
class Holder:
    """The session that has locked a board, since the time `since` (s since the epoch, controller's clock).

    `tidying` is whether the session has ended and the board is being cleaned up.
    """

    since: float
    tidying: bool
    run_id: str
    board: str
    who: str
    purpose: str = ""

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.since))
        purpose = f" for `{self.purpose}`" if self.purpose else ""
        return f"{self.who} (run {self.run_id}) since {since}{purpose}"


def holder_of(link: Link) -> Holder | None:
    """Return the holder of a board's lock, or None, without waiting for the lock. Raises BoardError."""
    line = link.run(f"exec bash -c {shlex.quote(_SHOW)}", root=True).stdout.strip()
    return _holder(line) if line.startswith("busy ") else None


class Lock:
    """The lock of one board for one run; `say` shows the reason for waiting.

    `purpose` says in a few words what the board is used for. It is shown to other sessions.
    """

    def __init__(self, link: Link, run_id: str, say: Callable[[str], None], *, purpose: str = "") -> None:
        self._link = link
        self._run_id = run_id
        self._say = say
        self._purpose = purpose
        self._keeper: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._released = threading.Event()

    @property
    def held(self) -> bool:
        """Whether the connection that holds the lock is open."""
        return self._keeper is not None and self._keeper.poll() is None

    def take(self, *, wait_s: float = 0.0, leave: bool = False) -> None:
        """Take the lock, and revert changes that were left on the board unless `leave` is true.

        `wait_s` is how long to wait for another session to release the lock (s). While a board is being
        cleaned up after that session, the timeout is at least TIDYING_S. Raises BoardBusy with a message that
        names the holder.
        """
        started, reported, reported_s = time.monotonic(), "", 0.0
        while holder := self._try(leave=leave):
            if whole_run(holder.run_id) == whole_run(self._run_id) and holder.board != self._link.board:
                raise BoardBusy(
                    self._link.board,
                    f"is the same machine as {holder.board}: remove one of the names from the inventory",
                )
            timeout_s = max(wait_s, TIDYING_S) if holder.tidying else wait_s
            waited_s = time.monotonic() - started
            if waited_s >= timeout_s:
                raise BoardBusy(
                    self._link.board,
                    f"is in use by {holder}: wait for it with --microcloud-wait=SECONDS, or choose another "
                    "board",
                )
            what = "is being cleaned up after" if holder.tidying else "is in use by"
            if what != reported:
                self._say(f"{what} {holder}: waiting at most {timeout_s:.0f} s")
                reported, reported_s = what, waited_s
            elif waited_s - reported_s >= SAY_EVERY_S:
                self._say(f"{what} {holder}: waiting for {waited_s:.0f} s, at most {timeout_s:.0f} s")
                reported_s = waited_s
            time.sleep(POLL_S)

    def release(self) -> None:
        """Revert all changes and release the lock. Raises BoardError if a change could not be reverted."""
        keeper = self._keeper
        if keeper is None:
            return
        self._released.set()
        try:
            output, _ = keeper.communicate(b"end\n", timeout=undo.UNDO_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise DeadlineExceeded(
                self._link.board, f"did not revert the run's changes within {undo.UNDO_TIMEOUT_S} s"
            ) from None
        finally:
            status = keeper.poll()
            self.drop()
        if complaints := _lines(self._unread + output):
            raise BoardError(self._link.board, "; ".join(complaints))
        if status != 0:
            raise LinkError(
                self._link.board, "the connection broke before the changes on the board were reverted"
            )

    def drop(self) -> None:
        """Close the connection that holds the lock. The keeper on the board then reverts the changes."""
        keeper, self._keeper = self._keeper, None
        self._released.set()
        if keeper is None:
            return
        keeper.kill()
        keeper.wait()
        for pipe in (keeper.stdin, keeper.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _try(self, *, leave: bool) -> Holder | None:
        """Try once to take the lock. Return None on success, otherwise the holder of the lock."""
        self.drop()
        undo_line = undo.script(self._link.endpoint.docker_socket)
        arguments = [self._run_id, self._link.board, f"{_controller()} {self._purpose}", undo_line]
        words = ["bash", "-c", _KEEPER, "microcloud-keeper", *arguments, "leave" if leave else ""]
        keeper = self._link.start(f"{_NEEDS_BASH}exec {shlex.join(words)}")
        self._keeper = keeper
        self._released, self._unread = threading.Event(), b""
        threading.Thread(target=_feed, args=(keeper, self._released), daemon=True).start()
        try:
            return self._answer(keeper)
        except BaseException:
            self.drop()
            raise

    def _answer(self, keeper: subprocess.Popen[bytes]) -> Holder | None:
        deadline = time.monotonic() + undo.UNDO_TIMEOUT_S + ANSWER_TIMEOUT_S
        while (line := self._line(keeper, deadline)) != "held":
            if line is None:
                status = keeper.wait(5)
                what = "the connection broke" if status == 255 else f"the lock's process exited with {status}"
                raise LinkError(self._link.board, f"its lock could not be taken: {what}")
            if line.startswith("cannot "):
                raise _lock_error(self._link.board, text(line.removeprefix("cannot "), LONGEST) or "?")
            if line.startswith("busy "):
                self.drop()
                return _holder(line)
            if line == "undone":
                self._say("reverted the changes of an interrupted run")
            else:
                self._say(f"could not revert a change of an interrupted run: {text(line, LONGEST)}")
        return None

    def _line(self, keeper: subprocess.Popen[bytes], deadline: float) -> str | None:
        """Return the next line of the keeper's output; None at its end. Raises DeadlineExceeded."""
        if keeper.stdout is None:
            return None
        while b"\n" not in self._unread:
            if not select.select([keeper.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise DeadlineExceeded(self._link.board, "did not report whether its lock is free")
            part = os.read(keeper.stdout.fileno(), 4096)
            if not part:
                return None
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode(errors="replace")


def _controller() -> str:
    user = str(os.getuid())
    with contextlib.suppress(KeyError, OSError):  # a user without a name
        user = getpass.getuser()
    return f"{''.join(user.split())}@{socket.gethostname()}"


def _holder(line: str) -> Holder:
    """Parse a keeper's report of another holder. The report is untrusted: any user can write to the file."""
    now, since, state, *names = [*line.split(" ", 6)[1:], *[""] * 6][:6]
    held_s = float(now) - float(since) if TIME.fullmatch(now) and TIME.fullmatch(since) else 0.0
    who, _, purpose = names.pop().strip().partition(" ")
    run_id, board, user = (text(name) or "?" for name in (*names, who))
    tidying = state in ("tidying", "undoing")
    return Holder(time.time() - held_s, tidying, run_id, board, user, text(purpose) or "")


def _lock_error(board: str, complaint: str) -> BoardError:
    """Return the error for a lock that a keeper cannot take although no other session has it."""
    if "not found" in complaint:
        what = f"its lock needs bash, and flock of util-linux ({complaint})"
        return ToolMissing(board, f"{what}: run `apt-get install bash util-linux` on the board")
    return BoardError(
        board,
        f"its lock could not be taken ({complaint}): allow the user to read and lock microcloud.lock in "
        "/run/lock or /tmp on the board",
    )


def _feed(keeper: subprocess.Popen[bytes], released: threading.Event) -> None:
    """Send heartbeats to the keeper until the lock is released or the connection breaks."""
    with contextlib.suppress(OSError, ValueError):  # the connection broke, or was closed
        while keeper.stdin is not None and not released.wait(HEARTBEAT_S):
            keeper.stdin.write(b"\n")
            keeper.stdin.flush()


def _lines(output: bytes) -> list[str]:
    lines = (text(line, LONGEST) for line in output.decode(errors="replace").splitlines())
    return [line for line in lines if line]
