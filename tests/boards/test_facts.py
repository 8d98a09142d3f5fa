"""Parsing a board's fingerprint: values are accepted only in their expected form."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_microcloud.boards import facts, plain_text
from pytest_microcloud.boards.facts import Card, Facts, Frequency, parsed
from pytest_microcloud.boards.plain_text import LONGEST

MIB = 2**20
DOCKER: dict[str, Any] = {"ServerVersion": "19.03.12", "Driver": "overlay2"}
VERSION: dict[str, Any] = {
    "Version": "19.03.12",
    "Components": [{"Name": "Engine", "Version": "19.03.12"}, {"Name": "containerd", "Version": "1.2.13"}],
}
REPORTED = {
    "boot": "f00d",
    "init": "12",
    "kernel": "4.19.97-v7+",
    "isa": "armv7l",
    "cpus": "4",
    "os.PRETTY_NAME": '"Raspbian GNU/Linux 10 (buster)"',
    "os.HYPRIOT_IMAGE_VERSION": '"v1.12.3"',
    "os.HYPRIOT_DEVICE": '"Raspberry Pi"',
    "os.HYPRIOT_OS": '"HypriotOS/armhf"',
    "cgroup": "tmpfs",
    "cpuinfo.Hardware": "BCM2835",
    "cpuinfo.Revision": "a02082",
    "cpuinfo.Serial": "00000000765fc593",
    "swap_kb": "0",
    "card.cid": "035344534c31364780deadbeef012300",
    "card.name": "SL16G",
    "card.serial": "0xdeadbeef",
    "governor.cpu0": "ondemand",
    "khz.min.cpu0": "600000",
    "khz.max.cpu0": "1200000",
    "khz.cur.cpu0": "600000",
    "vc.gpu": "64M",
}
HOSTILE = "\x1b]0;owned\x07\x1b[31m<script>alert(1)</script>\u202e\r\n" + "x" * 10_000


FILES = {
    "proc/sys/kernel/random/boot_id": b"f00d\n",
    "proc/1/stat": b"1 (a ) b) S " + b" ".join(b"%d" % n for n in range(4, 53)) + b"\n",
    "proc/cpuinfo": b"processor\t: 0\nCPU revision\t: 4\n\nHardware\t: BCM2835\nRevision\t: 2a02082\n"
    b"Serial\t\t: 00000000765fc593\nModel\t\t: Raspberry Pi 3 Model B Rev 1.2\n",
    "proc/meminfo": b"MemTotal:  948304 kB\nSwapTotal:  102396 kB\nSwapFree: 102396 kB\n",
    "proc/device-tree/model": b"Raspberry Pi 3 Model B Rev 1.2\0",
    "proc/device-tree/compatible": b"raspberrypi,3-model-b\0brcm,bcm2837\0",
    "proc/device-tree/serial-number": b"00000000765fc593\0",
    "proc/device-tree/system/linux,revision": b"\x00\xa0\x20\x82",
    "etc/os-release": b'NAME="Raspbian GNU/Linux"\nPRETTY_NAME="Raspbian"\nkernel=forged\n',
    "sys/block/mmcblk0/device/cid": b"035344534c31364780deadbeef012300\n",
    "sys/block/mmcblk0/device/name": b"SL16G\n",
    "sys/block/mmcblk0/device/serial": b"0xdeadbeef\n",
    "sys/block/mmcblk0/device/manfid": b"0x000003\n",
    "sys/block/mmcblk0/device/oemid": b"0x5344\n",
    "sys/block/mmcblk0/device/date": b"01/2016\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": b"ondemand\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": b"600000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": b"1200000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": b"600000",
    "opt/vc/bin/vcgencmd": b"#!/bin/sh\n[ \"$*\" = 'get_mem gpu' ] && echo gpu=64M\n",
}


def read_by(root: Path, shell: str) -> Facts:
    """Run the facts script in a shell on this machine, with its files below that directory."""
    script = facts.BOOT + facts.SYSTEM + facts.HARDWARE
    for top in ("/proc/", "/proc\n", "/sys/", "/etc/", "/opt/"):
        script = re.sub(rf"(?<![\w}}]){top}", f"{root}{top}", script)
    done = subprocess.run([shell, "-c", script], capture_output=True, timeout=60, check=False)
    assert done.stderr == b""
    return parsed(facts.key_values(done.stdout.decode()), 926 * MIB, {}, {})


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_raspberry_pis_own_files_are_read(tmp_path: Path, shell: str) -> None:
    for name, content in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (tmp_path / "opt/vc/bin/vcgencmd").chmod(0o755)
    fingerprint = read_by(tmp_path, shell)
    assert (fingerprint.boot, fingerprint.os_release) == ("f00d/22", "Raspbian")
    assert fingerprint.kernel not in (None, "forged")
    assert (fingerprint.tree_model, fingerprint.compatible) == (
        "Raspberry Pi 3 Model B Rev 1.2",
        ("raspberrypi,3-model-b", "brcm,bcm2837"),
    )
    assert fingerprint.identity is not None
    assert (fingerprint.identity.model, fingerprint.revision_code, fingerprint.serial) == (
        "pi3b",
        "2a02082",
        "00000000765fc593",
    )
    assert fingerprint.card == Card(
        "035344534c31364780deadbeef012300", "SL16G", "0xdeadbeef", "0x000003", "0x5344", "01/2016"
    )
    assert fingerprint.frequency == Frequency("ondemand", 600e6, 1200e6, 600e6)
    assert (fingerprint.gpu_bytes, fingerprint.swap_bytes) == (64 * MIB, 102396 * 1024)
    other = tmp_path / "sys/devices/system/cpu/cpu4/cpufreq"
    other.mkdir(parents=True)
    (other / "scaling_governor").write_text("performance\n")
    (other / "scaling_max_freq").write_text("1800000\n")
    assert read_by(tmp_path, shell).frequency == Frequency("ondemand, performance", 600e6, 1800e6, 600e6)
    (tmp_path / "proc/cpuinfo").unlink()
    mainline = read_by(tmp_path, shell)
    assert (mainline.revision_code, mainline.serial) == ("a02082", "00000000765fc593")


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_machine_without_these_files_reports_nothing_and_no_error(tmp_path: Path, shell: str) -> None:
    fingerprint = read_by(tmp_path, shell)
    assert (
        fingerprint.identity,
        fingerprint.card,
        fingerprint.frequency,
        fingerprint.swap_bytes,
        fingerprint.os_release,
    ) == (None,) * 5


def test_a_boards_whole_fingerprint_is_read() -> None:
    fingerprint = parsed(REPORTED, 925 * MIB, DOCKER, VERSION)
    assert (fingerprint.os_release, fingerprint.hypriot_image_version) == (
        "HypriotOS v1.12.3, Raspbian GNU/Linux 10 (buster)",
        "v1.12.3",
    )
    assert (fingerprint.hypriot_device, fingerprint.hypriot_os) == ("Raspberry Pi", "HypriotOS/armhf")
    assert (fingerprint.kernel, fingerprint.isa, fingerprint.cpus, fingerprint.boot) == (
        "4.19.97-v7+",
        "armv7l",
        4,
        "f00d/12",
    )
    assert (fingerprint.engine, fingerprint.docker_version, fingerprint.containerd_version) == (
        "Docker",
        "19.03.12",
        "1.2.13",
    )
    assert (fingerprint.storage_driver, fingerprint.cgroup_version) == ("overlay2", "1")
    assert (fingerprint.revision_code, fingerprint.serial) == ("a02082", "00000000765fc593")
    assert (fingerprint.gpu_bytes, fingerprint.swap_bytes) == (64 * MIB, 0)
    assert fingerprint.card is not None
    assert (fingerprint.card.cid, fingerprint.card.name) == ("035344534c31364780deadbeef012300", "SL16G")
    assert fingerprint.frequency == Frequency("ondemand", 600e6, 1200e6, 600e6)


def test_the_fingerprint_is_plain_json_for_the_run_file() -> None:
    document = json.loads(json.dumps(parsed(REPORTED, 925 * MIB, DOCKER, VERSION).as_dict()))
    assert document["identity"]["model"] == "pi3b"
    assert document["identity"]["ram_bytes"] == 1024 * MIB
    assert document["card"]["cid"] == REPORTED["card.cid"]
    assert document["frequency"]["max_hz"] == 1200e6


@pytest.mark.parametrize(
    "engine", [({}, {}), (None, None), ([], "x"), ({"Driver": 7}, {"Components": [1, {}]})]
)
def test_the_facts_of_a_board_that_reports_nothing_are_none(engine: tuple[object, object]) -> None:
    fingerprint = parsed({}, 925 * MIB, *engine)
    assert fingerprint == Facts(None, None, None, None, 925 * MIB, "/", None, None, None)


@pytest.mark.parametrize("missing", sorted(REPORTED))
def test_any_fact_may_be_missing(missing: str) -> None:
    parsed({key: value for key, value in REPORTED.items() if key != missing}, 925 * MIB, DOCKER, VERSION)


@pytest.mark.parametrize("key", sorted(REPORTED))
def test_a_hostile_value_is_one_short_line_of_printable_text_or_nothing(key: str) -> None:
    fingerprint = parsed({**REPORTED, key: HOSTILE}, 925 * MIB, DOCKER, VERSION)
    for text in texts(fingerprint.as_dict()):
        assert text.isprintable()
        assert len(text) <= 2 * LONGEST + 20


def test_hostile_text_of_an_engine_is_not_trusted() -> None:
    info = dict.fromkeys(("ServerVersion", "Driver", "CgroupVersion"), HOSTILE)
    parts = {
        "Components": [{"Name": HOSTILE, "Version": HOSTILE}, {"Name": "containerd", "Version": HOSTILE}]
    }
    for text in texts(parsed(REPORTED, 925 * MIB, info, parts).as_dict()):
        assert text.isprintable()
        assert len(text) <= 2 * LONGEST


def texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts(inner)]
    if isinstance(value, list | tuple):
        return [text for inner in value for text in texts(inner)]
    return [value] if isinstance(value, str) else []


def test_podman_is_named_and_what_it_does_not_report_is_none() -> None:
    version = {"Version": "4.3.1", "Components": [{"Name": "Podman Engine", "Version": "4.3.1"}]}
    fingerprint = parsed(
        REPORTED, 925 * MIB, {"ServerVersion": "4.3.1", "Driver": "overlay", "CgroupVersion": "2"}, version
    )
    assert (fingerprint.engine, fingerprint.docker_version, fingerprint.containerd_version) == (
        "Podman",
        "4.3.1",
        None,
    )
    assert (fingerprint.storage_driver, fingerprint.cgroup_version) == ("overlay", "2")


def test_without_a_firmware_report_the_gpu_has_the_ram_that_linux_lacks() -> None:
    silent = {key: value for key, value in REPORTED.items() if key != "vc.gpu"}
    assert parsed(silent, 925 * MIB, DOCKER, VERSION).gpu_bytes == 99 * MIB
    assert parsed(silent, 2048 * MIB, DOCKER, VERSION).gpu_bytes is None


@pytest.mark.parametrize("serial", ["0000000000000000", "", "none", "12345678 90", "f" * 40])
def test_text_that_is_not_a_serial_number_is_none(serial: str) -> None:
    assert parsed({"cpuinfo.Serial": serial}, 925 * MIB, {}, {}).serial is None


def test_a_card_without_any_field_is_none() -> None:
    assert parsed({"card.cid": " \n"}, 925 * MIB, {}, {}).card is None
    only = parsed({"card.name": "SL16G"}, 925 * MIB, {}, {}).card
    assert only == Card(None, "SL16G", None, None, None, None)


def test_an_os_release_with_an_open_quote_is_reported_unchanged() -> None:
    assert parsed({"os.PRETTY_NAME": '"Rasp'}, 925 * MIB, {}, {}).os_release == '"Rasp'


def test_a_text_that_is_none_stays_none() -> None:
    assert [plain_text.text(value) for value in (None, 7, "", " \x00\x07 ", b"x")] == [None] * 5
