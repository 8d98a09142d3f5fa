"""Emulated boards on this machine's engine: their properties, limits, creation and removal."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from docker.errors import NotFound

from pytest_microcloud.boards import board as boards
from pytest_microcloud.boards import facts
from pytest_microcloud.boards.drivers.container import ContainerDriver, calibration
from pytest_microcloud.boards.drivers.container.disk import DiskLimits
from pytest_microcloud.boards.drivers.container.page_cache import read_in
from pytest_microcloud.boards.gauge import Gauge
from pytest_microcloud.controller import images
from pytest_microcloud.errors import HostTooSmall, LinkError
from pytest_microcloud.experiments.deploy import deploy

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.boards.rack import Rack
    from pytest_microcloud.catalog import Catalog

pytestmark = pytest.mark.engine

NewRack = Callable[..., "Rack"]
ADDED = {"SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "MKNOD", "SYS_BOOT", "SYS_NICE"}
FORBIDDEN_BITS = {"SYS_MODULE": 16, "SYS_RAWIO": 17, "SYS_RESOURCE": 24, "SYS_TIME": 25, "BPF": 39}


@pytest.fixture
def container(pi3b: Board) -> Container:
    return container_of(pi3b)


@pytest.fixture
def limits(container: Container) -> dict[str, Any]:
    found: dict[str, Any] = container.attrs["HostConfig"]
    return found


def container_of(board: Board) -> Container:
    assert isinstance(board.driver, ContainerDriver)
    board.driver.container.reload()
    return board.driver.container


def model_of(catalog: Catalog, **changes: Any) -> Catalog:
    changed = dataclasses.replace(catalog.model("pi3b"), **changes)
    return dataclasses.replace(catalog, models={**catalog.models, "pi3b": changed})


def test_a_board_is_not_privileged_and_has_only_the_stated_capabilities(
    pi3b: Board, limits: dict[str, Any]
) -> None:
    assert limits["Privileged"] is False
    assert {name.removeprefix("CAP_") for name in limits["CapAdd"]} == ADDED
    held = int(pi3b.link.run("sed -n 's/^CapEff:\t//p' /proc/1/status").stdout, 16)
    assert [name for name, bit in FORBIDDEN_BITS.items() if held >> bit & 1] == []


def test_a_board_has_its_models_memory_and_no_swap(pi3b: Board, limits: dict[str, Any]) -> None:
    published = pi3b.model.mem_total_bytes
    with Gauge(pi3b.link) as gauge:
        reading = gauge.read()
    assert pi3b.facts.memory_bytes == pytest.approx(published, rel=0.02)
    assert reading.total_bytes == pytest.approx(published, rel=0.02)
    assert 0 < reading.available_bytes < reading.total_bytes
    assert limits["MemorySwap"] == limits["Memory"]


def test_the_os_image_is_in_the_hosts_page_cache_before_a_board_is_powered_on(
    container: Container, host_engine: DockerClient, pi3b: Board
) -> None:
    image = container.attrs["Config"]["Image"]
    cached = "fincore --noheadings --bytes --output RES,SIZE /usr/bin/docker"
    evicted = "dd if=/usr/bin/docker iflag=nocache count=0 of=/dev/null 2>/dev/null"

    def pages(script: str) -> tuple[int, int]:
        reported = host_engine.containers.run(image, ["-c", script], entrypoint="sh", remove=True)
        resident, size = map(int, reported.split())
        return resident, size

    resident, size = pages(f"{evicted}; {cached}")
    assert resident < size / 2
    read_in(host_engine, image, "desk", pi3b.run_id)
    resident, size = pages(cached)
    assert resident >= size


def test_the_cpu_quota_is_the_calibrated_one_and_in_force(
    pi3b: Board, container: Container, limits: dict[str, Any], host_engine: DockerClient
) -> None:
    share = calibration.calibrate(
        host_engine, container.attrs["Config"]["Image"], pi3b.model, pi3b.run_id, print
    ).cpus
    assert limits["CpuQuota"] / limits["CpuPeriod"] == pytest.approx(share, rel=0.01)

    def cpu_s() -> float:
        message = cast("dict[str, Any]", container.stats(stream=False))
        return float(message["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9

    spin = "timeout 4 sh -c 'while :; do :; done'"
    used, started = cpu_s(), time.monotonic()
    pi3b.link.run(f"{spin} & {spin} & {spin}; wait", check=False)
    used, wall = cpu_s() - used, time.monotonic() - started
    assert used / wall < share * 1.15


def test_the_disk_limits_are_the_models_and_in_force(
    pi3b: Board, limits: dict[str, Any], host_engine: DockerClient
) -> None:
    expected = DiskLimits.of(host_engine, pi3b.model)
    if not expected.options:
        assert set(expected.gaps) <= set(pi3b.gaps)
        return
    model = pi3b.model
    assert limits["BlkioDeviceReadBps"][0]["Rate"] == model.disk_read_bytes_per_s
    assert limits["BlkioDeviceWriteBps"][0]["Rate"] == model.disk_write_bytes_per_s
    assert limits["BlkioDeviceReadIOps"][0]["Rate"] == model.disk_read_iops
    assert limits["BlkioDeviceWriteIOps"]
    assert model.disk_write_bytes_per_s
    written, started = 32 * 2**20, time.monotonic()
    pi3b.link.run(
        "dd if=/dev/zero of=/var/tmp/limit bs=1M count=32 oflag=direct conv=fsync; rm /var/tmp/limit"
    )
    assert written / (time.monotonic() - started) < model.disk_write_bytes_per_s * 1.2


def test_systemd_is_the_first_process_and_no_unit_failed(pi3b: Board) -> None:
    assert pi3b.link.run("cat /proc/1/comm").stdout.strip() == "systemd"
    state = pi3b.link.run("systemctl is-system-running --wait", check=False).stdout.strip()
    assert pi3b.link.run("systemctl --failed --no-legend --plain").stdout == ""
    assert state == "running"


def test_the_boards_own_engine_runs_a_container(pi3b: Board, catalog: Catalog) -> None:
    image = deploy(pi3b, catalog.workload("ruby")).image
    assert pi3b.docker.containers.run(image, ["echo", "from inside"], remove=True) == b"from inside\n"
    assert pi3b.docker.info()["ID"] != ""
    assert pi3b.docker.info()["Name"] == "shared"


def test_what_is_not_emulated_is_described(pi3b: Board) -> None:
    assert all(len(gap.split()) > 2 for gap in pi3b.gaps), pi3b.gaps
    assert any("instruction set" in gap for gap in pi3b.gaps)


def test_the_round_trip_is_a_gap_exactly_where_nothing_emulates_it(pi3b: Board) -> None:
    by = pi3b.driver.emulated_by()["round_trip"]
    assert any(gap.startswith("round trip") for gap in pi3b.gaps) == (by == "none")


def test_netem_is_preferred_where_the_kernel_has_it(pi3b: Board) -> None:
    tried = pi3b.link.run("tc qdisc add dev lo root netem delay 1ms", check=False)
    pi3b.link.run("tc qdisc del dev lo root", check=False)
    assert (pi3b.driver.emulated_by()["round_trip"] == "netem") == (tried.status == 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mem_total_bytes": 2**50}, "this host .* MiB"),
        ({"sevenzip_mips_all_cores": 1e6}, "needs a 7-Zip rating of 1000000 MIPS"),
    ],
    ids=["memory", "cpu"],
)
def test_a_model_too_large_for_this_host_is_refused_with_what_it_would_need(
    new_rack: NewRack, catalog: Catalog, host_engine: DockerClient, change: dict[str, Any], message: str
) -> None:
    rack = new_rack("giant", catalog=model_of(catalog, **change))
    with pytest.raises(HostTooSmall, match=f"(?s){message}.*at least.*or use a real board"):
        rack.board("giant")
    rack.close()
    assert left_of(rack, host_engine) == []


def left_of(rack: Rack, host_engine: DockerClient) -> list[str]:
    label = f"microcloud.run={rack.workspace.run_id}"
    containers = host_engine.containers.list(all=True, filters={"label": label})
    volumes = host_engine.volumes.list(filters={"label": label})
    return [*(str(c.name) for c in containers), *(str(v.name) for v in volumes)]


def test_a_reboot_is_a_new_boot(pi3b: Board) -> None:
    before, number = facts.boot_identity(pi3b.link), pi3b.boot
    rebooted = pi3b.reboot()
    pi3b.settle()
    assert facts.boot_identity(pi3b.link) != before
    assert pi3b.facts.boot == facts.boot_identity(pi3b.link)
    assert pi3b.boot == number + 1
    assert rebooted.ready_s > 0


def test_an_old_boot_that_never_ended_is_not_mistaken_for_a_new_one(
    pi3b: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = pi3b.boot
    monkeypatch.setattr(boards, "BOOT_TIMEOUT_S", 2.0)
    monkeypatch.setattr(pi3b.driver, "reboot", lambda _link: None)
    with pytest.raises(LinkError, match="did not come back"):
        pi3b.reboot()
    assert pi3b.boot == number
    assert pi3b.link.run("echo still there").stdout == "still there\n"


@pytest.mark.slow
def test_a_kept_board_is_adopted_by_the_next_rack_and_removed_at_its_end(
    new_rack: NewRack, host_engine: DockerClient
) -> None:
    first = new_rack("kept", keep=True)
    kept = container_of(first.board("kept"))
    identity = facts.boot_identity(first.board("kept").link)
    volumes = [mount["Name"] for mount in kept.attrs["Mounts"] if mount["Type"] == "volume"]
    first.close()
    assert host_engine.containers.get(str(kept.id)).status == "running"
    assert not first.workspace.path.exists()

    reported: list[str] = []
    second = new_rack("kept", announce=lambda _board, text: reported.append(text))
    adopted = second.board("kept")
    assert container_of(adopted).id == kept.id
    assert facts.boot_identity(adopted.link) == identity
    assert any("kept" in text for text in reported)
    second.close()
    with pytest.raises(NotFound):
        host_engine.containers.get(str(kept.id))
    assert not {str(volume.name) for volume in host_engine.volumes.list()} & set(volumes)


def test_an_image_is_rebuilt_when_its_dockerfile_changes_and_only_then(
    host_engine: DockerClient, tmp_path: Path
) -> None:
    base = images.base(host_engine, "bookworm", print)
    reported: list[str] = []

    def built(text: str) -> str:
        (tmp_path / "Dockerfile").write_text(f"ARG BASE\nFROM ${{BASE}}\nLABEL content={text}\n")
        return images.build(host_engine, "tests", tmp_path, base, reported.append)

    tags = [built("one"), built("one"), built("another")]
    try:
        assert tags[0] == tags[1] != tags[2]
        assert len(reported) == 2
        assert [host_engine.images.get(tag).labels["content"] for tag in tags] == ["one", "one", "another"]
    finally:
        for tag in set(tags):
            host_engine.images.remove(tag, force=True)
