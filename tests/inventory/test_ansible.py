"""Reading targets from hosts.ini and `--hosts` with the real ansible-inventory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_microcloud import catalog
from pytest_microcloud.inventory.target import DriverRules, Target
from tests.support.inventories import MODELS, Choose, Write, mistake, names, read

SHIPPED = Path(__file__).parents[2] / "hosts.ini"


# Which hosts a pattern chooses


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        pytest.param("pi3b-desk", "pi3b-desk", id="a host"),
        pytest.param("pi3b", "pi3b-1 pi3b-2 pi3b-3 pi3b-desk", id="a group with a range of hosts"),
        pytest.param("old-boards", "pi2b-shelf", id="a group of groups"),
        pytest.param("boards", "pi2b-shelf pi3b-1 pi3b-2 pi3b-3 pi3b-desk", id="a group of groups of groups"),
        pytest.param("all", "vm pi2b-shelf pi3b-1 pi3b-2 pi3b-3 pi3b-desk", id="all"),
        pytest.param("pi2b,vm", "vm pi2b-shelf", id="a list with a comma"),
        pytest.param("pi2b:vm", "vm pi2b-shelf", id="a list with a colon"),
        pytest.param(" pi2b , vm ", "vm pi2b-shelf", id="a list with spaces"),
        pytest.param("pi3b-2,pi3b,pi3b-[12]", "pi3b-1 pi3b-2 pi3b-3 pi3b-desk", id="nobody twice"),
        pytest.param("pi3b-?", "pi3b-1 pi3b-2 pi3b-3", id="a wildcard of hosts"),
        pytest.param("pi*", "pi2b-shelf pi3b-1 pi3b-2 pi3b-3 pi3b-desk", id="a wildcard of groups"),
        pytest.param("pi[2]b,*vm", "vm pi2b-shelf", id="wildcards in a list"),
        pytest.param("*", "vm pi2b-shelf pi3b-1 pi3b-2 pi3b-3 pi3b-desk", id="every host"),
        pytest.param("boards,!pi3b", "pi2b-shelf", id="an exclusion"),
        pytest.param("!pi3b,boards", "pi2b-shelf", id="an exclusion that comes first"),
        pytest.param("!boards", "vm", id="an exclusion alone"),
        pytest.param("all:!boards", "vm", id="an exclusion after a colon"),
        pytest.param("boards,&desk", "pi2b-shelf pi3b-desk", id="an intersection"),
        pytest.param("boards,&desk,!pi2*", "pi3b-desk", id="an intersection and an exclusion"),
        pytest.param("all,!attic,!vm", "pi2b-shelf pi3b-1 pi3b-2 pi3b-3 pi3b-desk", id="an empty exclusion"),
    ],
)
def test_a_pattern_chooses_hosts_as_ansible_does_in_the_inventorys_order(
    lab: Choose, pattern: str, hosts: str
) -> None:
    assert names(lab(pattern)) == hosts


def test_a_host_with_a_groups_name_is_the_host(write: Write) -> None:
    file = write("""\
        [pi3b]
        pi3b
        other
        """)
    assert names(read(file, "pi3b", MODELS)) == "pi3b"


def test_a_host_outside_all_groups_is_found(write: Write) -> None:
    (target,) = read(write("lone microcloud_model=pi3b\n"), "lone", MODELS)
    assert target == Target("lone", "pi3b", "ssh", {"microcloud_model": "pi3b"}, ())


# What a target knows


def test_a_host_variable_wins_over_its_groups_and_a_child_group_over_its_parent(lab: Choose) -> None:
    users = {target.name: target.user for target in lab("boards,!pi3b-[23]")}
    assert users == {"pi2b-shelf": "pi", "pi3b-1": "somebody", "pi3b-desk": "pirate"}


def test_a_target_has_all_variables_of_its_host(lab: Choose) -> None:
    (target,) = lab("pi3b-1")
    assert target.variables == {
        "ansible_become": "yes",
        "ansible_ssh_private_key_file": "~/.ssh/lab",
        "ansible_user": "somebody",
        "site": "lahore",
    }


def test_a_target_names_its_groups_the_nearest_first(lab: Choose) -> None:
    (target,) = lab("pi2b-shelf")
    assert set(target.groups[:2]) == {"desk", "pi2b"}
    assert target.groups[2:] == ("old-boards", "boards")


def test_variables_are_typed_and_in_si_units(lab: Choose) -> None:
    (desk,) = lab("pi3b-desk")
    assert (desk.address, desk.port, desk.user) == ("192.0.2.13", 2222, "pirate")
    assert (desk.private_key_file, desk.become, desk.driver) == ("~/.ssh/lab", True, "ssh")
    assert desk.round_trip_s == pytest.approx(0.0125)
    (vm,) = lab("vm")
    assert vm.driver == "container"
    assert vm.link_bits_per_s == pytest.approx(50e6)


def test_omitted_variables_are_none_and_the_address_is_the_name(lab: Choose) -> None:
    (vm,) = lab("vm")
    assert (vm.address, vm.become) == ("vm", False)
    assert [vm.port, vm.user, vm.private_key_file, vm.docker_socket] == [None] * 4
    assert [vm.image, vm.round_trip_s, vm.power_cycle] == [None] * 3
    assert (vm.ssh_arguments, vm.install) == ((), False)


def test_quoted_values_keep_their_spaces_quotes_and_hashes(lab: Choose) -> None:
    (shelf,) = lab("pi2b-shelf")
    assert shelf.ssh_arguments == ("-o", "ProxyJump=lab gate")
    assert shelf.image == "a name # with spaces"
    assert shelf.power_cycle == "uhubctl -l 1-1 -p 2 -a cycle"


def test_an_emulated_board_may_get_a_share_of_its_models_cpu(write: Write) -> None:
    hosts = write(
        """\
        [pi3b]
        all-of-it microcloud_driver=container
        most microcloud_driver=container microcloud_cpu_share=0.8
        """
    )
    whole, most = read(hosts, "all", MODELS)
    assert (whole.cpu_share, most.cpu_share) == (1.0, 0.8)


@pytest.mark.parametrize("share", ["0", "1.2", "half", "80%"])
def test_an_invalid_cpu_share_is_reported(write: Write, share: str) -> None:
    hosts = write(f"[pi3b]\ndesk microcloud_driver=container microcloud_cpu_share={share}\n")
    assert f"'desk': microcloud_cpu_share={share} should be a share of the model's CPU" in mistake(hosts)


def test_a_real_board_may_have_a_command_that_flashes_it(write: Write) -> None:
    (desk,) = read(write("[pi3b]\ndesk microcloud_flash='sd-writer --slot 3'\n"), "all", MODELS)
    assert (desk.flash, desk.cpu_share) == ("sd-writer --slot 3", 1.0)


@pytest.mark.parametrize("variable", ["microcloud_power_cycle", "microcloud_flash"])
@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("pdu --password=hunter2 'outlet 3", "cannot be split into words (No closing quotation)"),
        ("pdu outlet\\", "cannot be split into words (No escaped character)"),
        ("' '", "is blank"),
        ("\"'' outlet\"", "is blank"),
    ],
    ids=["quotes", "backslash", "blank", "no program"],
)
def test_an_invalid_command_is_reported_without_its_passwords(
    write: Write, variable: str, command: str, wrong: str
) -> None:
    expected = mistake(write(f"[pi3b]\ndesk\n[pi3b:vars]\n{variable}={command}\n"))
    assert expected.endswith(
        f"hosts.ini: host 'desk': {variable} should be a command and its arguments, quoted as for a shell, "
        f"but {wrong}"
    )
    assert "hunter2" not in expected


def test_a_board_with_an_address_is_not_emulated(write: Write) -> None:
    expected = mistake(
        write("[pi3b]\ndesk ansible_host=192.0.2.13\n[all:vars]\nmicrocloud_driver=container\n")
    )
    assert "host 'desk' has an address (ansible_host), but its driver creates the board itself" in expected
    assert "microcloud_driver=ssh" in expected


def test_a_real_board_has_all_its_cpu(write: Write) -> None:
    shared = write("[pi3b]\ndesk microcloud_cpu_share=0.5\n")
    assert (
        "microcloud_cpu_share is for boards of the driver container, and this host's driver is ssh"
        in mistake(shared)
    )


def test_a_target_can_be_a_key_of_a_dictionary(lab: Choose) -> None:
    assert len({target: target.name for target in lab("all") + lab("pi3b")}) == 6


def test_variables_are_read_from_group_vars_and_host_vars_beside_the_inventory(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write("""\
        [pi3b]
        one
        two:2022
        """)
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "pi3b.yml").write_text("ansible_user: pi\nmicrocloud_driver: container\n")
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "two.yml").write_text("ansible_user: pirate\nansible_become: true\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    one, two = read(file, "pi3b", MODELS)
    assert (one.user, one.driver, one.become, one.port) == ("pi", "container", False, None)
    assert (two.user, two.driver, two.become, two.port) == ("pirate", "container", True, 2022)


def test_a_relative_path_is_resolved_from_pytests_working_directory(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab").mkdir()
    write("[pi3b]\nboard\n").rename(tmp_path / "lab" / "hosts.ini")
    monkeypatch.chdir(tmp_path)
    assert names(read(Path("lab/hosts.ini"), "pi3b", MODELS)) == "board"
    monkeypatch.chdir(tmp_path / "lab")
    assert names(read(Path("hosts.ini"), "pi3b", MODELS)) == "board"


def test_the_users_ansible_settings_and_locale_have_no_effect(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "ansible.cfg").write_text(
        "[defaults]\ninventory=/nowhere\nverbosity=3\nforce_valid_group_names=always\n"
        "[inventory]\nenable_plugins=yaml\nexport=true\n"
    )
    for variable in ("ANSIBLE_FORCE_COLOR", "ANSIBLE_DEBUG", "ANSIBLE_INVENTORY_EXPORT"):
        monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("LC_ALL", "xx_YY.ISO-8859-1")
    file = write("""\
        [pi3b]
        board
        [my-desk:children]
        pi3b
        [my-desk:vars]
        ansible_user=zoë
        """)
    (target,) = read(file, "my-desk", MODELS)
    assert target.user == "zoë"


# Which model and driver a target has


def test_the_model_is_the_group_named_after_a_model(lab: Choose) -> None:
    models = {target.name: target.model for target in lab("all,!pi3b-?")}
    assert models == {"vm": "t2_small", "pi2b-shelf": "pi2b", "pi3b-desk": "pi3b"}


def test_the_nearest_group_named_after_a_model_is_the_model(write: Write) -> None:
    file = write("""\
        [pi3b:children]
        shelf
        [shelf:children]
        pi2b
        drawer
        [pi2b]
        near
        [drawer]
        far
        """)
    assert {target.name: target.model for target in read(file, "all", MODELS)} == {
        "near": "pi2b",
        "far": "pi3b",
    }


def test_a_variable_names_the_model_whatever_the_groups_are_called(write: Write) -> None:
    file = write("""\
        [pi3b]
        plain
        other microcloud_model=pi2b
        [desk]
        mine
        [desk:vars]
        microcloud_model=pi1b
        """)
    models = {target.name: target.model for target in read(file, "all", MODELS)}
    assert models == {"plain": "pi3b", "other": "pi2b", "mine": "pi1b"}


def test_a_host_without_a_model_matters_only_when_it_is_chosen(write: Write) -> None:
    file = write("""\
        [pi3b]
        board
        [printers]
        laser microcloud_driver=paper
        """)
    assert names(read(file, "pi3b", MODELS)) == "board"
    assert "'laser'" in mistake(file)


def test_the_caller_defines_the_drivers(write: Write) -> None:
    (target,) = read(
        write("[pi3b]\nboard microcloud_driver=qemu\n"), "all", MODELS, drivers={"qemu": DriverRules()}
    )
    assert target.driver == "qemu"


# Errors


# The program that reads the inventory


# The inventory that is shipped


@pytest.fixture(scope="module")
def shipped() -> list[Target]:
    """Every host of the shipped hosts.ini, whose models are in the shipped catalog."""
    return read(SHIPPED, "all", catalog.load().models)


def test_the_shipped_inventory_has_an_emulated_target_for_each_of_the_papers_boards_and_vms(
    shipped: list[Target],
) -> None:
    boards = ["pi1b_256", "pi1b", "pi1bplus", "pi2b", "pi3b"]
    vms = ["t2_small", "ec2_dublin", "ec2_seoul", "ec2_singapore", "ec2_tokyo"]
    assert [target.model for target in shipped] == boards + vms
    assert [target.name for target in shipped] == [f"{model}-emulated" for model in boards + vms]
    assert {(target.driver, target.image) for target in shipped} == {("container", "bookworm")}
    assert [target.model for target in shipped if "boards" in target.groups] == boards
    assert [target.model for target in shipped if "cloud" in target.groups] == vms


def test_the_shipped_inventorys_links_are_those_of_its_models(shipped: list[Target]) -> None:
    assert {(target.round_trip_s, target.link_bits_per_s) for target in shipped} == {(None, None)}


def test_the_shipped_inventorys_commented_example_of_a_real_board_works(write: Write) -> None:
    real, count = re.subn(r"(?m)^# (pi\w+-\w+ ansible_host)", r"\1", SHIPPED.read_text(encoding="utf-8"))
    assert count == 2
    targets = read(write(real), "pi3b", catalog.load().models)
    assert names(targets) == "pi3b-emulated pi3b-desk"
    assert (targets[1].driver, targets[1].address, targets[1].user) == ("ssh", "192.0.2.13", "pirate")
    assert targets[1].image is None
