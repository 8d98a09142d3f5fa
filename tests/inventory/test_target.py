"""The meaning of a host's variables under all of Ansible's names, and the variables that are refused."""

from __future__ import annotations

import pytest

from pytest_microcloud.errors import InventoryError
from pytest_microcloud.inventory.target import Target


def desk(**variables: object) -> Target:
    return Target("desk", "pi3b", "ssh", variables)


def test_connection_variables_are_honoured_under_their_other_names() -> None:
    target = desk(
        ansible_ssh_host="192.0.2.13",
        ansible_ssh_port=2222,
        ansible_ssh_user="pirate",
        ansible_private_key_file="/keys/lab",
        ansible_ssh_args="-C -o ControlMaster=auto",
        ansible_ssh_common_args="-J gate",
    )
    assert (target.address, target.port, target.user) == ("192.0.2.13", 2222, "pirate")
    assert target.private_key_file == "/keys/lab"
    assert target.ssh_arguments == ("-C", "-o", "ControlMaster=auto", "-J", "gate")


def test_of_two_names_of_a_variable_ansibles_choice_is_used() -> None:
    assert desk(ansible_host="a", ansible_ssh_host="b").address == "b"
    assert desk(ansible_user="a", ansible_ssh_user="b").user == "b"
    keys = desk(ansible_private_key_file="/a", ansible_ssh_private_key_file="/b")
    assert keys.private_key_file == "/b"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ansible_connection", "local"),
        ("ansible_connection", "community.docker.docker"),
        ("ansible_become_method", "su"),
        ("ansible_become_user", "postgres"),
        ("ansible_become_exe", "/usr/local/bin/sudo"),
        ("ansible_become_flags", "-H"),
        ("ansible_ssh_executable", "/opt/ssh"),
        ("ansible_private_key", "-----BEGIN"),
        ("ansible_ssh_private_key_passphrase", "hunter2"),
        ("ansible_ssh_pkcs11_provider", "/usr/lib/opensc.so"),
    ],
)
def test_variables_that_cannot_be_honoured_are_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(InventoryError, match=f"host 'desk': {variable}.* cannot be honoured: ") as caught:
        desk(**{variable: value})
    assert "hunter2" not in str(caught.value)
    assert "BEGIN" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("ansible_connection", "ssh"), ("ansible_connection", "smart"), ("ansible_become_method", "sudo")),
        *(
            ("ansible_become_user", "root"),
            ("ansible_ssh_executable", "ssh"),
            ("ansible_ssh_pipelining", True),
        ),
    ],
)
def test_variables_without_an_effect_are_accepted(variable: str, value: object) -> None:
    assert desk(**{variable: value}).address == "desk"


def test_passwords_are_named_as_not_used() -> None:
    passwords = dict.fromkeys(("ansible_ssh_pass", "ansible_become_pass"), "raspberry")
    assert desk(**passwords).unused_passwords == ("ansible_become_pass", "ansible_ssh_pass")
    assert desk().unused_passwords == ()


@pytest.mark.parametrize(
    "address", ["ssh://board", "pi@board", "[board]", "[2001:db8::1]", "board:22", "a/b"]
)
@pytest.mark.parametrize("variable", ["ansible_host", "ansible_ssh_host"])
def test_an_address_is_an_address_alone(variable: str, address: str) -> None:
    with pytest.raises(InventoryError, match=f"'desk': {variable}=.* should be a host's address or name"):
        desk(**{variable: address})


@pytest.mark.parametrize(
    "address", ["192.0.2.13", "2001:db8::1", "fe80::1%eth0", "board.example.org", "my_pi"]
)
def test_an_address_is_used_unchanged(address: str) -> None:
    assert desk(ansible_host=address).address == address


@pytest.mark.parametrize(
    ("variable", "value"),
    [("microcloud_rate_mbps", 1e300), ("microcloud_rtt_ms", 1e9), ("ansible_port", 70000)],
)
def test_a_number_beyond_sense_is_refused(variable: str, value: float) -> None:
    with pytest.raises(InventoryError, match=f"'desk': {variable}=.* should be "):
        desk(**{variable: value})


@pytest.mark.parametrize("site", ["192.0.2.1", "two words", "-x"])
def test_a_site_is_a_name(site: str) -> None:
    assert desk(microcloud_site="rack1").site == "rack1"
    assert desk().site is None
    with pytest.raises(InventoryError, match=r"microcloud_site=.* should be a name"):
        desk(microcloud_site=site)


def test_the_gateway_of_a_site_reaches_a_board_without_jump_hosts() -> None:
    target = desk(
        ansible_ssh_args="-C -J gate",
        ansible_ssh_common_args="-o ProxyJump=gate -o Port=2222",
        ansible_ssh_extra_args="-o 'ProxyCommand ssh -W %h:%p gate' -F file",
        ansible_user="pirate",
    )
    direct = target.without_jump()
    assert direct.ssh_arguments == ("-C", "-o", "Port=2222", "-F", "file")
    assert direct.user == "pirate"
    assert desk().without_jump() == desk()
