"""The control: short, fixed loads whose times show whether a board has drifted (`catalog/control.toml`)."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_microcloud.boards.plain_text import text
from pytest_microcloud.catalog import Load, loads

if TYPE_CHECKING:
    from pytest_microcloud.boards.link import Link
    from pytest_microcloud.boards.undo import Ledger

DIRECTORY = "/var/tmp/microcloud-control"  # noqa: S108 - on the board's disk, unlike /tmp
DEADLINE_S = 30.0
"""Timeout of all loads together. They take about 3 s, and on the slowest model about 4 s."""
SETTLE_S = 3.0
"""Time for earlier operations of the session to finish, such as removing containers."""
PER_S = 100
"""How many units of time one second has in the script: /proc/uptime has two decimal places."""
LEAST = 5
"""The shortest measurable time that all passes of a load take together, in units of 1/PER_S seconds."""

# Another user may have created the directory, for example as a link to a place where root should not write.
_SCRIPT = f"""
PATH=$PATH:/usr/sbin:/sbin
rm -rf {DIRECTORY} && mkdir -m 700 {DIRECTORY} && cd {DIRECTORY} || exit
now() {{ read -r up _ </proc/uptime; now=$((${{up%.*}} * {PER_S} + 1${{up#*.}} - {PER_S})); }}
control() {{ # load, shortest time, most passes, programs…
    load=$1 least=$2 most=$3 passes=0; shift 3
    for program; do
        command -v "$program" >/dev/null || {{ echo "left $load the board has no $program"; return; }}
    done
    output=$(load_$load 2>&1 >/dev/null) ||
        {{ echo "left $load it failed: $(printf %s "$output" | tail -n 1)"; return; }}
    now; began=$now
    while [ $passes -lt $most ] && [ $((now - began)) -lt $least ]; do
        load_$load >/dev/null 2>&1 || {{ echo "left $load it failed after $passes passes"; return; }}
        passes=$((passes + 1)); now
    done
    echo "took $load $passes $((now - began))"
}}
"""


@dataclass(frozen=True)
class Reading:
    """The times of the control's loads on a board, measured once.

    `times_s` maps each load to the time of one pass (s). `left_out` maps the loads that were not timed to the
    reasons. `doubts` are the reasons why a measurement at the same time would have been invalid.
    """

    times_s: Mapping[str, float]
    left_out: Mapping[str, str]
    doubts: tuple[str, ...] = ()


def run(link: Link, ledger: Ledger) -> Reading:
    """Run all loads of the control, one after another, and return their times. Raises BoardError."""
    note = ledger.note(f"rm -rf {DIRECTORY}")
    try:
        done = link.run(script(loads().values()), root=True, timeout_s=DEADLINE_S)
    finally:
        ledger.revert(note)
    return parsed(done.stdout)


def script(of: Iterable[Load]) -> str:
    """Return the shell script that runs these loads and prints one line per load (see `parsed`)."""
    functions, calls = [], []
    for load in of:
        functions.append(f"load_{load.id}() {{\n{load.command}\n}}")
        words = (load.id, str(round(load.seconds * PER_S)), str(load.most), *load.needs)
        calls.append(f"control {shlex.join(words)}")
    return "\n".join([_SCRIPT, *functions, *calls])


def parsed(output: str) -> Reading:
    """Parse the output of `script`: lines `took LOAD PASSES HUNDREDTHS-OF-A-SECOND` or `left LOAD REASON`."""
    times_s: dict[str, float] = {}
    left_out = dict.fromkeys(loads(), "it did not finish")
    for line in output.splitlines():
        kind, _, rest = line.partition(" ")
        load, _, said = rest.partition(" ")
        if load not in left_out:
            continue
        if kind == "left":
            left_out[load] = text(said) or "it failed"
        elif kind == "took":
            passes, hundredths = _whole(said)
            if passes and hundredths >= LEAST:
                times_s[load] = hundredths / PER_S / passes
                del left_out[load]
            else:
                left_out[load] = "it was too fast for the board's clock"
    return Reading(times_s, left_out)


def _whole(said: str) -> tuple[int, int]:
    passes, _, hundredths = said.partition(" ")
    return (int(passes), int(hundredths)) if passes.isdecimal() and hundredths.isdecimal() else (0, 0)
