"""Builds command lines that work in any login shell that a board's user may have."""

from __future__ import annotations

import shlex

START = b"-- pytest-microcloud --\n"
"""The marker between the output of the shell's start-up files and the output of a command."""
LONGEST = 120
"""Maximum length of a command in a message, in characters."""
_NO_SUDO = (
    "a password is required",
    "a terminal is required",
    "you must have a tty",
    "not in the sudoers file",
    "is not allowed to",
    "may not run sudo",
    "sudo: not found",
    # sudo-rs
    "interactive authentication is required",
    "I'm afraid I can't do that",
)


def as_root(line: str) -> str:
    """Return a command line that runs `line` as root from any login shell, with sudo if needed.

    The locale makes sudo print English messages, which `sudo_refused` recognises.
    """
    script = (
        f'as_root=; [ "$(id -u)" = 0 ] || {{ as_root="sudo -n"; export LC_ALL=C; }}; exec $as_root {line}'
    )
    return f"sh -c {shlex.quote(script)}"


def sudo_refused(errors: str) -> bool:
    """Return whether sudo, as `as_root` calls it, asked for a password or refused the command."""
    return any(words in errors for words in _NO_SUDO)


def marked(line: str) -> str:
    """Return a command line that prints `START` and then runs `line`, from any login shell."""
    return f"echo {shlex.quote(START.decode().strip())}; exec {line}"


def named(command: str) -> str:
    """Return the text by which messages refer to a shell command: its first line, shortened if necessary."""
    first = next((line.strip() for line in command.splitlines() if line.strip()), "")
    return first if first == command.strip() and len(first) <= LONGEST else f"{first[:LONGEST]} …"
