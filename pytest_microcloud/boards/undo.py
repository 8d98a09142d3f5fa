"""Reverts the changes on a board, whatever happens to the controller or the board in the meantime.

Before a change is made, a note is recorded in a ledger on the board's disk: the command that reverts the
change. The ledger is a directory that exists while a run works on the board. If a run finds a ledger, an
earlier run was interrupted by a killed controller or a power failure, and the new run executes the notes. The
script below runs entirely on the board, since the controller that wrote the notes may be gone.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pytest_microcloud.boards.command_line import as_root
from pytest_microcloud.controller.engine import LOCK_LABEL, RUN_LABEL
from pytest_microcloud.errors import BoardError

if TYPE_CHECKING:
    from pytest_microcloud.boards.link import Link

LEDGER = "/var/lib/microcloud"
UNDO_TIMEOUT_S = 900
"""Timeout for all notes together: dozens of containers and some images on a slow board with a slow card."""

# $1 is the engine's socket, $2 the note to execute; without $2, all notes are executed. The script prints one
# line for each change that could not be reverted, and keeps the note. If the board is also the controller of
# another run, that run's emulated boards have the label LOCK_LABEL: only that run may remove them.
_SCRIPT = rf"""
ledger={LEDGER} socket=$1
[ -d "$ledger" ] || exit 0

if command -v docker >/dev/null; then
    engine() {{ timeout -k 5 600 docker -H "unix://$socket" "$@"; }}
elif command -v podman >/dev/null; then
    engine() {{ timeout -k 5 600 podman --remote --url "unix://$socket" "$@"; }}
else
    # Without a command-line client on the board, send the commands that are used below to the engine's API.
    api() {{ curl -fsS --max-time 600 --unix-socket "$socket" "$@"; }}
    found() {{ # what parameter pattern
        answer=$(api -G "http://engine/$1" --data-urlencode "filters=$2") || return 1
        printf %s "$answer" | grep -oE "$3" | cut -d '"' -f 4
    }}
    labelled() {{ printf '{{"label":["%s"]}}' "${{1#label=}}"; }}
    each() {{ # path parameters names…
        path=$1 parameters=$2 status=0; shift 2
        for name in "$@"; do api -X DELETE "http://engine/$path/$name?$parameters" || status=1; done
        return $status
    }}
    engine() {{
        case "$1 $2" in
            "ps "*) found 'containers/json?all=1' "$(labelled "$4")" '"Id":"[0-9a-f]+"' ;;
            "rm "*) shift 2; each containers 'force=1&v=1' "$@" ;;
            "network ls") found networks "$(labelled "$5")" '"Id":"[0-9a-f]+"' ;;
            "network rm") shift 2; each networks '' "$@" ;;
            "volume ls") found volumes "$(labelled "$5")" '"Name":"[^"]+"' ;;
            "volume rm") shift 2; each volumes '' "$@" ;;
            "images "*) found images/json "{{\"reference\":[\"$3\"]}}" '"Id":"[^"]+"' ;;
            "rmi "*) each images '' "$2" ;;
        esac
    }}
fi

unload() {{ # image
    there=$(engine images -q "$1") || return 1
    [ -z "$there" ] || engine rmi "$1"
}}
sweep() {{ # what, how to list it, how to remove it
    ours=$(engine $2 --filter label={RUN_LABEL} 2>/dev/null) &&
        hosts=$(engine $2 --filter label={LOCK_LABEL} 2>/dev/null) ||
        {{ echo "$1 could not be listed: $(engine $2 2>&1 >/dev/null | tail -n 1)"; return 1; }}
    ours=$(printf '%s\n' "$ours" | grep -vxF "${{hosts:-none}}")
    [ -n "$ours" ] || return 0
    output=$(engine $3 $ours 2>&1 >/dev/null) || # no error if another session has removed them meanwhile
        {{ there=$(engine $2) && ! printf '%s\n' "$there" | grep -qxF "$ours"; }} ||
        {{ echo "$1 could not be removed: $(printf %s "$output" | tail -n 1)"; return 1; }}
}}
execute() {{ # note
    [ -f "$ledger/$1" ] || return 0
    if output=$(. "$ledger/$1" 2>&1 </dev/null); then
        rm -f "$ledger/$1"
    else
        echo "\`$(head -n 1 "$ledger/$1" | cut -c 1-200)\` failed: $(printf %s "$output" | tail -n 1)"
        return 1
    fi
}}

status=0
if [ $# = 2 ]; then execute "$2"; exit; fi
sweep containers 'ps -aq' 'rm -fv' || status=1
sweep networks 'network ls -q' 'network rm' || status=1
sweep volumes 'volume ls -q' 'volume rm' || status=1
rm -f "$ledger"/*.part
for note in $(ls -r "$ledger"); do execute "$note" || status=1; done
[ $status != 0 ] || rmdir "$ledger"
exit $status
"""

# The note must be on the disk before the change is made: a board may lose its power at any moment.
_NOTE = f"""
set -e
umask 077
mkdir -p {LEDGER}
last=$(ls {LEDGER} | sed 's/[.]part$//' | tail -n 1)
note=$(printf %05d $((1${{last:-00000}} - 100000 + 1)))
cat > {LEDGER}/$note.part
sync {LEDGER}/$note.part
mv {LEDGER}/$note.part {LEDGER}/$note
sync {LEDGER}
echo $note
"""


def script(socket: str) -> str:
    """Return a command line that reverts all changes on a board that has a ledger."""
    return f"[ ! -d {LEDGER} ] || {as_root(_line(socket))}"


def unload(image: str) -> str:
    """Return the command that removes an image. Note it in the ledger before the image is loaded."""
    return f"unload {shlex.quote(image)}"


class Ledger:
    """The notes on a board that describe how to revert its changes. Every method may raise BoardError."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def open(self) -> None:
        """Create the ledger's directory, which shows other runs that there may be changes to revert."""
        self._link.run(f"mkdir -p -m 700 {LEDGER} && sync {LEDGER}", root=True)

    def note(self, command: str) -> str:
        """Record the shell command that reverts a change, before making the change. Return the note's number.

        The command runs as root. It may be executed more than once, and even if the change was not made.
        """
        return self._link.run(_NOTE, root=True, stdin=command).stdout.strip()

    def revert(self, note: str) -> None:
        """Execute one note and delete it. Does nothing if the note has already been executed."""
        line = _line(self._link.endpoint.docker_socket, note)
        done = self._link.run(line, root=True, check=False, timeout_s=UNDO_TIMEOUT_S)
        if done.status != 0:
            output = (done.stdout or done.stderr).strip()
            raise BoardError(self._link.board, f"a change could not be reverted: {output}")


def _line(socket: str, *note: str) -> str:
    words = ["timeout", "-k", "5", str(UNDO_TIMEOUT_S), "sh", "-c", _SCRIPT, "microcloud-undo", socket, *note]
    return shlex.join(words)
