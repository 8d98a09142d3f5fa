"""Installs the programs of experiments on a board with apt, for the duration of a run.

First, apt simulates the installation. The ledger records the packages that apt would add, and exactly these
packages are purged at the end. An installation that would change or remove an existing package is refused.
apt uses a separate directory for lists, downloads and records, so that the board's own files stay unchanged.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from pytest_microcloud.boards.preflight import by_hand, missing
from pytest_microcloud.errors import ToolMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_microcloud.boards.link import Link
    from pytest_microcloud.boards.undo import Ledger

ALWAYS = {"7z": "p7zip-full"}
"""A dict from programs to Debian packages, installed in addition to the tools of registered experiments."""
UPDATE_TIMEOUT_S = 600
INSTALL_TIMEOUT_S = 1800
"""Timeout of an installation: unpacking takes minutes on a board with one slow core and a slow card."""
DIRECTORY = "/var/tmp/microcloud-apt"  # noqa: S108 - on the board's disk, unlike /tmp
_APT = (
    "export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C; "
    f"mkdir -p {DIRECTORY}/state/lists/partial {DIRECTORY}/cache/archives/partial && "
    f"apt-get -q -y -o Dir::State={DIRECTORY}/state -o Dir::Cache={DIRECTORY}/cache "
    "-o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold --no-install-recommends"
)
_PLANNED = re.compile(r"^(?P<what>Inst|Remv) (?P<package>\S+)(?P<upgrade> \[)?", re.MULTILINE)

# An experiment starts Apache itself; the installation must not start Apache now or at the next boot.
_INSTALL = f"""
systemctl mask -q --runtime apache2
{_APT} install "$@"; status=$?
systemctl unmask -q --runtime apache2
[ $status = 0 ] || exit $status
case " $* " in *" apache2 "*) systemctl disable -q apache2 ;; esac
"""

# dpkg removes the packages, because apt would also remove packages that were installed later and depend on
# them. dpkg does not wait for an interrupted apt that is still running, hence the retries.
_UNDO = """
systemctl unmask -q --runtime apache2
rm -rf {directory}
tries=60
until dpkg --force-remove-reinstreq --remove {coming} && {purge}; do
    tries=$((tries - 1)); [ $tries -gt 0 ] || exit 1
    sleep 5
done
"""


def install(link: Link, tools: Mapping[str, str], ledger: Ledger, say: Callable[[str], None]) -> None:
    """Install the programs of `tools` that the board lacks, and record in the ledger how to remove them.

    `tools` maps programs to Debian packages. Raises ToolMissing if a program cannot be installed.
    """
    tools = ALWAYS | dict(tools)
    absent = missing(link, tools)
    if not absent:
        return
    packages = [tools[tool] for tool in absent]
    say(f"installing {', '.join(packages)}")
    ledger.note(f"rm -rf {DIRECTORY}")
    link.run(f"{_APT} update", root=True, check=False, timeout_s=UPDATE_TIMEOUT_S)
    coming = _coming(link, packages)
    purge = shlex.join(["dpkg", "--purge", *new]) if (new := _new(link, coming)) else "true"
    ledger.note(_UNDO.format(directory=DIRECTORY, coming=shlex.join(coming), purge=purge))
    script = f"set -- {shlex.join(packages)}\n{_INSTALL}"
    done = link.run(script, root=True, check=False, timeout_s=INSTALL_TIMEOUT_S)
    if done.status != 0:
        raise _refused(link, packages, done.stderr)


def _coming(link: Link, packages: list[str]) -> list[str]:
    """Return the packages that apt would install: `packages` and their missing dependencies.

    Raises ToolMissing if apt would change or remove an installed package.
    """
    done = link.run(
        f"{_APT} --simulate install {shlex.join(packages)}", root=True, check=False, timeout_s=300
    )
    if done.status != 0:
        raise _refused(link, packages, done.stderr)
    planned = list(_PLANNED.finditer(done.stdout))
    if changed := sorted({step["package"] for step in planned if step["what"] == "Remv" or step["upgrade"]}):
        raise _refused(link, packages, f"apt would change {', '.join(changed)}, which cannot be reverted")
    return [step["package"] for step in planned]


def _new(link: Link, coming: list[str]) -> list[str]:
    """Return the packages of `coming` to purge later: those without configuration files on the board now."""
    asked = link.run(
        f"dpkg-query -W -f '${{db:Status-Abbrev}}${{Package}}\\n' {shlex.join(coming)}", check=False
    )
    remaining = {line.split()[-1] for line in asked.stdout.splitlines() if line.startswith("rc")}
    return [package for package in coming if package.partition(":")[0] not in remaining]


def _refused(link: Link, packages: list[str], output: str) -> ToolMissing:
    lines = output.strip().splitlines() or ["apt-get printed nothing"]
    return ToolMissing(
        link.board,
        f"{', '.join(packages)} cannot be installed for this run: {lines[-1]}. Run `{by_hand(packages)}` on "
        "the board",
    )
