"""The fingerprints of machines: HypriotOS with a user without root, Podman, and an emulated board."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.machines import hypriot

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.boards.facts import Facts
    from tests.conftest import NewRealBoard
    from tests.support.real import RealBoard

pytestmark = pytest.mark.engine


def facts_of(board: RealBoard) -> Facts:
    rack = board.in_rack()
    try:
        return rack.board(board.name).facts
    finally:
        rack.close()


def test_hypriotos_is_reported_by_its_own_fields_to_a_user_without_root(
    new_real_board: NewRealBoard,
) -> None:
    desk = new_real_board("desk", **hypriot())
    facts = facts_of(desk)
    assert facts.os_release == "HypriotOS v1.12.3, Raspbian GNU/Linux 10 (buster)"
    assert (facts.hypriot_image_version, facts.hypriot_device, facts.hypriot_os) == (
        "v1.12.3",
        "Raspberry Pi",
        "HypriotOS/armhf",
    )
    assert facts.kernel == desk.shell("uname -r").strip()
    assert facts.isa == desk.shell("uname -m").strip()
    assert facts.boot.startswith(desk.shell("cat /proc/sys/kernel/random/boot_id").strip())
    engine = desk.shell("docker version -f '{{json .Server.Components}}'")
    assert (facts.engine, facts.docker_version is not None) == ("Docker", True)
    assert f'"Version":"{facts.docker_version}"' in engine
    assert f'"Name":"containerd","Version":"{facts.containerd_version}"' in engine
    assert facts.storage_driver == desk.shell("docker info -f '{{.Driver}}'").strip()
    assert facts.cgroup_version == desk.shell("docker info -f '{{.CgroupVersion}}'").strip()
    assert facts.identity is None
    assert facts.swap_bytes is not None


def test_podman_at_dockers_socket_is_named(new_real_board: NewRealBoard) -> None:
    facts = facts_of(new_real_board("pod", engine="podman"))
    assert (facts.engine, facts.containerd_version) == ("Podman", None)
    assert facts.docker_version
    assert facts.storage_driver
    assert facts.cgroup_version


def test_an_emulated_board_does_not_report_the_hosts_hardware(pi3b: Board) -> None:
    facts = pi3b.facts
    hardware = (facts.identity, facts.revision_code, facts.tree_model, facts.serial, facts.card)
    assert hardware == (None,) * 5
    assert (facts.frequency, facts.swap_bytes, facts.gpu_bytes, facts.compatible) == (None, None, None, ())
    assert facts.os_release is not None
    assert facts.os_release.startswith("Debian")
    assert facts.containerd_version
