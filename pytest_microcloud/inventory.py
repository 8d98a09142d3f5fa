"""From an Ansible inventory (`hosts.ini`) and a pattern of hosts to targets.

`ansible-inventory` reads the file, so that groups, ranges, `:children`, `:vars` and group_vars mean what they
mean to Ansible. It runs as a program of its own, since Ansible's licence is not this package's.
"""

from __future__ import annotations

import getopt
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any

from pytest_microcloud.errors import InventoryError

TIMEOUT_S = 60.0
VARIABLES = (
    "microcloud_cpu_share",
    "microcloud_docker_socket",
    "microcloud_driver",
    "microcloud_flash",
    "microcloud_image",
    "microcloud_install",
    "microcloud_model",
    "microcloud_power_cycle",
    "microcloud_rate_mbps",
    "microcloud_rtt_ms",
)
"""All variables that are ours; whatever else begins like them is a slip of the pen."""
BOOLEANS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)

# A host's name stands in ssh_config, in file names and in testinfra's specs.
NAME = re.compile(r"\w[\w.-]*")
# What OpenSSH from 9.6 on refuses as host and user, so that neither is read as an option of ssh or by the
# shell of a ProxyCommand.
UNSAFE = re.compile(r"""^-|[\s\0-\x1f\x7f'`"$;&<>|(){}]|\\$""")
SOCKET = re.compile(r"/[\w.+@/-]*")  # ssh takes `:`, `%` and `$` for its own
SSH_OPTIONS = "46AaB:b:Cc:D:F:I:i:J:KkL:l:m:o:p:qR:vXxYy"
"""ssh's options that say how a host is reached, in getopt's terms; the others would take its place."""

# Whatever an ansible.cfg or the user's shell says: plain JSON of the whole file, or an exit code.
ENVIRONMENT = {
    "ANSIBLE_DEBUG": "0",
    "ANSIBLE_FORCE_COLOR": "0",
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
    "ANSIBLE_INVENTORY_ENABLED": "ini",
    "ANSIBLE_INVENTORY_EXPORT": "0",
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1",
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS": "ignore",
    "ANSIBLE_VERBOSITY": "0",
    "LC_ALL": "C.UTF-8",  # Ansible refuses a locale that is not installed or not UTF-8
}


@dataclass(frozen=True)
class Target:
    """One host of the inventory with its variables; nothing is connected yet.

    `model` is a board model's id in the catalog, `variables` are the host's own and its groups' as Ansible
    merges them, and `groups` are those that it is in, the nearest first.
    Raises InventoryError when it is made, if a variable that is used here is of the wrong kind.
    """

    name: str
    model: str
    driver: str
    # A password may be among them, and pytest shows what things look like when a test fails.
    variables: Mapping[str, object] = field(default_factory=dict, hash=False, repr=False)
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise InventoryError(
                f"host {self.name!r}: a name should be of letters, digits, `.`, `-` and `_`; "
                "put an address into ansible_host"
            )
        for name in self.variables:
            if name.startswith("microcloud_") and name not in VARIABLES:
                raise InventoryError(
                    f"host {self.name!r}: no variable is named {name!r}{_nearest([name], VARIABLES)} "
                    f"(there are: {_listed(VARIABLES)})"
                )
        for name, value in vars(Target).items():
            if isinstance(value, property):
                getattr(self, name)

    @property
    def address(self) -> str:
        """Where SSH finds it: `ansible_host`, else its name; maybe one that only ssh's config knows."""
        return self._word("ansible_host", "a host's address or name") or self.name

    @property
    def port(self) -> int | None:
        """SSH's port: `ansible_port`."""
        port = self._number("ansible_port", "a port from 1 to 65535", 1, 65535)
        if port is not None and not port.is_integer():
            raise self._wrong("ansible_port", "a port from 1 to 65535")
        return None if port is None else int(port)

    @property
    def user(self) -> str | None:
        """Who logs in: `ansible_user`."""
        return self._word("ansible_user", "a user's name")

    @property
    def private_key_file(self) -> str | None:
        """SSH's identity file: `ansible_ssh_private_key_file`."""
        return self._text("ansible_ssh_private_key_file")

    @property
    def ssh_arguments(self) -> tuple[str, ...]:
        """Further options for ssh: `ansible_ssh_common_args`, then `ansible_ssh_extra_args`."""
        return self._ssh_options("ansible_ssh_common_args") + self._ssh_options("ansible_ssh_extra_args")

    @property
    def become(self) -> bool:
        """Whether commands need sudo: `ansible_become`."""
        return self._yes("ansible_become")

    @property
    def install(self) -> bool:
        """Whether what experiments need may be installed for as long as a run lasts: `microcloud_install`."""
        return self._yes("microcloud_install")

    @property
    def docker_socket(self) -> str | None:
        """Where the engine's socket is on the board, if not at Docker's usual place."""
        path = self._text("microcloud_docker_socket")
        if path is not None and not SOCKET.fullmatch(path):
            raise self._wrong("microcloud_docker_socket", "the path of a socket, such as /run/docker.sock")
        return path

    @property
    def image(self) -> str | None:
        """What an emulated board is made from, or a real one was flashed with: `microcloud_image`."""
        return self._text("microcloud_image")

    @property
    def flash(self) -> str | None:
        """A command on the controller that writes an OS image onto the board: `microcloud_flash`.

        It finds the image, as `microcloud_image` names it, in the environment variable MICROCLOUD_IMAGE.
        """
        return self._command("microcloud_flash")

    @property
    def cpu_share(self) -> float:
        """How much of its model's CPU an emulated board gets, from `microcloud_cpu_share`; usually all."""
        wanted = "a share of the model's CPU, such as 0.8; only an emulated board can be given one"
        share = self._number("microcloud_cpu_share", wanted, 0.001, 1.0)
        if share is not None and self.driver == "ssh":
            raise self._wrong("microcloud_cpu_share", wanted)
        return 1.0 if share is None else share

    @property
    def round_trip_s(self) -> float | None:
        """Round trip of an emulated board's link, from `microcloud_rtt_ms`; None means its model's own."""
        milliseconds = self._number("microcloud_rtt_ms", "a round trip in ms, such as 12.5", 0)
        return None if milliseconds is None else milliseconds / 1000

    @property
    def link_bits_per_s(self) -> float | None:
        """Rate of an emulated board's link, from `microcloud_rate_mbps`; None means its model's own."""
        megabits = self._number("microcloud_rate_mbps", "a rate in Mbit/s, such as 94", 0.001)
        return None if megabits is None else megabits * 1e6

    @property
    def power_cycle(self) -> str | None:
        """A command on the controller that cuts and restores its power: `microcloud_power_cycle`."""
        return self._command("microcloud_power_cycle")

    def _text(self, variable: str) -> str | None:
        value = self.variables.get(variable)
        if isinstance(value, dict | list):
            raise self._wrong(variable, "a plain text")
        if "{{" in str(value):
            raise self._wrong(variable, "the value itself, as Ansible's templates are not evaluated here")
        return None if value in (None, "") else str(value)

    def _command(self, variable: str) -> str | None:
        """Return a command, run without a shell; a wrong one is not quoted, as it may hold passwords."""
        text = self._text(variable)
        try:
            if text is None or any(shlex.split(text)[:1]):
                return text
            wrong = "is blank"
        except ValueError as error:
            wrong = f"cannot be split into words ({error})"
        raise InventoryError(
            f"host {self.name!r}: {variable} should be a command and its arguments, quoted as for a shell, "
            f"but {wrong}"
        )

    def _word(self, variable: str, wanted: str) -> str | None:
        text = self._text(variable)
        if text is not None and UNSAFE.search(text):
            raise self._wrong(variable, f"{wanted}, without spaces, quotes and a leading `-`")
        return text

    def _yes(self, variable: str) -> bool:
        word = (self._text(variable) or "no").lower()
        if word not in BOOLEANS:
            raise self._wrong(variable, "yes or no")
        return BOOLEANS[word]

    def _ssh_options(self, variable: str) -> tuple[str, ...]:
        try:
            options, more = getopt.getopt(shlex.split(self._text(variable) or ""), SSH_OPTIONS)
        except (ValueError, getopt.GetoptError) as error:
            raise self._wrong(variable, f"options of ssh that say how it is reached ({error})") from None
        if more:
            raise self._wrong(variable, f"options of ssh, and {more[0]!r} belongs to none")
        # How much ssh says is not theirs to choose: what it says tells one failure from another.
        return tuple(word for option in options if option[0] not in ("-q", "-v") for word in option if word)

    def _number(self, variable: str, wanted: str, least: float, most: float = math.inf) -> float | None:
        try:
            text = self._text(variable)
            number = None if text is None else float(text)
        except ValueError:
            raise self._wrong(variable, wanted) from None
        if number is not None and not (least <= number <= most and math.isfinite(number)):
            raise self._wrong(variable, wanted)
        return number

    def _wrong(self, variable: str, wanted: str) -> InventoryError:
        return InventoryError(
            f"host {self.name!r}: {variable}={_quoted(self.variables[variable])} should be {wanted}"
        )


def read(
    file: Path, pattern: str, models: Collection[str], drivers: Collection[str] = ("ssh", "container")
) -> list[Target]:
    """Return the hosts of an inventory that one of Ansible's patterns chooses, in the inventory's order.

    `pattern` is a list, with commas, of host names, groups, `all`, wildcards (`pi*`), exclusions (`!pi2b`)
    and intersections (`&lab`).
    Raises InventoryError if the file cannot be read, a word of the pattern stands for no host, no host is
    left, or a chosen host has no model that is in `models` or a driver that is not in `drivers`.
    """
    inventory = _Inventory(file, _listing(file))
    return [_target(inventory, host, models, drivers) for host in inventory.choose(pattern)]


def holds_boards(file: Path, pattern: str, models: Collection[str]) -> bool:
    """Tell whether a chosen host, or any if the choice is wrong, has a board model or a variable of ours.

    Raises InventoryError for a file that cannot be read.
    """
    listed = _Inventory(file, _listing(file))
    try:
        chosen = listed.choose(pattern)
    except InventoryError:
        chosen = listed.hosts
    groups = {group for host in chosen for level in listed.groups_of(host) for group in level}
    variables = {name for host in chosen for name in listed.variables.get(host, {})}
    return bool(groups & set(models)) or any(name.startswith("microcloud_") for name in variables)


class _Inventory:
    """What `ansible-inventory --list` tells: the groups, who is in them, and everybody's variables."""

    def __init__(self, file: Path, listing: dict[str, Any]) -> None:
        self.file = file
        self.variables: dict[str, dict[str, object]] = listing["_meta"]["hostvars"]
        groups = {name: group for name, group in listing.items() if name != "_meta"}
        self._named: dict[str, list[str]] = {name: group.get("hosts", []) for name, group in groups.items()}
        self._below: dict[str, list[str]] = {
            name: group.get("children", []) for name, group in groups.items()
        }
        self.groups = _unique(self._below, *self._below.values())  # an empty group only stands among children
        self.hosts = self.members("all")

    def members(self, group: str) -> list[str]:
        """Return the hosts of a group and of the groups in it."""
        return _unique(self._named.get(group, []), *map(self.members, self._below.get(group, [])))

    def groups_of(self, host: str) -> Iterator[list[str]]:
        """Yield the groups that name the host, then the groups that these are in, and so on."""
        level = [name for name, hosts in self._named.items() if host in hosts]
        while level:
            yield [name for name in level if name not in ("all", "ungrouped")]
            level = [name for name, below in self._below.items() if not set(level).isdisjoint(below)]

    def choose(self, pattern: str) -> list[str]:
        """Return the hosts that a pattern leaves: those it names, less its intersections and exclusions."""
        words = [word.strip() for word in re.split(r"[,:](?!//)", pattern) if word.strip()]
        chosen: set[str] = set()
        for word in [word for word in words if word[0] not in "&!"] or ["all"]:
            named = {word} if word in self.hosts else self._matching(word)
            if not named:
                raise InventoryError(f"{self.file}: {word!r} holds no host ({self._there_is()})")
            chosen |= named
        for word in [word for word in words if word[0] in "&!"]:
            named = self._matching(word[1:])
            chosen = chosen & named if word[0] == "&" else chosen - named
        if not words or not chosen:
            raise InventoryError(f"{self.file}: {pattern!r} leaves no host ({self._there_is()})")
        return [host for host in self.hosts if host in chosen]

    def _matching(self, word: str) -> set[str]:
        groups = [group for group in self.groups if fnmatchcase(group, word)]
        hosts = {host for group in groups for host in self.members(group)}
        if not groups or set(word) & set("*?["):
            hosts.update(host for host in self.hosts if fnmatchcase(host, word))
        if not groups and not hosts:
            near = _nearest([word], [*self.groups, *self.hosts])
            raise InventoryError(
                f"{self.file}: no host or group is named {word!r}{near} ({self._there_is()})"
            )
        return hosts

    def _there_is(self) -> str:
        groups = [name for name in self.groups if name not in ("all", "ungrouped") and self.members(name)]
        return f"there are: groups {_listed(groups) or '(none)'}; hosts {_listed(self.hosts) or '(none)'}"


def _target(inventory: _Inventory, host: str, models: Collection[str], drivers: Collection[str]) -> Target:
    where = f"{inventory.file}: host {host!r}"
    variables = inventory.variables.get(host, {})
    levels = list(inventory.groups_of(host))
    model = str(variables.get("microcloud_model") or _model_of(where, levels, models))
    driver = str(variables.get("microcloud_driver") or "ssh")
    for what, name, known in (("board model", model, models), ("driver", driver, drivers)):
        if name not in known:
            near = _nearest([name], known)
            raise InventoryError(f"{where}: no {what} is named {name!r}{near} (there are: {_listed(known)})")
    if driver == "container" and "ansible_host" in variables:
        raise InventoryError(
            f"{where} has an address (ansible_host) and is to be emulated (microcloud_driver=container): "
            "a real board has microcloud_driver=ssh, or none, and is in no group that says otherwise"
        )
    try:
        return Target(host, model, driver, variables, tuple(_unique(*levels)))
    except InventoryError as error:
        raise InventoryError(f"{inventory.file}: {error}") from None


def _model_of(where: str, levels: list[list[str]], models: Collection[str]) -> str:
    """Return the model whose name the nearest of a host's groups bears."""
    for level in levels:
        named = [name for name in level if name in models]
        if len(named) > 1:
            raise InventoryError(
                f"{where} is in groups of several board models ({_listed(named)}): "
                "set microcloud_model to the one that it is"
            )
        if named:
            return named[0]
    groups = _unique(*levels)
    raise InventoryError(
        f"{where} has no board model: none of its groups ({_listed(groups) or 'it is in none'}) bears a "
        f"model's name{_nearest(groups, models)} (set microcloud_model to one of: {_listed(models)})"
    )


def _listing(file: Path) -> dict[str, Any]:
    """Return what `ansible-inventory --list` prints, or raise an InventoryError with its complaint."""
    if not file.is_file():
        there = sorted(path.name for path in file.absolute().parent.glob("*.ini"))
        near = _nearest([file.name], there)
        raise InventoryError(f"{file}: no such inventory file{near} (there are: {_listed(there) or 'none'})")
    try:
        with tempfile.TemporaryDirectory(prefix="microcloud-ansible-") as home:  # else it makes a ~/.ansible
            answer = subprocess.run(
                [_ansible_inventory(), "-i", str(file.absolute()), "--list"],
                cwd=file.parent,  # the answer does not depend on where pytest was started
                env=os.environ | ENVIRONMENT | {"ANSIBLE_HOME": home},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=TIMEOUT_S,
            )
        if answer.returncode:
            raise InventoryError(f"{file}: Ansible cannot read it: {_complaint(answer.stderr)}")
        listing: dict[str, Any] = json.loads(answer.stdout)
    except subprocess.TimeoutExpired:
        raise InventoryError(f"{file}: ansible-inventory did not answer within {TIMEOUT_S:g} s") from None
    except OSError as error:
        raise InventoryError(f"{file}: ansible-inventory does not start: {error}") from None
    except ValueError:
        raise InventoryError(f"{file}: ansible-inventory gave no JSON but {answer.stdout[:80]!r}") from None
    return listing


def _ansible_inventory() -> str:
    beside = Path(sys.executable).parent
    found = shutil.which("ansible-inventory", path=beside) or shutil.which("ansible-inventory")
    if not found:
        raise InventoryError(
            f"ansible-inventory, which reads inventories, is neither in {beside} nor on PATH; "
            f"install it with: {sys.executable} -m pip install ansible-core"
        )
    return found


def _complaint(stderr: str) -> str:
    """Return Ansible's reason in one line, without its warnings, repetitions and traceback."""
    text = " ".join(stderr.split())
    end = r"(?: Failed to parse | Origin: | The offending line | Traceback | \[?ERROR\b|$)"
    if found := re.search(r"Failed to parse (?:inventory: |.+? with ini plugin: )(.+?)" + end, text):
        return found[1]
    found = re.search(r"\bERROR\S* (.+?)" + end, text)
    return f"{found[1] if found else text} (look at group_vars, host_vars and ansible.cfg beside it, too)"


def _quoted(value: object) -> str:
    """Return a value as it was written, unless that would not be one line of text."""
    text = str(value)
    return text if text.isprintable() else repr(text)


def _unique(*lists: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(chain.from_iterable(lists)))


def _listed(names: Collection[str], most: int = 30) -> str:
    shown = ", ".join(list(names)[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _nearest(names: Iterable[str], known: Iterable[str]) -> str:
    import difflib

    close = [near for name in names for near in difflib.get_close_matches(name, list(known), n=1)]
    return f"; did you mean {close[0]!r}?" if close else ""
