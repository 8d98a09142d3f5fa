"""Errors of inventories: each names the file, the host and the correct form."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from pytest_microcloud.errors import InventoryError
from pytest_microcloud.inventory import ansible
from tests.support.inventories import MODELS, Choose, Write, mistake, names, read


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        pytest.param("pi3", "no host or group is named 'pi3'; did you mean 'pi3b'?", id="a group"),
        pytest.param("pi3b-dsk", "is named 'pi3b-dsk'; did you mean 'pi3b-desk'?", id="a host"),
        pytest.param(
            "pi3b,zebra", "no host or group is named 'zebra' (there are: groups", id="one of several"
        ),
        pytest.param(
            "pi3b,!zebra", "no host or group is named 'zebra' (there are: groups", id="an exclusion"
        ),
        pytest.param(
            "pi3b,&zebra", "no host or group is named 'zebra' (there are: groups", id="an intersection"
        ),
        pytest.param("pj*", "no host or group is named 'pj*' (there are: groups", id="a wildcard"),
        pytest.param("PI3B", "no host or group is named 'PI3B'", id="capitals"),
        pytest.param(
            "ssh://pi@192.0.2.13", "no host or group is named 'ssh://pi@192.0.2.13'", id="an address"
        ),
        pytest.param("attic", "'attic' contains no host (there are: groups", id="an empty group"),
        pytest.param(
            "pi3b,attic", "'attic' contains no host (there are: groups", id="an empty group of several"
        ),
        pytest.param("pi3b,!boards", "'pi3b,!boards' selects no host", id="all excluded"),
        pytest.param("vm,&desk", "'vm,&desk' selects no host", id="nothing in common"),
        pytest.param("", "'' selects no host", id="nothing"),
        pytest.param(" , ", "' , ' selects no host", id="only a comma"),
    ],
)
def test_a_pattern_that_selects_no_host_is_reported_with_the_existing_ones(
    lab: Choose, pattern: str, message: str
) -> None:
    with pytest.raises(InventoryError, match=re.escape(message)) as raised:
        lab(pattern)
    text = str(raised.value)
    assert "hosts.ini: " in text
    groups, hosts = text.split("there are: groups ")[1].removesuffix(")").split("; hosts ")
    assert sorted(groups.split(", ")) == ["boards", "desk", "old-boards", "pi2b", "pi3b", "t2_small"]
    assert hosts == "vm, pi2b-shelf, pi3b-1, pi3b-2, pi3b-3, pi3b-desk"


def test_the_error_of_a_large_inventory_does_not_list_every_host(write: Write) -> None:
    text = mistake(write("[pi3b]\nboard-[001:200]\n"), "zebra")
    assert "board-029, board-030 and 170 more)" in text


def test_a_missing_inventory_is_reported_with_the_nearest_file(write: Write, tmp_path: Path) -> None:
    write("[pi3b]\nboard\n")
    text = mistake(tmp_path / "host.ini")
    assert (
        text
        == f"{tmp_path}/host.ini: no such inventory file; did you mean 'hosts.ini'? (there are: hosts.ini)"
    )
    assert "(there are: none)" in mistake(tmp_path / "nowhere" / "hosts.ini")
    text = mistake(tmp_path)
    assert text == f"{tmp_path}: is a directory: give the inventory file, such as {tmp_path}/hosts.ini"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("[pi3b]\nboard user\n", "Expected key=value", id="no equals sign"),
        pytest.param("[boards:children]\npi3b\n", "includes undefined group", id="a child that is not there"),
        pytest.param("[pi3b:vars]\na=1\n", "not valid for undefined group", id="variables of no group"),
        pytest.param("[pi3b]\nboard a='b\n", "No closing quotation", id="an open quote"),
        pytest.param("---\npi3b:\n  hosts:\n    board:\n", "YAML", id="another format"),
    ],
)
def test_a_file_that_ansible_cannot_parse_is_reported_in_ansibles_words(
    write: Write, text: str, message: str
) -> None:
    expected = mistake(write(text), "pi3b")
    assert "hosts.ini: Ansible cannot read it: " in expected
    assert expected.count(message) == 1
    assert "WARNING" not in expected
    assert "Completely failed" not in expected


def test_an_invalid_group_vars_file_is_reported(write: Write, tmp_path: Path) -> None:
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "pi3b.yml").write_text("ansible_user: [pi\n")
    expected = mistake(write("[pi3b]\nboard\n"))
    assert "did not find expected ',' or ']'" in expected
    assert "also check group_vars" in expected


def test_an_empty_file_holds_no_host(write: Write) -> None:
    message = mistake(write("# nothing yet\n"))
    assert "'all' contains no host (there are: groups (none); hosts (none))" in message


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        pytest.param(
            "[pi3]\nboard",
            "host 'board' has no board model: none of its groups (pi3) has a model's name; "
            "did you mean 'pi3b'? (set microcloud_model to one of: pi1b, pi2b, pi3b, t2_small)",
            id="no model",
        ),
        pytest.param("board", "it is in no group (set microcloud_model to one of: ", id="no group"),
        pytest.param(
            "[pi3b]\nboard\n[pi2b]\nboard",
            "host 'board' is in groups of several board models (pi2b, pi3b): set microcloud_model",
            id="two models",
        ),
        pytest.param(
            "[pi3b]\nboard microcloud_model=pi2",
            "host 'board': no board model is named 'pi2'; did you mean 'pi2b'? (there are: pi1b, pi2b, pi3b,",
            id="an unknown model",
        ),
        pytest.param(
            "[pi3b]\nboard microcloud_driver=contaner",
            "no driver is named 'contaner'; did you mean 'container'? (there are: container, ssh)",
            id="an unknown driver",
        ),
        pytest.param(
            "[pi3b]\nboard microcloud_rtt_ms=fast",
            "host 'board': microcloud_rtt_ms=fast should be a round trip in ms, such as 12.5",
            id="a round trip that is not a number",
        ),
        pytest.param(
            "[pi3b]\nboard microcloud_rtt_ms=-1", "microcloud_rtt_ms=-1 should be", id="a negative round trip"
        ),
        pytest.param(
            "[pi3b]\nboard microcloud_rate_mbps='50 Mbit'",
            "host 'board': microcloud_rate_mbps=50 Mbit should be a rate in Mbit/s, such as 94",
            id="a rate with its unit",
        ),
        pytest.param(
            "[pi3b]\nboard microcloud_rate_mbps=0", "microcloud_rate_mbps=0 should be", id="a rate of 0"
        ),
        pytest.param("[pi3b]\nboard microcloud_rate_mbps=nan", "mbps=nan should be", id="a rate of nan"),
        pytest.param(
            "[pi3b]\nboard ansible_port=ssh",
            "host 'board': ansible_port=ssh should be a port from 1 to 65535",
            id="a port that is not a number",
        ),
        pytest.param(
            "[pi3b]\nboard ansible_port=70000", "ansible_port=70000 should be", id="a port too high"
        ),
        pytest.param("[pi3b]\nboard ansible_port=22.5", "ansible_port=22.5 should be", id="half a port"),
        pytest.param(
            "[pi3b]\nboard ansible_become=ture", "ansible_become=ture should be yes or no", id="no yes"
        ),
        pytest.param("[pi3b]\nboard ansible_user=\"['pi']\"", "should be a plain text", id="a list"),
        pytest.param(
            "[pi3b]\nboard ansible_host='{{ inventory_hostname }}.lan'",
            "ansible_host={{ inventory_hostname }}.lan should be a literal value",
            id="a template",
        ),
    ],
)
def test_an_invalid_host_is_reported_with_file_host_and_the_correct_form(
    write: Write, hosts: str, message: str
) -> None:
    expected = mistake(write(hosts + "\n"))
    assert "hosts.ini: host 'board'" in expected
    assert message in expected


@pytest.mark.parametrize(
    "name", ["192.0.2.13", "pi-192.0.2.13", "b8-27-eb-5f-c5-93", "ghp_0123456789abcdefghij"]
)
def test_a_name_that_reports_would_redact_is_refused(write: Write, name: str) -> None:
    message = mistake(write(f"[pi3b]\n{name}\nother\n"))
    assert f"host '{name}': the name is an address or looks like a key" in message
    assert "set ansible_host to the address" in message


def test_a_host_with_an_address_that_is_not_chosen_is_not_refused(write: Write) -> None:
    assert names(read(write("[pi3b]\n192.0.2.13\ndesk\n"), "desk", MODELS)) == "desk"


@pytest.mark.parametrize("name", ["127.0.0.1", "pi.example.org", "rack1.2.3", "0123"])
def test_a_name_that_reports_show_is_accepted(write: Write, name: str) -> None:
    assert names(read(write(f"[pi3b]\n{name}\n"), "all", MODELS)) == name


def test_a_missing_ansible_inventory_is_reported_with_the_command_that_installs_it(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write("[pi3b]\nboard\n")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert f"{tmp_path}/bin/python -m pip install ansible-core" in mistake(file)


def test_the_ansible_inventory_of_the_running_python_comes_before_the_one_on_path(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "echo not this one; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert names(read(write("[pi3b]\nboard\n"), "pi3b", MODELS)) == "board"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param("exec /bin/sleep 60", "ansible-inventory did not answer within 0.2 s", id="hangs"),
        pytest.param(
            "echo hello", "ansible-inventory printed 'hello\\n' instead of JSON", id="prints something else"
        ),
        pytest.param("exit 3", "Ansible cannot read it: ", id="dies without a word"),
    ],
)
def test_a_failing_ansible_inventory_is_reported(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    program(tmp_path, script)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(ansible, "TIMEOUT_S", 0.2 if "sleep" in script else 10.0)
    assert message in mistake(write("[pi3b]\nboard\n"))


def test_an_ansible_inventory_without_its_interpreter_is_reported(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "", interpreter="/nowhere/python")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert "ansible-inventory does not start: " in mistake(write("[pi3b]\nboard\n"))


def program(directory: Path, script: str, interpreter: str = "/bin/sh") -> None:
    """Write a fake ansible-inventory, for faults that cannot be caused with the real one."""
    file = directory / "ansible-inventory"
    file.write_text(f"#!{interpreter}\n{script}\n")
    file.chmod(0o755)
