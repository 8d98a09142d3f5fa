"""Ansible's connection variables: their aliases, and the variables that the plugin cannot honour.

Source: the options of Ansible's connection plugin `ssh` and become plugin `sudo`. If several names of a
variable are set, Ansible uses the last in the order below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

NAMES: Mapping[str, tuple[str, ...]] = {
    "ansible_host": ("ansible_host", "ansible_ssh_host"),
    "ansible_port": ("ansible_port", "ansible_ssh_port"),
    "ansible_user": ("ansible_user", "ansible_ssh_user"),
    "ansible_ssh_private_key_file": ("ansible_private_key_file", "ansible_ssh_private_key_file"),
}
PASSWORDS = frozenset(
    {
        *("ansible_password", "ansible_ssh_pass", "ansible_ssh_password"),
        *("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass"),
    }
)
_ALLOWED: Mapping[str, tuple[str, ...]] = {
    "ansible_connection": ("ssh", "smart"),
    "ansible_become_method": ("sudo", "ansible.builtin.sudo"),
    "ansible_become_user": ("root",),
    "ansible_ssh_executable": ("ssh",),
}
_KEY = "write the key into a file and name it with ansible_ssh_private_key_file, or use ssh-agent"
_REFUSED: Mapping[str, str] = {
    "ansible_connection": "boards are reached over ssh only",
    "ansible_become_method": "boards are used through sudo, or as root",
    "ansible_become_user": "commands run as the user who logs in, or as root",
    "ansible_become_exe": "the `sudo` on the board's PATH is used",
    "ansible_become_flags": "sudo is called with -n only",
    "ansible_ssh_executable": "the `ssh` on PATH is used",
    "ansible_private_key": _KEY,
    "ansible_ssh_private_key": _KEY,
    "ansible_private_key_passphrase": "put the key into ssh-agent (ssh-add)",
    "ansible_ssh_private_key_passphrase": "put the key into ssh-agent (ssh-add)",
    "ansible_ssh_pkcs11_provider": "write -o PKCS11Provider=… into ansible_ssh_common_args",
}


def spelling(variable: str, variables: Mapping[str, object]) -> str:
    """Return the alias under which `variables` has the variable; `variable` itself if it is not set."""
    set_as = [name for name in NAMES.get(variable, (variable,)) if variables.get(name) is not None]
    return set_as[-1] if set_as else variable


def refused(variables: Mapping[str, object]) -> Iterator[str]:
    """Yield a message for each variable that the plugin cannot honour: its name, and what to do instead."""
    for name, remedy in _REFUSED.items():
        value = variables.get(name)
        if value not in (None, "") and str(value).lower() not in _ALLOWED.get(name, ()):
            shown = f"={value}" if name in _ALLOWED else ""
            yield f"{name}{shown} cannot be honoured: {remedy}"
