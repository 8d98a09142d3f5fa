"""The speed of this machine's network towards a board."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_microcloud.controller import uplink


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file that has the loopback interface's speed."""
    monkeypatch.setattr(uplink, "INTERFACES", tmp_path)
    (tmp_path / "lo").mkdir()
    return tmp_path / "lo" / "speed"


def test_the_speed_is_that_of_the_interface_towards_the_address(loopback: Path) -> None:
    loopback.write_text("1000\n")
    assert uplink.bits_per_s("127.0.0.1") == 1e9


@pytest.mark.parametrize("speed", ["-1\n", "0\n", "", None])
def test_an_interface_without_a_speed_has_none(loopback: Path, speed: str | None) -> None:
    if speed is not None:
        loopback.write_text(speed)
    assert uplink.bits_per_s("127.0.0.1") is None


@pytest.mark.parametrize("address", ["", "no address", "256.1.1.1", "--help"])
def test_what_has_no_route_has_no_speed(loopback: Path, address: str) -> None:
    loopback.write_text("1000\n")
    assert uplink.bits_per_s(address) is None


def test_without_the_program_ip_there_is_no_speed(loopback: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loopback.write_text("1000\n")
    monkeypatch.setenv("PATH", "")
    assert uplink.bits_per_s("127.0.0.1") is None
