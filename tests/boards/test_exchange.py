"""Booting another image: an emulated board is replaced, a real one is flashed."""

from __future__ import annotations

import dataclasses
import signal
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud.boards import power
from pytest_microcloud.boards.drivers.container import ContainerDriver, calibration
from pytest_microcloud.controller import images
from pytest_microcloud.controller.engine import RUN_LABEL
from pytest_microcloud.errors import BoardError
from tests.support.machines import HYPRIOTOS

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient

    from pytest_microcloud.boards.board import Board
    from tests.conftest import NewRack, NewRealBoard
    from tests.support.real import RealBoard

pytestmark = [pytest.mark.engine, pytest.mark.slow]

# It has the image's name put down as the release, and the board's power cut, as a card's writer would.
FLASH = """\
#!/bin/sh
[ "$MICROCLOUD_IMAGE" != broken ] || {{ echo "no such image"; exit 3; }}
echo "$MICROCLOUD_IMAGE" >> {flashed}
exec docker exec {container} sed -i "s/^PRETTY_NAME=.*/PRETTY_NAME=$MICROCLOUD_IMAGE/" /usr/lib/os-release
"""


def quota(board: Board) -> float:
    assert isinstance(board.driver, ContainerDriver)
    board.driver.container.reload()
    limits = board.driver.container.attrs["HostConfig"]
    return float(limits["CpuQuota"] / limits["CpuPeriod"])


def test_an_emulated_board_reports_what_it_is_made_of(pi3b: Board, host_engine: DockerClient) -> None:
    made_of = pi3b.driver.made_of()
    assert made_of["image"] == images.WORKLOAD_SUITE
    assert host_engine.images.get(made_of["image_id"]).tags[0].startswith("microcloud/board:")
    assert made_of["calibrated_cpus"] == pytest.approx(quota(pi3b), rel=0.01)
    assert made_of["cpu_share"] == 1.0
    assert made_of["host"] in calibration.host_cpu()


@pytest.mark.long
def test_an_emulated_board_is_exchanged_for_one_with_less_cpu_and_back(
    new_rack: NewRack, host_engine: DockerClient
) -> None:
    with closing(new_rack("swapped")) as rack:
        board = rack.board("swapped")
        own, booted, whole = rack.original("swapped"), board.booted, quota(board)
        board.link.run("touch /etc/was-here")
        rack.exchange("swapped", {**own, "cpu_share": 0.5}, "half of it")
        assert rack.board("swapped") is board
        assert quota(board) == pytest.approx(whole / 2, rel=0.02)
        assert board.booted != booted
        assert board.link.run("test -e /etc/was-here", check=False).status == 1
        assert board.lock.held
        assert board.docker.ping()
        assert "CPU: 0.5 of the model's (microcloud_cpu_share)" in board.driver.gaps(board.link)
        rack.exchange("swapped", own, "as it was")
        assert quota(board) == pytest.approx(whole)
        assert rack.original("swapped") == own
    label: dict[str, str | list[str] | bool] = {"label": f"{RUN_LABEL}={rack.workspace.run_id}"}
    assert host_engine.containers.list(all=True, filters=label) == []
    assert host_engine.volumes.list(filters=label) == []
    assert rack.not_cleaned_up == []


def test_a_removed_image_cannot_be_booted(shared_rack: object, pi3b: Board) -> None:
    del shared_rack
    gone = pi3b.driver.made_of() | {"image_id": f"sha256:{'0' * 64}"}
    with pytest.raises(BoardError, match=r"the other run's image of bookworm \(.*\) no longer exists"):
        pi3b.driver.like(gone)
    with pytest.raises(BoardError, match="does not state the image"):
        pi3b.driver.like({})


@pytest.fixture
def flashed(tmp_path: Path) -> Path:
    return tmp_path / "flashed"


def flash(desk: RealBoard, flashed: Path) -> Path:
    """Return a command that flashes the board."""
    command = flashed.with_name("flash")
    command.write_text(FLASH.format(container=desk.container.name, flashed=flashed))
    command.chmod(0o755)
    return command


@pytest.mark.parametrize("powered", [False, True], ids=["reboots", "power-cycles"])
def test_a_real_board_is_flashed_boots_the_image_and_gets_its_original_image_back(
    new_real_board: NewRealBoard, flashed: Path, powered: bool
) -> None:
    desk = new_real_board("desk", os_release=HYPRIOTOS)
    power = f"docker restart -t 0 {desk.container.name}" if powered else None
    command = flash(desk, flashed)
    with closing(
        desk.in_rack(microcloud_image="own-os", microcloud_flash=command, microcloud_power_cycle=power)
    ) as rack:
        board = rack.board("desk")
        assert rack.original("desk") == {"image": "own-os"}
        booted = board.booted
        rack.exchange("desk", {"image": "other-os"}, "the baseline")
        assert "other-os" in str(board.facts.os_release)
        assert board.booted != booted
        assert board.lock.held
        assert rack.board("desk").trouble() == ""
    assert flashed.read_text().split() == ["other-os", "own-os"]
    assert rack.not_cleaned_up == []


def test_a_flash_that_was_not_waited_for_is_before_the_next_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = f"sh -c 'echo begins $MICROCLOUD_IMAGE >> {log}; sleep 2; echo ends >> {log}'"
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # a session in the background ignores it
    try:
        threading.Timer(0.5, signal.pthread_kill, (main_thread, signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            power.flash("desk", command, "other-os")
    finally:
        signal.signal(signal.SIGINT, usual)
    power.flash("desk", command, "own-os")
    assert log.read_text().splitlines() == ["begins other-os", "ends", "begins own-os", "ends"]


def test_a_flash_that_fails_is_an_error_of_that_board_that_quotes_it(
    new_real_board: NewRealBoard, flashed: Path
) -> None:
    desk = new_real_board("desk")
    command = flash(desk, flashed)
    with closing(desk.in_rack(microcloud_image="own-os", microcloud_flash=command)) as rack:
        rack.board("desk")
        with pytest.raises(BoardError, match=r"microcloud_flash: \S+flash exited with 3: no such image"):
            rack.exchange("desk", {"image": "broken"}, "the baseline")
        with pytest.raises(BoardError, match="could not boot another image"):
            rack.board("desk")
    assert flashed.read_text().split() == ["own-os"]  # whatever the first try left of it
    assert rack.not_cleaned_up == []


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (None, "there is no command that flashes the board: set microcloud_flash"),
        ("true", "its image is not known: set microcloud_image"),
    ],
)
def test_an_exchange_without_its_requirements_names_the_missing_one(
    real_board: RealBoard, command: str | None, why: str
) -> None:
    with closing(real_board.in_rack(microcloud_flash=command)) as rack:
        rack.board("real")
        with pytest.raises(BoardError, match=why):
            rack.check_exchange("real", {"image": "other-os"})


def test_targets_stay_as_the_inventory_has_them(new_rack: NewRack) -> None:
    rack = new_rack("unswapped")
    target = rack.targets["unswapped"]
    assert (
        dataclasses.replace(target, variables={**target.variables, "microcloud_cpu_share": 0.5}).cpu_share
        == 0.5
    )
    assert target.cpu_share == 1.0
