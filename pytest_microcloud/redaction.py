"""Redaction of text that leaves the process.

Keys, passwords and tokens are redacted everywhere. Addresses and serial numbers identify a board and its
location, so pages omit them unless the user asks for them. Names from the catalog or from a board
("Raspberry Pi 3 Model B") are kept whole, even if a secret is one of their words. All patterns take linear
time, because boards and tests can write any text.
"""

from __future__ import annotations

import functools
import html
import itertools
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote

MASK = "[masked]"
SHORTEST = 4
"""Minimum length of a redacted secret (characters): shorter words occur in every text."""
CUT = 200
"""Longest value (characters) that pytest prints whole. Of a longer value, it may print only both ends."""
WORD = 8
"""Secrets of at least this length (characters) are redacted inside other words, too."""

_SECRET_WORDS = frozenset(
    {
        *("pass", "passwd", "password", "passwords", "passphrase", "passphrases", "pwd", "sshpass"),
        *("secret", "secrets", "token", "tokens", "credential", "credentials", "jwt", "pat"),
        *("apikey", "accesskey", "secretkey", "privatekey"),
    }
)
_NOT_THE_SECRET = frozenset(
    {
        *(
            "file",
            "path",
            "dir",
            "directory",
            "sock",
            "socket",
            "url",
            "uri",
            "name",
            "host",
            "program",
            "askpass",
        ),
        *(
            "ttl",
            "timeout",
            "expiry",
            "expires",
            "lifetime",
            "age",
            "days",
            "length",
            "type",
            "count",
            "prompt",
        ),
    }
)
"""A variable whose name ends with one of these words holds no secret itself, for example PASSWORD_FILE."""
_PUBLIC_KEYS = frozenset(("public", "pub", "host", "known", "sort", "primary", "foreign", "partition"))
_WORDS_OF_NAME = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


_NAMED = r"(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|(?<![a-z])pass|_pass)"
_VALUE = r"(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s\"',;]+)"
_WRAP = r"(?:\\n|[\s'\"E])+"
"""Matches what may separate two words of a secret that pytest prints on several lines."""
_KEYS = [
    re.compile(r"(?<![\w+/])AAAA[B-E][A-Za-z0-9+/]{20,}={0,2}"),  # ssh's public keys
    re.compile(r"\b(?:gh[a-z]_|github_pat_|glpat-|xox[a-z]-|AKIA)[\w-]{12,}"),
]
_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{1,60}-----")
_END = re.compile(r"-----END [A-Z0-9 ]{1,60}-----")
_CUT_SHORT = re.compile(r"(?:\s*[A-Za-z0-9+/=]{16,})*")
"""Matches the rest of a PEM block whose END line is missing."""
_FIRST_PART = re.compile(r"(?<![\w-])[\w-]{11,}(?=\.[\w-]+\.)")
_OTHER_PARTS = re.compile(r"\.[\w-]+\.[\w-]*")
"""Matches the second and third part of a JSON web token. (The first part begins with `eyJ`.)"""
_GIVEN = [
    re.compile(rf"({_NAMED}[\"']?[ \t]*(?:=|(?<!:):(?!:))[ \t]*){_VALUE}", re.IGNORECASE),
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
    """Return the secrets in the variables of hosts and of the environment.

    A secret is recognised by its variable's name, or by its context in a value, such as `--password`.
    """
    found: set[str] = set()
    for name, value in ((name, str(leaf)) for named in variables for name, leaf in _leaves(named)):
        if is_secret(name):
            found.add(value)
        for given in (match for pattern in _GIVEN for match in pattern.finditer(value)):
            secret = given[0].removeprefix(given[1]).strip("'\"")
            found |= {secret, secret.rpartition(":")[2]}  # user:password, and the password alone
    return frozenset(
        value for value in found if len(value) >= SHORTEST and value.lower() not in ("true", "false", "none")
    )


def is_secret(name: str) -> bool:
    """Return whether a variable with this name holds a secret itself and not, for example, its path."""
    words = [word.lower() for word in _WORDS_OF_NAME.findall(name)]
    if not words or words[-1] in _NOT_THE_SECRET:
        return False
    if not _SECRET_WORDS.isdisjoint(words[-2:]) or words[-2:] == ["auth", "config"]:
        return words != ["pwd"]
    before_key = next((words[i - 1] for i, word in enumerate(words) if i and word in ("key", "keys")), None)
    return before_key is not None and before_key not in _PUBLIC_KEYS


def written_in(inventory: str) -> frozenset[str]:
    """Return the words that follow names such as `password` in an inventory's text.

    They may be secrets, and Ansible may quote them in errors.
    """
    named = (re.search(rf"{_NAMED}\w*[ \t:=]*(.*)", line, re.IGNORECASE) for line in inventory.splitlines())
    after = (found[1].split() for found in named if found)
    words = (itertools.takewhile(lambda word: not re.match(r"\w+=", word), rest) for rest in after)
    stripped = (word.strip("'\"") for word in itertools.chain.from_iterable(words))
    return frozenset(word for word in stripped if len(word) >= SHORTEST)


def without_keys(text: str, secrets: Collection[str] = (), names: Collection[str] = ()) -> str:
    """Return a text without the given secrets, and without whatever looks like a key, password or token.

    A secret is kept where it is part of one of the `names`.
    """
    text = _without_tokens(_without_blocks(_without(text, secrets, names)))
    for pattern in _KEYS:
        text = pattern.sub(MASK, text)
    for pattern in _GIVEN:
        text = pattern.sub(rf"\1{MASK}", text)
    return text


def without_addresses(text: str, identifiers: Collection[str] = ()) -> str:
    """Return a text without IP and MAC addresses, fingerprints of host keys, and the given identifiers."""
    text = _without(text, identifiers)
    for pattern in _ADDRESSES:
        text = pattern.sub(MASK, text)
    return _IP.sub(_unless_everybodys, text)


def redact(text: str, secrets: Collection[str] = ()) -> str:
    """Return a text without keys, passwords, tokens and addresses, and without the given secrets."""
    return without_addresses(without_keys(text, secrets))


@dataclass
class Redactor:
    """Redacts the texts of one session.

    `secrets` are always redacted; `identifiers` and addresses are redacted in reports unless `identify` is
    set. `names` are never redacted: they come from the catalog and from boards, and may contain a word that
    is also a secret. `boards` are names in the inventory, which do not count as identifiers.
    """

    secrets: frozenset[str] = frozenset()
    identify: bool = False
    identifiers: set[str] = field(default_factory=set)
    names: frozenset[str] = frozenset()
    boards: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        variables: Iterable[Mapping[str, Any]],
        *,
        boards: Collection[str] = (),
        addresses: Collection[str] = (),
        words: Collection[str] = (),
        identify: bool = False,
    ) -> Redactor:
        """Return the redactor of a session.

        `variables` are the variables of the session's hosts, and the environment. `boards` are the names in
        the inventory (boards, models and groups); `words` is the vocabulary of run files and reports. A
        password that is also one of these words is not redacted: redacting it would protect nothing, and
        would remove the word from all labels and verdicts.
        """
        shown = frozenset(word.lower() for word in (*boards, *words))
        found = frozenset(secret for secret in secrets(variables) if secret.lower() not in shown)
        redactor = cls(found, identify, names=frozenset(filter(_is_phrase, words)), boards=frozenset(boards))
        redactor.learn(identifiers=addresses)
        return redactor

    def learn(self, *, names: Iterable[str] = (), identifiers: Iterable[str] = ()) -> None:
        """Add the names and serial numbers that a running board reports.

        A text that is also the name of a board is not added to the identifiers, because the name would
        then be redacted everywhere.
        """
        self.names |= set(filter(_is_phrase, names))
        boards = {board.lower() for board in self.boards}
        self.identifiers |= {
            text for text in identifiers if len(text) >= SHORTEST and text.lower() not in boards
        }

    def without_secrets(self, text: str) -> str:
        """Return a text without secrets."""
        return without_keys(text, self.secrets, self.names)

    def for_page(self, text: str) -> str:
        """Return a text without secrets, and without addresses unless `identify` is set."""
        return self.without_addresses(self.without_secrets(text))

    def without_addresses(self, text: str) -> str:
        """Return a text without addresses unless `identify` is set; its secrets must be redacted already."""
        return text if self.identify else without_addresses(text, frozenset(self.identifiers))


def in_all(document: Any, shown: Callable[[str], str]) -> Any:
    """Return a copy of JSON data in which `shown` has replaced every text, except the keys of objects."""
    if isinstance(document, Mapping):
        return {key: in_all(value, shown) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [in_all(value, shown) for value in document]
    if isinstance(document, bool | int | float | None):
        return document
    return shown(str(document))


def _is_phrase(name: str) -> bool:
    return " " in name


def _without(text: str, values: Collection[str], names: Collection[str] = ()) -> str:
    if not values:
        return text
    kept, found = (_any_of(frozenset(given)) for given in (names, values))
    parts, at = [], 0
    for name in kept.finditer(text) if names else ():
        parts += [found.sub(MASK, text[at : name.start()]), name[0]]
        at = name.end()
    return "".join([*parts, found.sub(MASK, text[at:])])


@functools.cache
def _any_of(values: frozenset[str]) -> re.Pattern[str]:
    """Return a pattern that matches any of the values in any form; short values only as whole words."""
    patterns = []
    written = {form for value in values for form in _forms(value)}
    for value in sorted(written, key=lambda value: (-len(value), value)):
        pattern = _WRAP.join(map(re.escape, value.split()))
        patterns.append(pattern if len(value) >= WORD else rf"(?<![\w.-]){pattern}(?![\w-]|\.\w)")
    return re.compile("|".join(patterns), re.IGNORECASE)


def _forms(value: str) -> set[str]:
    """Return the forms in which a value may appear: unchanged, in Python, JSON, HTML or XML, or in a URL."""
    in_python = repr(value)[1:-1]
    plain = {value, in_python, repr(in_python)[1:-1], value.replace("\\", "\\\\")}
    plain |= {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    plain |= {"".join(f"\\{c}" if c in "\\'" else c for c in value)}  # repr of a text that contains the value
    if len(value) > CUT:  # pytest shows the two ends of a long value
        plain |= {in_python[: CUT // 2], in_python[-CUT // 2 :]}
    quoted = {html.escape(form, quote=both) for form in plain for both in (True, False)}
    quoted |= {form.replace('"', "&quot;") for form in quoted}  # XML's attributes
    return {form for form in plain | quoted | {quote(value, safe="")} if form.strip()}


def _without_blocks(text: str) -> str:
    """Return a text without PEM blocks, whole or cut short, in one pass."""
    parts, at, ends = [], 0, True
    for begin in _BEGIN.finditer(text):
        if begin.start() < at:
            continue
        end = _END.search(text, begin.end()) if ends else None
        ends = end is not None
        stop = end or _CUT_SHORT.match(text, begin.end())
        parts += [text[at : begin.start()], MASK]
        at = stop.end() if stop else begin.end()
    return "".join([*parts, text[at:]])


def _without_tokens(text: str) -> str:
    """Return a text without JSON web tokens, in one pass."""
    parts, at = [], 0
    for first in _FIRST_PART.finditer(text):
        if first.start() < at or (start := re.search(r"\beyJ", first[0])) is None:
            continue
        others = _OTHER_PARTS.match(text, first.end())
        if others is None or len(first[0]) - start.start() < 11:
            continue
        parts += [text[at : first.start() + start.start()], MASK]
        at = others.end()
    return "".join([*parts, text[at:]])


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield each value in JSON data that is not an object or a list, after its outermost key."""
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
