"""Turns ssh's messages into errors that state what happened and what the user can do."""

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
# `ssh -v` prints each of these lines once per hop if there are jump hosts. The last one is from the hop that
# failed.
ASKED = re.compile(r"debug1: Authenticating to (?P<host>\S+?)(?::\d+)? as ")
OFFERED = re.compile(r"debug1: Server host key: (?P<kind>\S+) (?P<fingerprint>SHA256:\S+)")

FORGETS = """
  But first remove `UserKnownHostsFile /dev/null` from ansible_ssh_common_args or your ~/.ssh/config,
  because ssh would not store the key"""

# The first match is the cause: the failure of a jump host precedes its consequence for the board.
REASONS: tuple[tuple[str, type[LinkError], str], ...] = (
    (
        r"Could not resolve hostname (?P<host>\S+): (?P<why>.+)",
        LinkError,
        "the name {host} cannot be resolved ({why}): set ansible_host to the board's address, or add a "
        "HostName to your ~/.ssh/config",
    ),
    (
        r"connect to host (?P<host>\S+) port (?P<port>\d+): Connection refused",
        LinkError,
        "{host} refuses SSH at port {port}: start its sshd (systemctl enable --now ssh), or set ansible_port "
        "to the right port",
    ),
    (
        r"connect to host (?P<host>\S+) port (?P<port>\d+): (?P<why>.+)",
        LinkError,
        "{host} does not respond at port {port} ({why}): is it powered, booted, and on this network?",
    ),
    (
        r"open failed: (?P<why>.+)\s+stdio forwarding failed",
        LinkError,
        "the jump host cannot connect to the board ({why}): is the board powered, and is its address valid "
        "in the network behind the jump host?",
    ),
    (
        r"timed out during banner exchange",
        LinkError,
        "the SSH port is open, but sends no SSH banner in time: either the board hangs, or the port is not "
        "sshd's (check ansible_port)",
    ),
    (
        r"Permissions (?P<mode>\d+) for '(?P<file>[^']+)' are too open",
        LoginRejected,
        "the key {file} is readable by others (mode {mode}), so ssh does not use it: chmod 600 {file}",
    ),
    (
        r"Too many authentication failures",
        LoginRejected,
        "your ssh offered more keys than the board's sshd accepts: set ansible_ssh_private_key_file to the "
        "right key",
    ),
    (
        r"Load key \"?(?P<file>[^\"\n]+?)\"?: (?P<why>.*(?:libcrypto|invalid format).*)",
        LoginRejected,
        "ssh cannot use the key {file} ({why}): it is not a private key, or it has Windows line endings. "
        "Check it with `ssh-keygen -y -f {file}`; `sed -i 's/\\r$//' {file}` corrects the line endings",
    ),
    (
        r"(?P<why>sign_and_send_pubkey: .*(?:refused|failed).*)",
        LoginRejected,
        "your ssh-agent cannot sign with the key ({why}): unlock it, or add the key again (ssh-add)",
    ),
    (
        r"(?P<who>\S+): Permission denied \((?P<ways>[^)]*)\)",
        LoginRejected,
        "the login as {who} was rejected ({ways}): copy your public key to the board (ssh-copy-id), or set "
        "ansible_user and ansible_ssh_private_key_file to the right user and key. There is no prompt for a "
        "passphrase, so a key with a passphrase must be in ssh-agent (ssh-add)",
    ),
    (
        r"no matching (?P<what>.+) found\. Their offer: (?P<offer>\S+)",
        LinkError,
        "its sshd offers no {what} that your ssh accepts, only {offer}: allow one of these for this board "
        "only, in ansible_ssh_common_args or your ~/.ssh/config (see https://www.openssh.com/legacy.html)",
    ),
    (
        r"(?P<how>Connection (?:closed|reset) by (?!UNKNOWN|remote|peer).+)",
        LinkError,
        "its sshd closed the connection before the login was complete ({how}): look for the reason in "
        "`journalctl -u ssh` on the board, or check ansible_port, if the port is not sshd's",
    ),
)


# Messages that ssh prints before a rejected login. They may name the cause.
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
    "the login runs another command: check for command= in the user's authorized_keys, ForceCommand in "
    "sshd's configuration, and `exit` or `exec` in the shell's start-up files"
)


def no_command(board: str, errors: str, output: str) -> LoginRejected:
    """Return the error for a login that did not run the command. The error quotes a line of the output."""
    lines = [line.strip() for line in f"{output}\n{errors}".splitlines() if line.strip()]
    named = [(line, remedy) for line in lines for pattern, remedy in NO_COMMAND if re.search(pattern, line)]
    line, remedy = named[-1] if named else (lines[-1] if lines else "no output", FORCED)
    return LoginRejected(board, f"accepts the login but cannot run commands ({text(line)}): {remedy}")


def reason(
    board: str,
    output: str,
    by_hand: Sequence[str],
    known_hosts: Callable[[], str],
    verbosely: Callable[[], str],
) -> LinkError:
    """Return the error that explains why ssh did not connect, given its messages in `output`.

    `by_hand` is an ssh command that asks the user whether to accept an unknown host key. `known_hosts`
    returns the files in which ssh looks up host keys. `verbosely` connects a second time and returns the
    output of `ssh -v`, because only that output has the fingerprint of an unknown host key. Unlike
    ssh-keyscan, `ssh -v` works through a jump host.
    """
    if found := CHANGED.search(output):
        return _changed(board, found["host"], output, by_hand)
    if UNKNOWN.search(output):
        return _unknown(board, verbosely(), by_hand, known_hosts())
    for pattern, error, remedy in REASONS:
        if found := re.search(pattern, output):
            named = [text(line[0]) for line in COMPLAINT.finditer(output) if found[0] not in line[0]]
            before = f". Before that, ssh printed: {'; '.join(filter(None, named))}" if named else ""
            return error(board, remedy.format(**found.groupdict()) + before)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return LinkError(board, f"no SSH connection: {'; '.join(lines) or 'ssh printed nothing'}")


def _unknown(board: str, output: str, by_hand: Sequence[str], known_hosts: str) -> HostKeyUnknown:
    offered, asked = OFFERED.findall(output), ASKED.findall(output)
    key = " ".join(offered[-1]) if offered else "none was offered"
    kind = offered[-1][0].removeprefix("ssh-").partition("-")[0] if offered else "*"
    forgets = FORGETS if known_hosts == "/dev/null" else ""
    return HostKeyUnknown(
        board,
        f"the host key of {asked[-1] if asked else board} is not known to your ssh: {key}\n"
        "  Compare this key with the fingerprint that the following command prints on the machine's own "
        f"console: ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub\n"
        f"  Then accept the key: {shlex.join(by_hand)}{forgets}",
    )


def _changed(board: str, host: str, output: str, by_hand: Sequence[str]) -> HostKeyChanged:
    sent, offending = SENT.search(output), OFFENDING.search(output)
    forget = ["ssh-keygen", *(["-f", offending["file"]] if offending else []), "-R", host]
    return HostKeyChanged(
        board,
        f"the host key of {host} has changed{f' to {sent[1]}' if sent else ''}: the board was reinstalled, "
        "or another machine has its address\n"
        f"  If you know why, remove the old key: {shlex.join(forget)}\n"
        f"  Then accept the new key: {shlex.join(by_hand)}",
    )
