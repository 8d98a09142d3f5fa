"""What is private stays private: keys everywhere, addresses and serial numbers on pages."""

from __future__ import annotations

import dataclasses
import functools
import html
import json
import math
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from _pytest._io.saferepr import saferepr

from pytest_microcloud import redaction
from pytest_microcloud.boards import ssh_errors
from pytest_microcloud.boards.facts import Card, Facts
from pytest_microcloud.inventory.target import Target
from pytest_microcloud.redaction import (
    MASK,
    Redactor,
    in_all,
    is_secret,
    redact,
    secrets,
    without_keys,
)

if TYPE_CHECKING:
    from pytest_microcloud.catalog import Catalog

JSON_WEB_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJib2FyZCJ9.c2lnbmF0dXJl"  # noqa: S105


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ansible_password=hunter2 ansible_user=pi", f"ansible_password={MASK} ansible_user=pi"),
        ("{'ansible_become_pass': 'two words', 'a': 1}", f"{{'ansible_become_pass': {MASK}, 'a': 1}}"),
        ('password = "two words"', f"password = {MASK}"),
        ("API_KEY: abc123", f"API_KEY: {MASK}"),
        ("token=abc;next", f"token={MASK};next"),
        ("pdudaemon --password hunter2 --port 16421", f"pdudaemon --password {MASK} --port 16421"),
        (
            "`curl -u admin:hunter2 http://pdu/1` exited with 7",
            f"`curl -u {MASK} http://pdu/1` exited with 7",
        ),
        ("curl --user=admin:hunter2 pdu", f"curl --user={MASK} pdu"),
        ("curl http://admin:hunter2@pdu/off", f"curl http://{MASK}@pdu/off"),
        ("https://ghsecret@git.example.org/x", f"https://{MASK}@git.example.org/x"),
        (
            "ProxyCommand=sshpass -p hunter2 ssh -W %h:%p jump",
            f"ProxyCommand=sshpass -p {MASK} ssh -W %h:%p jump",
        ),
        ("Authorization: Basic YWRtaW46aHVudGVyMg==", f"Authorization: Basic {MASK}"),
        ("sent Bearer abcdef123456 to it", f"sent Bearer {MASK} to it"),
        (f"got {JSON_WEB_TOKEN}.", f"got {MASK}."),
        ("ghp_0123456789abcdefghij", MASK),
    ],
)
def test_what_looks_like_a_key_is_masked_and_what_is_around_it_is_kept(text: str, shown: str) -> None:
    assert without_keys(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "3 passed, 1 failed in 2.5 s",
        "sudo: a password is required",
        "Permission denied (publickey,password).",
        "it needs sshd with your key, and sudo without a password",
        "io.memory_time[4KiB] max 3.3 ms (median) — its data sheet",
        "ssh://git@github.com/x and http://127.0.0.1:8080/page.html",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "test_io.py::test_disk[ssh://pi3b-desk-4KiB]",
        "12:34:56.789 kernel: [    0.000000] Linux version 6.1.0-18-arm64 (gcc 12.2.0)",
        "Docker 20.10.24+dfsg1, containerd 1.6.20~ds1, HypriotOS v1.12.3",
        "listens on 127.0.0.1:80, ::1 and 0.0.0.0",
        "std::vector<x::y>, 10:20, a..b, ...",
    ],
)
def test_a_text_without_anything_private_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("text", [text for _, _, text in ssh_errors.REASONS])
def test_the_reason_of_a_refused_connection_is_not_redacted(text: str) -> None:
    assert without_keys(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("connect to host 192.0.2.13 port 22", f"connect to host {MASK} port 22"),
        ("dial 192.0.2.13:2376.", f"dial {MASK}:2376."),
        ("from [2001:db8::13]:22, fe80::1%eth0", f"from [{MASK}]:22, {MASK}%eth0"),
        ("no route to 2001:db8::13: retry", f"no route to {MASK}: retry"),
        ("eth0: b8:27:eb:5f:c5:93 up", f"eth0: {MASK} up"),
        ("key is SHA256:" + "a" * 43 + ".", f"key is {MASK}."),
        ("MD5:" + ":".join(["0f"] * 16), MASK),
    ],
)
def test_addresses_and_fingerprints_of_keys_are_masked(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_keys_as_ssh_makes_them_are_masked_whole_and_cut_short(tmp_path: Path) -> None:
    file = tmp_path / "id"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", str(file)]
    subprocess.run(command, check=True, timeout=30)
    private, public = file.read_text(), file.with_suffix(".pub").read_text()
    journal = f"before\n{private}between {public}after"
    assert redact(journal) == f"before\n{MASK}\nbetween ssh-ed25519 {MASK} me\nafter"
    assert redact(private[:200]) == MASK
    assert redact(repr(private)) == f"'{MASK}\\n'"


def test_a_long_text_of_one_word_takes_no_long_time() -> None:
    for word in ("a", "ab:", "-", "pass", "a.", "AAAAB", "-----BEGIN A-----"):
        text = word * (200_000 // len(word))
        assert len(redact(text)) <= len(text) + len(MASK)


def test_variables_are_secret_by_their_names() -> None:
    hidden = {
        "ansible_password": "hunter2",
        "ansible_become_password": "hunter3",
        "ansible_become_pass": "hunter4",
        "ansible_ssh_pass": 12345678,
        "ansible_ssh_private_key": "-----BEGIN",
        "GITHUB_TOKEN": "abcdef",
        "AWS_SECRET_ACCESS_KEY": "ghijkl",
        "SSHPASS": "hunter5",
        "MYSQL_PWD": "hunter6",
        "vault_secret": ["nested", {"deeper": "value"}],
    }
    shown = {
        "ansible_ssh_private_key_file": "/home/me/.ssh/id",
        "ansible_user": "pirate",
        "SSH_ASKPASS": "/usr/bin/askpass",
        "PWD": "/home/me",
        "OLDPWD": "/home",
        "USE_TOKEN": "true",
        "short_password": "abc",
    }
    expected = {"hunter2", "hunter3", "hunter4", "12345678", "-----BEGIN", "abcdef", "ghijkl", "hunter5"}
    assert secrets([hidden, shown]) == expected | {"hunter6", "nested", "value"}


@pytest.mark.parametrize(
    "name",
    [
        *("DEPLOY_KEY", "SIGNING_KEY", "SSH_KEY", "ENCRYPTION_KEY", "SECRET_KEY_BASE", "GITHUB_PAT"),
        *("API_TOKEN2", "DOCKER_AUTH_CONFIG", "PASSWORDS", "JWT", "jwtToken", "dbPassword", "APIKEY"),
        *("AWS_ACCESS_KEY_ID", "HOST_API_KEY_2", "npm_config__authToken", "SSH_PRIVATE_KEYS", "MY_SECRETS"),
    ],
)
def test_names_of_secrets_are_recognised(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("SSH_PUBLIC_KEY", "ansible_host_key_checking", "KEYBOARD", "PASSENGER", "COMPASS", "PATH", "PWD"),
        *("SECRET_FILE", "TOKEN_PATH", "SSH_AUTH_SOCK", "CREDENTIALS_DIRECTORY", "PATTERN", "key", "OLDPWD"),
        *("DBUS_SESSION_BUS_ADDRESS", "PYTEST_CURRENT_TEST", "SSH_ASKPASS", "MONKEY", "TOKEN_URL"),
    ],
)
def test_names_that_only_resemble_those_of_secrets_are_not(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    "secret", ["a\\b'c\"d", "back\\slash", 'it\'s "quoted"', "<tag>&amp", "ü-and-é\n-line"]
)
def test_a_secret_is_masked_in_every_form_that_it_is_written_in(secret: str) -> None:
    forms = [secret, repr(secret), repr({"a": secret}), repr([repr(secret)]), json.dumps({"a": secret})]
    forms += [html.escape(secret), html.escape(repr(secret)), escape(secret, {'"': "&quot;"}), quote(secret)]
    forms += [json.dumps(secret, ensure_ascii=False), repr(f"before {secret} '\" after")]
    for form in forms:
        assert MASK in without_keys(form, {secret}), form
        shown = without_keys(form, {secret})
        assert not [word for word in re.findall(r"\w{4,}", secret) if word in shown]


def test_the_two_ends_of_a_long_secret_are_masked_where_pytest_cuts_it() -> None:
    secret = "".join(f"{number:03}x" for number in range(200))
    shown = without_keys(saferepr(secret, maxsize=240), {secret})
    assert not re.search(r"\d{3}x\d{3}x\d{3}x\d{3}x\d{3}x", shown)


def test_a_name_that_a_board_or_the_catalog_gave_stays_whole() -> None:
    desk = Target("desk", "pi3b", "ssh", {"ansible_ssh_pass": "raspberry", "ansible_become_pass": "Debian"})
    facts = Facts("Debian GNU/Linux 12 (bookworm)", "6.1", "aarch64", 4, 10**9, "b", "27.1", "overlay2", "2")
    redactor = Redactor.of([desk.variables], boards={"desk", "pi3b"}, words={"Raspberry Pi 3 Model B"})
    redactor.learn(names=facts.names)
    said = "Raspberry Pi 3 Model B runs Debian GNU/Linux 12 (bookworm); login raspberry, sudo with Debian"
    assert redactor.without_secrets(said) == (
        f"Raspberry Pi 3 Model B runs Debian GNU/Linux 12 (bookworm); login {MASK}, sudo with {MASK}"
    )


HOSTILE = [
    *(
        "eyJ-",
        "-----BEGIN A-----\n",
        "-----BEGIN A-----   ",
        "eyJaaaaaaaaaa.",
        "pass ",
        'pass="',
        "authorization:",
        "a://",
        "https://",
    ),
    *(
        "--a-",
        "-u a",
        "bearer ",
        "AAAAB",
        "ghp_",
        "AKIA",
        "0f:",
        "1.2.3.",
        "a:b",
        "sshpass -p",
        "E ",
        " ",
        "x",
    ),
    *("-----END A-----", "correct E", "correct \n", "'\"", "\\n", "SHA256:"),
]


PATTERNS = {
    pattern
    for value in vars(redaction).values()
    for pattern in (value if isinstance(value, list) else [value])
    if isinstance(pattern, re.Pattern)
}


def _growth(redacted: Callable[[str], object], word: str) -> float:
    """Return how many times as long a text ten times as long takes, in time of the CPU."""

    def took_s(characters: int) -> float:
        text, best = word * (characters // len(word)), math.inf
        for _ in range(3):
            started = time.process_time()
            redacted(text)
            best = min(best, time.process_time() - started)
        return max(best, 1e-3)  # below, the clock's resolution and the caches decide

    return took_s(300_000) / took_s(30_000)


@pytest.mark.parametrize("word", HOSTILE)
def test_redaction_takes_time_in_proportion_to_the_text(word: str) -> None:
    secrets = {"correct E horse", "battery"}
    assert _growth(lambda text: redact(text, secrets), word) < 40  # in proportion: 10; quadratic: 100


@pytest.mark.parametrize("pattern", sorted(PATTERNS, key=str))
def test_every_pattern_takes_time_in_proportion_to_the_text(pattern: re.Pattern[str]) -> None:
    anchored = pattern is redaction._CUT_SHORT  # tried at the end of a BEGIN alone, never searched for
    redacted = pattern.match if anchored else functools.partial(pattern.sub, "")
    growth = {word: _growth(redacted, word) for word in HOSTILE}
    assert {word: times for word, times in growth.items() if times >= 40} == {}


def test_a_secret_is_masked_wherever_it_stands_and_a_short_one_where_it_is_a_word() -> None:
    assert without_keys("xcorrect-horsex", {"correct-horse"}) == f"x{MASK}x"
    assert without_keys("hypriot on HypriotOS, 'hypriot'.", {"hypriot"}) == f"{MASK} on HypriotOS, '{MASK}'."
    assert without_keys("abc.*", {".*.*.*.*"}) == "abc.*"
    assert without_keys("masked twice", {"masked", "twice"}) == f"{MASK} {MASK}"


def test_what_a_command_or_a_url_among_the_variables_holds_is_secret_everywhere() -> None:
    variables = {
        "microcloud_power_cycle": "curl -u admin:hunter2 --token 'a b c d' http://me:hunter3@pdu/off",
        "GIT_URL": "https://hunter4@git.example.org/x.git",
    }
    assert secrets([variables]) == {
        *("admin:hunter2", "hunter2", "a b c d", "me:hunter3", "hunter3", "hunter4")
    }


def test_a_secret_of_several_words_is_masked_where_it_is_shown_on_several_lines() -> None:
    wrapped = "E   {'ansible_password': 'correct horse '\nE                        'battery'}"
    assert without_keys(wrapped, {"correct horse battery"}) == f"E   {{'ansible_password': {MASK}}}"
    assert without_keys(repr("correct\nhorse"), {"correct\nhorse"}) == f"'{MASK}'"


def test_a_boards_own_numbers_are_its_address_and_its_serial_numbers() -> None:
    facts = Facts("Raspbian", "6.1", "aarch64", 4, 10**9, "b", "27.1", "overlay2", "2")
    known = dataclasses.replace(
        facts, serial="00000000765fc593", card=Card("0353", "SL16G", "0xdeadbeef", None, None, None)
    )
    assert facts.identifiers == set()
    assert known.identifiers == {"00000000765fc593", "0353", "0xdeadbeef"}
    redactor = Redactor.of([], boards={"desk"}, addresses={"desk.example.org", "desk"})
    assert redactor.identifiers == {"desk.example.org"}
    redactor.learn(identifiers=known.identifiers)
    assert redactor.identifiers == {"desk.example.org", "00000000765fc593", "0353", "0xdeadbeef"}


@pytest.mark.parametrize("other", ["00000000765FC593", "gate.example.org"])
def test_a_board_that_is_named_as_another_is_identified_stays_in_sight(other: str) -> None:
    redactor = Redactor.of([], boards={"desk", other}, addresses={"gate.example.org", "192.0.2.13"})
    redactor.learn(identifiers={"00000000765fc593"})
    assert redactor.for_page(f"{other} is up, desk is at 192.0.2.13") == f"{other} is up, desk is at {MASK}"


def test_a_password_that_is_a_boards_name_does_not_mask_the_board() -> None:
    desk = Target(
        "black-pearl", "pi3b", "ssh", {"ansible_password": "black-pearl", "ansible_become_pass": "pi3b"}
    )
    assert Redactor.of([desk.variables], boards={"black-pearl", "pi3b"}).without_secrets(
        "black-pearl (pi3b)"
    ) == ("black-pearl (pi3b)")


def test_a_password_that_is_a_word_of_every_run_takes_it_out_of_none(catalog: Catalog) -> None:
    environment = {"DB_PASSWORD": "Docker", "API_TOKEN": "quick", "PULL_SECRET": "zookeeper"}
    redactor = Redactor.of([environment], words={*catalog.words, "docker"})
    assert redactor.without_secrets("docker, quick, ZooKeeper") == "docker, quick, ZooKeeper"
    assert Redactor.of([environment]).without_secrets("docker, quick") == f"{MASK}, {MASK}"


def test_a_page_that_may_identify_still_shows_no_key() -> None:
    desk = Target("desk", "pi3b", "ssh", {"ansible_host": "192.0.2.13", "ansible_password": "correct-horse"})
    redactor = Redactor.of(
        [desk.variables, {"API_TOKEN": "abcdefgh"}], addresses={desk.address}, identify=True
    )
    text = redactor.for_page(redactor.without_secrets("192.0.2.13 correct-horse abcdefgh"))
    assert text == f"192.0.2.13 {MASK} {MASK}"


def test_a_document_is_masked_in_its_values_and_keeps_its_form() -> None:
    document = {"correct-horse": ["correct-horse", 1, 2.5, None, True, {"a": ("correct-horse", Path("x"))}]}
    shown = in_all(document, lambda text: without_keys(text, {"correct-horse"}))
    assert shown == {"correct-horse": [MASK, 1, 2.5, None, True, {"a": [MASK, "x"]}]}


def test_a_target_shows_none_of_its_variables() -> None:
    desk = Target("desk", "pi3b", "ssh", {"ansible_password": "correct-horse"})
    assert "correct-horse" not in f"{desk!r}{desk}"
