"""What of a text is not for everybody's eyes.

Keys, passwords and tokens are shown nowhere. Addresses and serial numbers tell whose board it was, and where;
a page that may be handed on is without them unless its user asks for them.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_microcloud.boards.facts import Facts
    from pytest_microcloud.inventory.target import Target

MASK = "[masked]"
SHORTEST = 4
"""Characters that a secret must have to be looked for: shorter ones stand in every text."""
WORD = 8
"""Characters from which on a secret is looked for in the midst of other words, too."""

SECRET_NAME = re.compile(
    r"(?i)((?<!ask)(?<!by)pass|passwd|password|passphrase|_pwd|secret|token|credentials?"
    r"|(api|private|access|auth|secret)_?key)$"
)
"""How the name of a variable ends whose value is a secret (and not, say, the path of a file with one)."""

_NAMED = r"(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|(?<![a-z])pass|_pass)"
_VALUE = r"(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s\"',;]+)"
_WRAP = r"(?:\\n|[\s'\"E])+"
"""What may stand between the words of a text that pytest shows on several lines."""
_KEYS = [
    re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?-----END [A-Z0-9 ]+-----", re.DOTALL),
    re.compile(r"-----BEGIN [A-Z0-9 ]+-----(?:\s*[A-Za-z0-9+/=]{16,})*"),  # cut short
    re.compile(r"(?<![\w+/])AAAA[B-E][A-Za-z0-9+/]{20,}={0,2}"),  # ssh's public keys
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"),  # JSON web tokens
    re.compile(r"\b(?:gh[a-z]_|github_pat_|glpat-|xox[a-z]-|AKIA)[\w-]{12,}"),
]
_GIVEN = [
    re.compile(rf"({_NAMED}[\"']?[ \t]*[=:][ \t]*){_VALUE}", re.IGNORECASE),
    re.compile(rf"((?<![\w-])--[\w-]{{0,30}}{_NAMED}[ \t]+){_VALUE}", re.IGNORECASE),
    re.compile(rf"(\bsshpass[ \t]+-p[ \t]*){_VALUE}"),
    re.compile(rf"(\bauthorization[\"']?[ \t]*[:=][ \t]*(?:\w+[ \t]+)?){_VALUE}", re.IGNORECASE),
    re.compile(r"(\bbearer[ \t]+)[\w.~+/=-]{8,}", re.IGNORECASE),
    re.compile(r"((?<!\S)(?:-u|--user|--proxy-user)[ =]?['\"]?)[^\s'\":]+:[^\s'\"]+"),
    re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://)[^\s/@:]*:[^\s/@]+(?=@)"),
    re.compile(r"(\bhttps?://)[^\s/@]+(?=@)", re.IGNORECASE),
]
_ADDRESSES = [
    # MAC addresses, and the fingerprints of keys
    re.compile(r"(?<![\w.:-])(?:MD5:)?[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5,}(?![\w:-])"),
    re.compile(r"\bSHA256:[A-Za-z0-9+/]{43}=?"),
]
_IP = re.compile(r"(?<![\w.:])(?:(?:[0-9]{1,3}\.){3}[0-9]{1,3}|[0-9A-Fa-f:.]{3,45})(?!\w)")


def secrets(variables: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return what is secret in those variables (of hosts, of the environment), by a name or by its place."""
    found: set[str] = set()
    for name, value in ((name, str(leaf)) for named in variables for name, leaf in _leaves(named)):
        if SECRET_NAME.search(name):
            found.add(value)
        for given in (match for pattern in _GIVEN for match in pattern.finditer(value)):
            secret = given[0].removeprefix(given[1]).strip("'\"")
            found |= {secret, secret.rpartition(":")[2]}  # of user:password, each way
    return frozenset(
        value for value in found if len(value) >= SHORTEST and value.lower() not in ("true", "false", "none")
    )


def written_in(inventory: str) -> frozenset[str]:
    """Return the words after the names of secrets in an inventory's text, which Ansible may quote."""
    named = (re.search(rf"{_NAMED}\w*[ \t:=]*(.*)", line, re.IGNORECASE) for line in inventory.splitlines())
    after = (found[1].split() for found in named if found)
    words = (itertools.takewhile(lambda word: not re.match(r"\w+=", word), rest) for rest in after)
    stripped = (word.strip("'\"") for word in itertools.chain.from_iterable(words))
    return frozenset(word for word in stripped if len(word) >= SHORTEST)


def identifiers(target: Target, facts: Facts | None = None) -> frozenset[str]:
    """Return what tells this one board from all others: its address, and the serial numbers of its parts."""
    card = facts.card if facts is not None else None
    own = {target.address if target.address != target.name else None, facts.serial if facts else None}
    own |= {card.cid, card.serial} if card is not None else set()
    return frozenset(text for text in own if text is not None and len(text) >= SHORTEST)


def without_keys(text: str, secrets: Collection[str] = ()) -> str:
    """Return a text without keys, passwords and tokens: those given, and whatever looks like one."""
    text = _without(text, secrets)
    for pattern in _KEYS:
        text = pattern.sub(MASK, text)
    for pattern in _GIVEN:
        text = pattern.sub(rf"\1{MASK}", text)
    return text


def without_addresses(text: str, identifiers: Collection[str] = ()) -> str:
    """Return a text without IP and MAC addresses, fingerprints of host keys, and those identifiers."""
    text = _without(text, identifiers)
    for pattern in _ADDRESSES:
        text = pattern.sub(MASK, text)
    return _IP.sub(_unless_everybodys, text)


def masked(text: str, secrets: Collection[str] = ()) -> str:
    """Return a text without keys and without addresses; `secrets` are further texts to leave out."""
    return without_addresses(without_keys(text, secrets))


@dataclass
class Privacy:
    """What a session shows: `secrets` never, `identifiers` and addresses on pages only with `identify`."""

    secrets: frozenset[str] = frozenset()
    identify: bool = False
    identifiers: set[str] = field(default_factory=set)

    @classmethod
    def of(
        cls,
        targets: Iterable[Target],
        environment: Mapping[str, str],
        *,
        identify: bool,
        public: Collection[str] = (),
    ) -> Privacy:
        """Return what is private to the chosen targets and to the environment.

        A password that is one of the `public` words, or names a target or a group, hides nothing by being
        masked, and would take the word out of every label and verdict.
        """
        targets = list(targets)
        names = (word for target in targets for word in (target.name, target.model, *target.groups))
        known = {word.lower() for word in (*names, *public)}
        found = secrets([environment, *(target.variables for target in targets)])
        hidden = frozenset(secret for secret in found if secret.lower() not in known)
        return cls(hidden, identify, {own for target in targets for own in identifiers(target)})

    def know(self, target: Target, facts: Facts) -> None:
        """Take a board that is up into account."""
        self.identifiers |= identifiers(target, facts)

    def anywhere(self, text: str) -> str:
        """Return what may be shown of a text at all."""
        return without_keys(text, self.secrets)

    def on_page(self, text: str) -> str:
        """Return what may be shown of a text in a report that is handed on."""
        return self.in_log(self.anywhere(text))

    def in_log(self, html: str) -> str:
        """Return the same of what a test said: its keys went before it became HTML."""
        return html if self.identify else without_addresses(html, frozenset(self.identifiers))


def in_all(document: Any, shown: Callable[[str], str]) -> Any:
    """Return JSON data with every text, but for the keys of its objects, as `shown` returns it."""
    if isinstance(document, Mapping):
        return {key: in_all(value, shown) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [in_all(value, shown) for value in document]
    if isinstance(document, bool | int | float | None):
        return document
    return shown(str(document))


def _without(text: str, values: Collection[str]) -> str:
    return _any_of(frozenset(values)).sub(MASK, text) if values else text


@functools.cache
def _any_of(values: frozenset[str]) -> re.Pattern[str]:
    """Return what finds any of the values, the longest first; a short one, maybe a word, only on its own."""
    patterns = []
    for value in sorted(values, key=lambda value: (-len(value), value)):
        pattern = _WRAP.join(map(re.escape, value.split()))
        patterns.append(pattern if len(value) >= WORD else rf"(?<![\w.-]){pattern}(?![\w-]|\.\w)")
    return re.compile("|".join(patterns), re.IGNORECASE)


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield the plain values in JSON data, each with the outermost name that it has."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, name or str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, name)
    else:
        yield name, value


def _unless_everybodys(found: re.Match[str]) -> str:
    for text in (found[0], found[0].rstrip(":.")):
        with suppress(ValueError):
            address = ip_address(text)
            everybodys = address.is_loopback or address.is_unspecified
            return found[0] if everybodys else MASK + found[0].removeprefix(text)
    return found[0]
