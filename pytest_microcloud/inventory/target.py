"""One host of the inventory, with typed variables in SI units."""

from __future__ import annotations

import dataclasses
import getopt
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pytest_microcloud.errors import InventoryError
from pytest_microcloud.inventory import connection
from pytest_microcloud.redaction import redact

VARIABLES = (
    "microcloud_docker_socket",
    "microcloud_driver",
    "microcloud_flash",
    "microcloud_image",
    "microcloud_install",
    "microcloud_model",
    "microcloud_out_of_service",
    "microcloud_power_cycle",
    "microcloud_rate_mbps",
    "microcloud_rtt_ms",
    "microcloud_site",
)
"""The `microcloud_` variables that hosts of any driver may have."""
BOOLEANS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)

# A host's name is used in ssh_config, in file names and in testinfra's specs.
NAME = re.compile(r"\w[\w.-]*")
# Host and user names that OpenSSH 9.6 and later reject: ssh could parse them as options, and the shell of a
# ProxyCommand as commands.
UNSAFE = re.compile(r"""^-|[\s\0-\x1f\x7f'`"$;&<>|(){}]|\\$""")
NOT_IN_ADDRESS = re.compile(r"://|[@/\[\]]")
LONGEST_ROUND_TRIP_MS = 60_000.0
HIGHEST_RATE_MBPS = 1e6
SOCKET = re.compile(r"/[\w.+@/-]*")  # `:`, `%` and `$` have a meaning for ssh
SSH_ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
JUMPS = re.compile(r"\s*Proxy(Jump|Command)\b", re.IGNORECASE)
SSH_OPTIONS = "46AaB:b:Cc:D:F:I:i:J:KkL:l:m:o:p:qR:vXxYy"
"""ssh's options for reaching a host, in getopt's notation. Other options would change what ssh does."""


@dataclass(frozen=True)
class DriverRules:
    """The inventory rules for the hosts of a driver.

    `variables` are accepted only for hosts of drivers that list them. `addressed` states whether the hosts
    have an address (`ansible_host`).
    """

    variables: frozenset[str] = frozenset()
    addressed: bool = True


@dataclass(frozen=True)
class Target:
    """One host of the inventory with its variables; nothing is connected yet.

    `model` is a board model's id in the catalog. `variables` are the variables of the host and its groups, as
    Ansible merges them. `groups` are the host's groups, the nearest first.
    The constructor raises InventoryError if a variable that the properties below read has an invalid value.
    """

    name: str
    model: str
    driver: str
    # Not in the repr: variables may contain a password, and pytest shows reprs when a test fails.
    variables: Mapping[str, object] = field(default_factory=dict, hash=False, repr=False)
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise InventoryError(
                f"host {self.name!r}: a name should consist of letters, digits, `.`, `-` and `_`; "
                "set ansible_host to the address"
            )
        if wrong := next(connection.refused(self.variables), ""):
            raise InventoryError(f"host {self.name!r}: {wrong}")
        for name, value in vars(Target).items():
            if isinstance(value, property):
                getattr(self, name)

    @property
    def address(self) -> str:
        """The address for SSH: `ansible_host` or the host's name; may be an alias in ssh's configuration."""
        wanted = "a host's address or name, without scheme, user, brackets and port"
        address = self._word("ansible_host", wanted) or self.name
        if NOT_IN_ADDRESS.search(address) or address.count(":") == 1:
            raise self._wrong("ansible_host", wanted)
        return address

    @property
    def port(self) -> int | None:
        """The SSH port: `ansible_port`."""
        port = self._number("ansible_port", "a port from 1 to 65535", 1, 65535)
        if port is not None and not port.is_integer():
            raise self._wrong("ansible_port", "a port from 1 to 65535")
        return None if port is None else int(port)

    @property
    def user(self) -> str | None:
        """The user for the login: `ansible_user`."""
        return self._word("ansible_user", "a user's name")

    @property
    def private_key_file(self) -> str | None:
        """The SSH identity file: `ansible_ssh_private_key_file`."""
        return self.text("ansible_ssh_private_key_file")

    @property
    def ssh_arguments(self) -> tuple[str, ...]:
        """Additional options of ssh: `ansible_ssh_args`, `…_common_args`, `…_extra_args`, in this order."""
        return tuple(word for variable in SSH_ARGUMENTS for word in self._ssh_options(variable))

    @property
    def unused_passwords(self) -> tuple[str, ...]:
        """The names of variables with passwords, which Ansible uses and the plugin ignores."""
        return tuple(sorted(connection.PASSWORDS & self.variables.keys()))

    @property
    def become(self) -> bool:
        """Whether commands need sudo: `ansible_become`."""
        return self._yes("ansible_become")

    @property
    def install(self) -> bool:
        """Whether missing tools are installed for the duration of a run: `microcloud_install`."""
        return self._yes("microcloud_install")

    @property
    def docker_socket(self) -> str | None:
        """The path of the engine's socket on the board, if it is not Docker's default."""
        path = self.text("microcloud_docker_socket")
        if path is not None and not SOCKET.fullmatch(path):
            raise self._wrong("microcloud_docker_socket", "the path of a socket, such as /run/docker.sock")
        return path

    @property
    def image(self) -> str | None:
        """The image of an emulated board, or the image to flash onto a real board: `microcloud_image`."""
        return self.text("microcloud_image")

    @property
    def flash(self) -> str | None:
        """A command on the controller that writes an OS image onto the board: `microcloud_flash`.

        The environment variable MICROCLOUD_IMAGE has the value of `microcloud_image`.
        """
        return self._command("microcloud_flash")

    @property
    def cpu_share(self) -> float:
        """The emulated board's share of its model's CPU, from `microcloud_cpu_share`; 1.0 by default."""
        wanted = "a share of the model's CPU, such as 0.8"
        share = self._number("microcloud_cpu_share", wanted, 0.001, 1.0)
        return 1.0 if share is None else share

    @property
    def round_trip_s(self) -> float | None:
        """The round trip of an emulated board's link (s), from `microcloud_rtt_ms`; None if not set."""
        wanted = "a round trip in ms, such as 12.5"
        milliseconds = self._number("microcloud_rtt_ms", wanted, 0, LONGEST_ROUND_TRIP_MS)
        return None if milliseconds is None else milliseconds / 1000

    @property
    def link_bits_per_s(self) -> float | None:
        """The rate of an emulated board's link (bit/s), from `microcloud_rate_mbps`; None if not set."""
        wanted = "a rate in Mbit/s, such as 94"
        megabits = self._number("microcloud_rate_mbps", wanted, 0.001, HIGHEST_RATE_MBPS)
        return None if megabits is None else megabits * 1e6

    @property
    def out_of_service(self) -> str | None:
        """Why the board is out of service: `microcloud_out_of_service`.

        Such a board is used only if --hosts names it, and not if --hosts names a group.
        """
        reason = (self.text("microcloud_out_of_service") or "").strip()
        known = BOOLEANS.get(reason.lower(), bool(reason))
        return None if not known else "no reason is given" if reason.lower() in BOOLEANS else reason

    @property
    def site(self) -> str | None:
        """The site where the board stands: `microcloud_site`. A site is behind one gateway."""
        wanted = "a name of letters, digits, `.`, `-` and `_`, and no address"
        site = self.text("microcloud_site")
        if site is not None and (not NAME.fullmatch(site) or redact(site) != site):
            raise self._wrong("microcloud_site", wanted)
        return site

    @property
    def power_cycle(self) -> str | None:
        """A command on the controller that cuts and restores the board's power: `microcloud_power_cycle`."""
        return self._command("microcloud_power_cycle")

    def without_jump(self) -> Target:
        """Return the target as the gateway of its site reaches it: without jump hosts and proxy commands."""
        without: dict[str, object] = {}
        for variable in SSH_ARGUMENTS:
            if self.text(variable) is not None:
                without[variable] = shlex.join(_without_jump(self._ssh_options(variable)))
        return dataclasses.replace(self, variables={**self.variables, **without})

    def text(self, variable: str) -> str | None:
        """Return a variable's value, None if it is not set. Raises InventoryError if it is not plain text."""
        value = self.variables.get(connection.spelling(variable, self.variables))
        if isinstance(value, dict | list):
            raise self._wrong(variable, "a plain text")
        if "{{" in str(value):
            raise self._wrong(variable, "a literal value, since Ansible's templates are not evaluated here")
        return None if value in (None, "") else str(value)

    def _command(self, variable: str) -> str | None:
        """Return the command in a variable. Errors do not quote it, because it may contain passwords."""
        text = self.text(variable)
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
        text = self.text(variable)
        if text is not None and UNSAFE.search(text):
            raise self._wrong(variable, f"{wanted}, without spaces, quotes and a leading `-`")
        return text

    def _yes(self, variable: str) -> bool:
        word = (self.text(variable) or "no").lower()
        if word not in BOOLEANS:
            raise self._wrong(variable, "yes or no")
        return BOOLEANS[word]

    def _ssh_options(self, variable: str) -> tuple[str, ...]:
        try:
            options, more = getopt.getopt(shlex.split(self.text(variable) or ""), SSH_OPTIONS)
        except (ValueError, getopt.GetoptError) as error:
            raise self._wrong(variable, f"options of ssh for reaching the host ({error})") from None
        if more:
            raise self._wrong(variable, f"options of ssh, but {more[0]!r} does not belong to an option")
        # ssh's verbosity is fixed, because its messages identify the failure.
        return tuple(word for option in options if option[0] not in ("-q", "-v") for word in option if word)

    def _number(self, variable: str, wanted: str, least: float, most: float = math.inf) -> float | None:
        try:
            text = self.text(variable)
            number = None if text is None else float(text)
        except ValueError:
            raise self._wrong(variable, wanted) from None
        if number is not None and not (least <= number <= most and math.isfinite(number)):
            raise self._wrong(variable, wanted)
        return number

    def _wrong(self, variable: str, wanted: str) -> InventoryError:
        name = connection.spelling(variable, self.variables)
        return InventoryError(
            f"host {self.name!r}: {name}={_quoted(self.variables[name])} should be {wanted}"
        )


def _without_jump(words: Iterable[str]) -> Iterator[str]:
    """Yield the options of ssh, without jump hosts and proxy commands."""
    options, _ = getopt.getopt(list(words), SSH_OPTIONS)
    for option, value in options:
        if option != "-J" and not (option == "-o" and JUMPS.match(value)):
            yield from (word for word in (option, value) if word)


def _quoted(value: object) -> str:
    """Return the text of a value, or the text's repr if it is not one printable line."""
    text = str(value)
    return text if text.isprintable() else repr(text)
