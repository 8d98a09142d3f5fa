"""Reads an Ansible inventory (`hosts.ini`) and returns the targets that a pattern selects.

`ansible-inventory` parses the file, so that groups, ranges, `:children`, `:vars` and group_vars have
Ansible's meaning. It runs as a separate process, because its licence differs from this package's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any

from pytest_microcloud.errors import InventoryError
from pytest_microcloud.inventory import connection
from pytest_microcloud.inventory.target import VARIABLES, DriverRules, Target
from pytest_microcloud.redaction import redact
from pytest_microcloud.suggest import did_you_mean, listed

TIMEOUT_S = 60.0
# Overrides ansible.cfg and the user's environment, so that ansible-inventory prints the whole file as plain
# JSON, or fails.
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


def read(
    file: Path,
    pattern: str,
    models: Collection[str],
    drivers: Mapping[str, DriverRules],
    default_driver: str,
) -> list[Target]:
    """Return the hosts of an inventory that an Ansible pattern selects, in the inventory's order.

    `pattern` is a comma-separated list of host names, groups, `all`, wildcards (`pi*`), exclusions (`!pi2b`)
    and intersections (`&lab`). `default_driver` is the driver of a host without `microcloud_driver`.

    Raises InventoryError if the file cannot be read, a word of the pattern matches no host, or the pattern
    selects no host. Also raises InventoryError if a selected host has no model in `models`, no driver in
    `drivers`, or a variable that its driver does not accept.
    """
    inventory = _Inventory(file, _listing(file))
    return [_target(inventory, host, models, drivers, default_driver) for host in inventory.choose(pattern)]


def holds_boards(file: Path, pattern: str, models: Collection[str]) -> bool:
    """Return whether `pattern` selects a host with a `microcloud_` variable or in a board model's group.

    If the pattern is invalid, all hosts are checked. Raises InventoryError if the file cannot be read.
    """
    listed = _Inventory(file, _listing(file))
    try:
        chosen = listed.choose(pattern)
    except InventoryError:
        chosen = listed.hosts
    groups = {group for host in chosen for level in listed.groups_of(host) for group in level}
    variables = {name for host in chosen for name in listed.variables.get(host, {})}
    return bool(groups & set(models)) or any(name.startswith("microcloud_") for name in variables)


def words(pattern: str) -> list[str]:
    """Return the words of a pattern: names, groups, wildcards, exclusions and intersections."""
    return [word.strip() for word in re.split(r"[,:](?!//)", pattern) if word.strip()]


class _Inventory:
    """The output of `ansible-inventory --list`: the groups, their members, and the variables of all hosts."""

    def __init__(self, file: Path, listing: dict[str, Any]) -> None:
        self.file = file
        self.variables: dict[str, dict[str, object]] = listing["_meta"]["hostvars"]
        groups = {name: group for name, group in listing.items() if name != "_meta"}
        self._named: dict[str, list[str]] = {name: group.get("hosts", []) for name, group in groups.items()}
        self._below: dict[str, list[str]] = {
            name: group.get("children", []) for name, group in groups.items()
        }
        self.groups = _unique(self._below, *self._below.values())  # an empty group is listed only as a child
        self.hosts = self.members("all")

    def members(self, group: str) -> list[str]:
        """Return the hosts of a group and of its child groups."""
        return _unique(self._named.get(group, []), *map(self.members, self._below.get(group, [])))

    def groups_of(self, host: str) -> Iterator[list[str]]:
        """Yield the groups that list the host, then the parent groups of these groups, and so on."""
        level = [name for name, hosts in self._named.items() if host in hosts]
        while level:
            yield [name for name in level if name not in ("all", "ungrouped")]
            level = [name for name, below in self._below.items() if not set(level).isdisjoint(below)]

    def choose(self, pattern: str) -> list[str]:
        """Return the hosts that a pattern selects. Its intersections and exclusions are applied last."""
        written = words(pattern)
        chosen: set[str] = set()
        for word in [word for word in written if word[0] not in "&!"] or ["all"]:
            named = {word} if word in self.hosts else self._matching(word)
            if not named:
                raise InventoryError(f"{self.file}: {word!r} contains no host ({self._there_is()})")
            chosen |= named
        for word in [word for word in written if word[0] in "&!"]:
            named = self._matching(word[1:])
            chosen = chosen & named if word[0] == "&" else chosen - named
        if not written or not chosen:
            raise InventoryError(f"{self.file}: {pattern!r} selects no host ({self._there_is()})")
        return [host for host in self.hosts if host in chosen]

    def _matching(self, word: str) -> set[str]:
        groups = [group for group in self.groups if fnmatchcase(group, word)]
        hosts = {host for group in groups for host in self.members(group)}
        if not groups or set(word) & set("*?["):
            hosts.update(host for host in self.hosts if fnmatchcase(host, word))
        if not groups and not hosts:
            near = did_you_mean([word], [*self.groups, *self.hosts])
            raise InventoryError(
                f"{self.file}: no host or group is named {word!r}{near} ({self._there_is()})"
            )
        return hosts

    def _there_is(self) -> str:
        groups = [name for name in self.groups if name not in ("all", "ungrouped") and self.members(name)]
        return f"there are: groups {listed(groups) or '(none)'}; hosts {listed(self.hosts) or '(none)'}"


def _target(
    inventory: _Inventory,
    host: str,
    models: Collection[str],
    drivers: Mapping[str, DriverRules],
    default_driver: str,
) -> Target:
    where = f"{inventory.file}: host {host!r}"
    if redact(host) != host:
        raise InventoryError(
            f"{where}: the name is an address or looks like a key. Reports would redact it, so that boards "
            "could not be distinguished: choose another name, and set ansible_host to the address"
        )
    variables = inventory.variables.get(host, {})
    levels = list(inventory.groups_of(host))
    model = str(variables.get("microcloud_model") or _model_of(where, levels, models))
    driver = str(variables.get("microcloud_driver") or default_driver)
    for what, name, known in (("board model", model, models), ("driver", driver, drivers)):
        if name not in known:
            near = did_you_mean([name], known)
            raise InventoryError(f"{where}: no {what} is named {name!r}{near} (there are: {listed(known)})")
    address = connection.spelling("ansible_host", variables)
    if not drivers[driver].addressed and address in variables:
        raise InventoryError(
            f"{where} has an address ({address}), but its driver creates the board itself "
            f"(microcloud_driver={driver}): remove the address. If it is a real board, set "
            f"microcloud_driver={default_driver}"
        )
    _check_variables(where, variables, driver, drivers)
    try:
        return Target(host, model, driver, variables, tuple(_unique(*levels)))
    except InventoryError as error:
        raise InventoryError(f"{inventory.file}: {error}") from None


def _check_variables(
    where: str, variables: Iterable[str], driver: str, drivers: Mapping[str, DriverRules]
) -> None:
    """Raise InventoryError for a `microcloud_` variable that is unknown or not accepted by the driver."""
    own = [name for rules in drivers.values() for name in rules.variables]
    accepted = sorted({*VARIABLES, *drivers[driver].variables})
    for name in variables:
        if not name.startswith("microcloud_") or name in accepted:
            continue
        if name in own:
            readers = listed(sorted(d for d, rules in drivers.items() if name in rules.variables))
            raise InventoryError(
                f"{where}: {name} is for boards of the driver {readers}, and this host's driver is {driver}"
            )
        near = did_you_mean([name], accepted)
        raise InventoryError(f"{where}: no variable is named {name!r}{near} (there are: {listed(accepted)})")


def _model_of(where: str, levels: list[list[str]], models: Collection[str]) -> str:
    """Return the board model that has the same name as a group of the host; the nearest group counts."""
    for level in levels:
        named = [name for name in level if name in models]
        if len(named) > 1:
            raise InventoryError(
                f"{where} is in groups of several board models ({listed(named)}): "
                "set microcloud_model to the right one"
            )
        if named:
            return named[0]
    groups = _unique(*levels)
    which = f"none of its groups ({listed(groups)}) has a model's name" if groups else "it is in no group"
    raise InventoryError(
        f"{where} has no board model: {which}{did_you_mean(groups, models)} "
        f"(set microcloud_model to one of: {listed(models)})"
    )


def _listing(file: Path) -> dict[str, Any]:
    """Return the output of `ansible-inventory --list`, or raise an InventoryError that quotes the reason."""
    if file.is_dir():
        raise InventoryError(f"{file}: is a directory: give the inventory file, such as {file / 'hosts.ini'}")
    if not file.is_file():
        there = sorted(path.name for path in file.absolute().parent.glob("*.ini"))
        near = did_you_mean([file.name], there)
        raise InventoryError(f"{file}: no such inventory file{near} (there are: {listed(there) or 'none'})")
    try:
        with tempfile.TemporaryDirectory(
            prefix="microcloud-ansible-"
        ) as home:  # otherwise Ansible creates ~/.ansible
            answer = subprocess.run(
                [_ansible_inventory(), "-i", str(file.absolute()), "--list"],
                cwd=file.parent,  # the result does not depend on pytest's working directory
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
        raise InventoryError(
            f"{file}: ansible-inventory printed {answer.stdout[:80]!r} instead of JSON"
        ) from None
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
    """Return Ansible's error message in one line, without warnings, repetitions and traceback."""
    text = " ".join(stderr.split())
    end = r"(?: Failed to parse | Origin: | The offending line | Traceback | \[?ERROR\b|$)"
    if found := re.search(r"Failed to parse (?:inventory: |.+? with ini plugin: )(.+?)" + end, text):
        return found[1]
    found = re.search(r"\bERROR\S* (.+?)" + end, text)
    reason = found[1] if found else text
    return f"{reason} (also check group_vars, host_vars and ansible.cfg in the inventory's directory)"


def _unique(*lists: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(chain.from_iterable(lists)))
