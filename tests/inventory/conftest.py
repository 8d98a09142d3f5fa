"""Inventories that tests read and write."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_microcloud.inventory import ansible
from tests.support.inventories import MODELS, Choose, Write, read

LAB = """\
    # one of every thing that Ansible's INI format has
    [pi3b]
    pi3b-[1:3]
    pi3b-desk ansible_host=192.0.2.13 ansible_port=2222 ansible_user=pirate microcloud_rtt_ms=12.5

    [pi2b]
    pi2b-shelf ansible_ssh_common_args='-o ProxyJump="lab gate"' microcloud_image='a name # with spaces'

    [pi2b:vars]
    ansible_user=pi
    microcloud_power_cycle=uhubctl -l 1-1 -p 2 -a cycle

    [t2_small]
    vm microcloud_driver=container microcloud_rate_mbps=50

    [attic]

    [old-boards:children]
    pi2b
    attic

    [boards:children]
    old-boards
    pi3b

    [boards:vars]
    ansible_user=somebody
    ansible_become=yes
    ansible_ssh_private_key_file=~/.ssh/lab

    [desk]
    pi3b-desk
    pi2b-shelf

    [all:vars]
    site=lahore
    """


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Choose]:
    """Select hosts from one large inventory, which Ansible reads once."""
    file = tmp_path_factory.mktemp("lab") / "hosts.ini"
    file.write_text(dedent(LAB))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ansible, "_listing", functools.cache(ansible._listing))
        yield lambda pattern: read(file, pattern, MODELS)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an inventory for one test."""

    def hosts_ini(text: str) -> Path:
        file = tmp_path / "hosts.ini"
        file.write_text(dedent(text), encoding="utf-8")
        return file

    return hosts_ini
