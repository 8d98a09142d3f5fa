"""The boards that other tests take for real ones are as they say, without the plugin."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.controller.engine import RUN_LABEL
from tests.support.machines import PI_2, hypriot
from tests.support.real import LABEL, remove_left

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient

    from tests.conftest import NewRealBoard
    from tests.support.real import RealBoard

pytestmark = pytest.mark.engine

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def ssh(board: RealBoard, command: str) -> subprocess.CompletedProcess[str]:
    """Log in as its user does, with nothing of the plugin's."""
    known = f"UserKnownHostsFile={board.known_hosts}"
    return subprocess.run(
        [
            *("ssh", "-F", "none", "-i", str(board.key), "-o", "BatchMode=yes", "-o", known),
            *("-o", "StrictHostKeyChecking=yes", f"{board.user}@{board.address}", command),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_plain_one_lets_root_in_has_docker_and_bears_no_label_of_the_plugins(
    real_board: RealBoard, host_engine: DockerClient
) -> None:
    assert ssh(real_board, "id -un; docker version -f '{{.Server.Os}}'").stdout == "root\nlinux\n"
    labels = host_engine.containers.get(str(real_board.container.id)).labels
    assert LABEL in labels
    assert RUN_LABEL not in labels


def test_it_keeps_its_address_and_host_key_over_a_reboot(new_real_board: NewRealBoard) -> None:
    board = new_real_board()
    before = ssh(board, BOOT_ID).stdout
    board.shell("systemctl reboot", check=False)
    board.container.wait(timeout=60)
    board.wait_until_up()
    after = ssh(board, BOOT_ID).stdout
    assert len(after) == len(before) == 37
    assert after != before


def test_one_like_hypriotos_has_its_release_and_a_user_with_sudo_and_docker(
    new_real_board: NewRealBoard,
) -> None:
    board = new_real_board("black-pearl", **hypriot(others_containers=2))
    said = ssh(board, "id -un; sudo -n id -un; . /etc/os-release; echo $HYPRIOT_IMAGE_VERSION; docker ps -q")
    assert said.stdout.splitlines()[:3] == ["pirate", "root", "v1.12.3"]
    assert len(said.stdout.splitlines()) == 3 + 2


def test_one_like_a_pi_2_has_its_revision_code_and_little_memory(new_real_board: NewRealBoard) -> None:
    board = new_real_board(cpuinfo=PI_2, memory=900 * 2**20)
    assert "Revision\t: a01041\n" in ssh(board, "cat /proc/cpuinfo").stdout
    ssh(board, "docker info").check_returncode()


@pytest.mark.parametrize(
    ("sudo", "said"), [("password", "a password is required"), ("no", "a password is required")]
)
def test_sudo_may_ask_for_a_password_and_docker_be_forbidden(
    new_real_board: NewRealBoard, sudo: str, said: str
) -> None:
    board = new_real_board(user="guest", sudo=sudo, docker_group=False)  # type: ignore[arg-type]
    assert said in ssh(board, "sudo -n true").stderr
    assert "permission denied" in ssh(board, "docker ps").stderr


def test_a_host_key_may_be_unknown_and_an_engine_be_missing(new_real_board: NewRealBoard) -> None:
    board = new_real_board(engine=None, known=False)
    assert "Host key verification failed" in ssh(board, "true").stderr
    assert board.shell("command -v docker podman; ls /run/docker.sock", check=False).count("No such file")


def test_one_with_podman_answers_at_its_socket_and_has_no_docker(new_real_board: NewRealBoard) -> None:
    board = new_real_board(engine="podman")
    said = ssh(board, "podman --remote --url unix:///run/podman/podman.sock info -f '{{.Host.OS}}'")
    assert said.stdout == "linux\n"
    assert board.shell("command -v docker dockerd", check=False) == ""


def test_what_a_killed_test_session_left_is_removed_and_what_a_live_one_has_is_not(
    real_board: RealBoard, host_engine: DockerClient, tmp_path: Path
) -> None:
    labels = {LABEL: "20200101T000000-dead"}
    image = real_board.container.attrs["Image"]
    volume = host_engine.volumes.create(labels=labels)
    network = host_engine.networks.create(f"microcloud-{tmp_path.name}", labels=labels)
    container = host_engine.containers.create(image, labels=labels, volumes=[f"{volume.name}:/data"])
    remove_left(host_engine)
    gone = [
        host_engine.containers.list(all=True, filters={"id": str(container.id)}),
        host_engine.volumes.list(filters={"name": str(volume.name)}),
        host_engine.networks.list(filters={"id": str(network.id)}),
    ]
    assert gone == [[], [], []]
    assert ssh(real_board, "true").returncode == 0
