"""The findings of a watch on an unhealthy board. The faults are caused on the board while it is watched."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud import catalog
from pytest_microcloud.boards import health
from pytest_microcloud.boards.health import Watch
from pytest_microcloud.boards.vitals import VitalsReader
from pytest_microcloud.errors import LinkError
from pytest_microcloud.experiments import shipped
from tests.support.watching import SPIN, found, polled

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from tests.conftest import NewRealBoard
    from tests.support.real import RealBoard, RealBoards

pytestmark = pytest.mark.usefixtures("impatient")

# `vcgencmd` and `dmesg` as they come before the system's own.
PRINTS = """\
#!/bin/sh
cat /run/output-of-{name}
"""
HOG = """
tar -ch /usr/bin/tail $(ldd /usr/bin/tail | grep -o '/[^ ]*') 2>/dev/null | docker import - somebody/hog:1
"""


@pytest.fixture(scope="module")
def machine(real_boards: RealBoards) -> RealBoard:
    """A real board for faults: a container without a Pi's firmware."""
    return real_boards.new("machine")


@pytest.fixture(scope="module")
def board(machine: RealBoard) -> Board:
    return machine.in_rack().board("machine")


@pytest.fixture
def prints(machine: RealBoard) -> Iterator[Callable[[str, str], None]]:
    """Make a program of the board print a text until the test ends."""
    programs = set()

    def say(name: str, text: str) -> None:
        machine.shell(f"printf '%s\\n' {shlex.quote(text)} > /run/output-of-{name}")
        if name not in programs:
            programs.add(name)
            program = shlex.quote(PRINTS.format(name=name))
            path = f"/usr/local/bin/{name}"
            machine.shell(f"printf %s {program} > {path} && chmod 755 {path}")

    yield say
    for name in programs:
        machine.shell(f"rm -f /usr/local/bin/{name} /run/output-of-{name}")


@pytest.mark.engine
def test_a_healthy_board_yields_no_reason_and_keeps_no_process(machine: RealBoard, board: Board) -> None:
    before = machine.shell("pgrep -c sh || true")
    assert found(board, polled) == []
    assert machine.shell("pgrep -c sh || true") == before


@pytest.mark.engine
@pytest.mark.parametrize(
    ("bits", "reasons"),
    [
        ("0x1", ["its supply voltage was too low (vcgencmd get_throttled, bit 0)"]),
        ("0x2", ["its frequency was capped (vcgencmd get_throttled, bit 1)"]),
        ("0x4", ["it was throttled (vcgencmd get_throttled, bit 2)"]),
        ("0x8", ["it reached its soft temperature limit (vcgencmd get_throttled, bit 3)"]),
        (
            "0x50005",
            [
                "its supply voltage was too low (vcgencmd get_throttled, bit 0)",
                "it was throttled (vcgencmd get_throttled, bit 2)",
            ],
        ),
    ],
)
def test_brief_throttling_by_the_firmware_is_found(
    board: Board, prints: Callable[[str, str], None], bits: str, reasons: list[str]
) -> None:
    prints("vcgencmd", "throttled=0x0")

    def trouble() -> None:
        prints("vcgencmd", f"throttled={bits}")
        polled()
        prints("vcgencmd", "throttled=0x0")

    assert found(board, trouble) == reasons


@pytest.mark.engine
def test_bits_of_any_time_since_boot_count_if_they_are_new(
    board: Board, prints: Callable[[str, str], None]
) -> None:
    prints("vcgencmd", "throttled=0x40000")
    assert found(board, polled) == []
    reasons = found(board, lambda: prints("vcgencmd", "throttled=0x50000"))
    assert reasons == ["its supply voltage was too low (vcgencmd get_throttled, bit 0)"]


@pytest.mark.engine
def test_bits_that_hide_new_events_are_reported(board: Board, prints: Callable[[str, str], None]) -> None:
    prints("vcgencmd", "throttled=0x50000")
    reported = "; ".join(health.unwatched(board))
    assert "new short events of a kind that has already occurred since boot" in reported
    assert "its supply voltage was too low, it was throttled" in reported
    assert "throttling" not in reported


@pytest.mark.engine
def test_a_vcgencmd_without_a_result_counts_as_missing(
    board: Board, prints: Callable[[str, str], None]
) -> None:
    prints("vcgencmd", "VCHI initialization failed")
    assert found(board, polled) == []
    assert "throttling" in "; ".join(health.unwatched(board))


@pytest.mark.engine
@pytest.mark.parametrize(
    "line", ["Under-voltage detected! (0x00050005)", "hwmon hwmon1: Undervoltage detected!"]
)
def test_under_voltage_in_the_kernel_log_is_found_once(
    board: Board, prints: Callable[[str, str], None], line: str
) -> None:
    old, new = f"[12.345678] {line}", f"[456.789012] {line}"
    prints("dmesg", old)
    assert found(board) == []
    assert found(board, lambda: prints("dmesg", f"{old}\n[400.000001] eth0: up\n{new}")) == [
        f"its kernel reports: {new}"
    ]
    assert found(board) == []


@pytest.mark.engine
def test_text_of_the_kernel_log_is_shown_without_control_characters(
    board: Board, prints: Callable[[str, str], None]
) -> None:
    prints("dmesg", "booted")
    (reason,) = found(
        board, lambda: prints("dmesg", "[1.0] Under-voltage detected! \x1b[2J\x07 is what\tit printed")
    )
    assert reason == "its kernel reports: [1.0] Under-voltage detected! [2J is what it printed"


@pytest.mark.engine
def test_an_oom_killed_process_is_found_unless_the_experiment_tolerates_it(
    machine: RealBoard, board: Board
) -> None:
    machine.shell(HOG)

    def exhaust() -> None:
        machine.shell("docker run --rm -m 30m somebody/hog:1 /usr/bin/tail /dev/zero", check=False)

    reasons = ["it ran out of memory, and its kernel killed a process"]
    assert found(board, exhaust) == reasons
    assert found(board) == []
    assert found(board, exhaust, expected="load oom") == []
    machine.shell("docker rmi somebody/hog:1")


@pytest.mark.engine
def test_a_reboot_is_found_unless_the_experiment_tolerates_it(new_real_board: NewRealBoard) -> None:
    real = new_real_board("desk")
    board = real.in_rack().board("desk")
    boot_id = "cat /proc/sys/kernel/random/boot_id"

    def reboot() -> None:
        before = real.shell(boot_id)
        real.shell("systemctl reboot", check=False)
        while real.container.status != "running" or real.shell(boot_id, check=False) == before:
            time.sleep(0.1)
            real.container.reload()

    assert found(board, reboot) == ["it rebooted"]
    assert found(board, board.reboot, expected="load reboot") == []


@pytest.mark.engine
def test_a_lost_board_is_an_error_unless_the_experiment_tolerates_it(
    new_real_board: NewRealBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "RECOVERY_S", 3.0)
    real = new_real_board("desk")
    board = real.in_rack().board("desk")
    with Watch(board, expected=["load", "lost"]) as watch:
        real.container.stop(timeout=1)
    assert watch.verdict() == []
    real.container.start()
    real.wait_until_up()
    board.reconnect(60)
    with pytest.raises(LinkError, match=r"^desk: "):
        found(board, lambda: real.container.stop(timeout=1))


def spins(machine: RealBoard) -> None:
    """Wait until the foreign load has started."""
    deadline = time.monotonic() + 10
    while not machine.shell("pgrep -f '^sh -c while' || true"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.engine
def test_foreign_load_before_the_start_is_found(machine: RealBoard, board: Board) -> None:
    spinning = threading.Thread(target=machine.shell, args=[f"{SPIN.format(seconds=6)} || true"])
    spinning.start()
    spins(machine)
    with Watch(board, settle_s=1.0) as watch:
        pass
    spinning.join()
    (reason,) = watch.verdict()
    assert reason.startswith("it was busy with something else before the start (")


@pytest.mark.engine
def test_load_that_ends_in_time_does_not_count_as_foreign(machine: RealBoard, board: Board) -> None:
    spinning = threading.Thread(target=machine.shell, args=[f"{SPIN.format(seconds=3)} || true"])
    spinning.start()
    spins(machine)
    with Watch(board) as watch:
        pass
    spinning.join()
    assert watch.verdict() == []


@pytest.mark.engine
def test_watching_ends_if_the_measurement_fails(machine: RealBoard, board: Board) -> None:
    before = machine.shell("pgrep -c sh || true")
    with pytest.raises(ZeroDivisionError), Watch(board, expected=["load"]) as watch:
        raise ZeroDivisionError
    assert watch.verdict() == []
    assert machine.shell("pgrep -c sh || true") == before


@pytest.mark.engine
def test_a_system_container_reports_once_what_cannot_be_watched(board: Board) -> None:
    reported = health.unwatched(board)
    missing = "throttling, under-voltage, temperature, CPU frequency (a system container has none of its own)"
    assert missing in reported


@pytest.mark.engine
def test_foreign_containers_are_reported_by_name(new_real_board: NewRealBoard) -> None:
    board = new_real_board("desk", others_containers=2).in_rack().board("desk")
    assert health.others(board) == ("theirs-1", "theirs-2")


@pytest.mark.engine
def test_a_user_with_sudo_reads_what_only_root_can_read(new_real_board: NewRealBoard) -> None:
    real = new_real_board("desk", user="pirate")
    real.shell("printf '#!/bin/sh\\n[ $(id -u) = 0 ] && echo nothing\\n' > /usr/local/bin/dmesg")
    real.shell("chmod 755 /usr/local/bin/dmesg")
    with VitalsReader(real.in_rack().board("desk").link) as reader:
        assert reader.whole().log == ()


@pytest.mark.engine
def test_an_emulated_board_is_watched_by_its_own_counters(pi3b: Board) -> None:
    with VitalsReader(pi3b.link) as reader:
        seen = reader.whole()
    assert seen.inside
    assert seen.cpus is not None
    assert seen.cpus < pi3b.model.cores
    assert (seen.oom_kills, seen.swapped_pages) == (0, 0)
    assert not seen.changes


# A Pi by its files


# Looks as they were, or might be


def test_thresholds_and_tolerated_symptoms_are_data() -> None:
    experiments = {experiment.name: experiment for experiment in shipped()}
    for experiment in experiments.values():
        for symptom in experiment.tolerates:
            assert catalog.threshold(symptom) >= 0
    assert "oom" in experiments["hosting"].tolerates
    assert "reboot" in experiments["startup"].tolerates
    assert experiments["io"].tolerates == ()
