"""Errors of ssh connections, from what ssh prints: what happened, and what the user can do."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence

from pytest_microcloud.boards.plain_text import text
from pytest_microcloud.errors import HostKeyChanged, HostKeyUnknown, LinkError, LoginRejected

CHANGED = re.compile(r"[Hh]ost key for (?P<host>\S+) has changed")
UNKNOWN = re.compile(r"[Hh]ost key is known for \S+ and you have requested|Host key verification failed")
OFFENDING = re.compile(r"Offending \S+ key in (?P<file>.+):\d+")
SENT = re.compile(r"(?P<fingerprint>SHA256:[\w+/=]+)")
# From `ssh -v`. With jump hosts there is one of each a hop, and the last is the one that was not got past.
ASKED = re.compile(r"debug1: Authenticating to (?P<host>\S+?)(?::\d+)? as ")
OFFERED = re.compile(r"debug1: Server host key: (?P<kind>\S+) (?P<fingerprint>SHA256:\S+)")

FORGETS = """
  But first take `UserKnownHostsFile /dev/null` out of ansible_ssh_common_args or your ~/.ssh/config: no key
  is kept there"""

# The first match is the reason: the failure of a jump host comes before its consequence for the board.
REASONS: tuple[tuple[str, type[LinkError], str], ...] = (
    (
        r"Could not resolve hostname (?P<host>\S+): (?P<why>.+)",
        LinkError,
        "the name {host} stands for no address ({why}): put the board's address into ansible_host, or a "
        "HostName into your ~/.ssh/config",
    ),
    (
        r"connect to host (?P<host>\S+) port (?P<port>\d+): Connection refused",
        LinkError,
        "{host} refuses SSH at port {port}: start its sshd (systemctl enable --now ssh), or name the right "
        "port with ansible_port",
    ),
    (
        r"connect to host (?P<host>\S+) port (?P<port>\d+): (?P<why>.+)",
        LinkError,
        "{host} does not answer at port {port} ({why}): is it powered, booted, and on this network?",
    ),
    (
        r"open failed: (?P<why>.+)\s+stdio forwarding failed",
        LinkError,
        "the jump host does not get through to it ({why}): is it powered, and is its address that of the "
        "network behind the jump host?",
    ),
    (
        r"timed out during banner exchange",
        LinkError,
        "something listens at its port but does not speak SSH in time: the board hangs, or it is not sshd's "
        "port (ansible_port)",
    ),
    (
        r"Permissions (?P<mode>\d+) for '(?P<file>[^']+)' are too open",
        LoginRejected,
        "the key {file} may be read by others (mode {mode}), and ssh uses no such key: chmod 600 {file}",
    ),
    (
        r"Too many authentication failures",
        LoginRejected,
        "your ssh offered more keys than its sshd accepts: name the right one with "
        "ansible_ssh_private_key_file",
    ),
    (
        r"Load key \"?(?P<file>[^\"\n]+?)\"?: (?P<why>.*(?:libcrypto|invalid format).*)",
        LoginRejected,
        "ssh cannot use the key {file} ({why}): it is not a private key, or it has line ends of Windows. "
        "Check it with `ssh-keygen -y -f {file}`; `sed -i 's/\\r$//' {file}` mends the line ends",
    ),
    (
        r"(?P<why>sign_and_send_pubkey: .*(?:refused|failed).*)",
        LoginRejected,
        "your ssh-agent does not sign with the key ({why}): unlock it, or add the key again (ssh-add)",
    ),
    (
        r"(?P<who>\S+): Permission denied \((?P<ways>[^)]*)\)",
        LoginRejected,
        "{who} is not let in ({ways}): put your public key there (ssh-copy-id), or name the right user and "
        "key with ansible_user and ansible_ssh_private_key_file. Nobody is asked for a passphrase, so "
        "a key that has one must be in ssh-agent (ssh-add)",
    ),
    (
        r"no matching (?P<what>.+) found\. Their offer: (?P<offer>\S+)",
        LinkError,
        "its sshd offers no {what} that your ssh allows, but {offer}: allow it for this board alone, in "
        "ansible_ssh_common_args or your ~/.ssh/config (https://www.openssh.com/legacy.html has how)",
    ),
    (
        r"(?P<how>Connection (?:closed|reset) by (?!UNKNOWN|remote|peer).+)",
        LinkError,
        "its sshd ended the connection before the login was through ({how}): `journalctl -u ssh` on the "
        "board says why, or it is no sshd",
    ),
)


# What ssh complains of before a login is refused, which may be why.
COMPLAINT = re.compile(
    r"^(?:Load key |no such identity: |Bad (?:owner|permissions)|identity_sign: |agent refused).+",
    re.MULTILINE,
)
NO_COMMAND: tuple[tuple[str, str], ...] = (
    (r"(?i)password.*expired|Password change required", "log in once by hand and set a new password"),
    (r"(?i)account .*not available|nologin", "give the user a shell: chsh -s /bin/sh USER"),
    (r"(?i)account .*expired", "renew the account: chage -E -1 USER"),
)
FORCED = (
    "the login runs another command: look for command= in the user's authorized_keys, for ForceCommand in "
    "sshd's configuration, and for `exit` or `exec` in the shell's start-up files"
)


def no_command(board: str, errors: str, output: str) -> LoginRejected:
    """Return the error for a login that did not run our command, quoting what ssh and the shell printed."""
    said = [line.strip() for line in f"{output}\n{errors}".splitlines() if line.strip()]
    named = [(line, remedy) for line in said for pattern, remedy in NO_COMMAND if re.search(pattern, line)]
    line, remedy = named[-1] if named else (said[-1] if said else "it printed nothing", FORCED)
    return LoginRejected(board, f"accepts the login but cannot run commands ({text(line)}): {remedy}")


def reason(
    board: str,
    said: str,
    by_hand: Sequence[str],
    known_hosts: Callable[[], str],
    verbosely: Callable[[], str],
) -> LinkError:
    """Return the error for what ssh said; `by_hand` is the user's own ssh to the board, which asks.

    `known_hosts` returns the files in which ssh looks for keys. `verbosely` tries once more and returns what
    `ssh -v` says: only that has the fingerprint of a key that is not known, and unlike ssh-keyscan it has it
    through a jump host, too.
    """
    if found := CHANGED.search(said):
        return _changed(board, found["host"], said, by_hand)
    if UNKNOWN.search(said):
        return _unknown(board, verbosely(), by_hand, known_hosts())
    for pattern, error, remedy in REASONS:
        if found := re.search(pattern, said):
            named = [text(line[0]) for line in COMPLAINT.finditer(said) if found[0] not in line[0]]
            before = f". Before that ssh said: {'; '.join(filter(None, named))}" if named else ""
            return error(board, remedy.format(**found.groupdict()) + before)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return LinkError(board, f"no SSH connection: {'; '.join(lines) or 'nothing was said'}")


def _unknown(board: str, said: str, by_hand: Sequence[str], known_hosts: str) -> HostKeyUnknown:
    offered, asked = OFFERED.findall(said), ASKED.findall(said)
    key = " ".join(offered[-1]) if offered else "it showed none"
    kind = offered[-1][0].removeprefix("ssh-").partition("-")[0] if offered else "*"
    forgets = FORGETS if known_hosts == "/dev/null" else ""
    return HostKeyUnknown(
        board,
        f"the host key of {asked[-1] if asked else board} is not known to your ssh: {key}\n"
        f"  See on its own console that it is this one: ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub\n"
        f"  Then accept it: {shlex.join(by_hand)}{forgets}",
    )


def _changed(board: str, host: str, said: str, by_hand: Sequence[str]) -> HostKeyChanged:
    sent, offending = SENT.search(said), OFFENDING.search(said)
    forget = ["ssh-keygen", *(["-f", offending["file"]] if offending else []), "-R", host]
    return HostKeyChanged(
        board,
        f"the host key of {host} is not the one that your ssh knows, but "
        f"{sent['fingerprint'] if sent else 'another'}: the board was reinstalled, or another machine "
        "answers in its place\n"
        f"  If you know why, forget the old one: {shlex.join(forget)}\n"
        f"  Then accept the new one: {shlex.join(by_hand)}",
    )
