"""The custom driver of docs/drivers.md: its conftest.py, unchanged, in a user's own project."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud import runs
from tests.support.fenced import blocks

if TYPE_CHECKING:
    from tests.conftest import NewRealBoard

(CONFTEST,) = (
    block.text
    for block in blocks("python")
    if block.page.name == "drivers.md" and block.text.startswith("# conftest.py\n")
)
DESK = "desk ansible_host=192.0.2.13 microcloud_driver=poe"
# Stands in for the client of the switch: the port with that number powers that container.
SNMPSET = """\
#!{python}
import sys

import docker

object, kind, state = sys.argv[-3:]
if not object.endswith(".1.3.1.7"):
    sys.exit("Reason: (noSuchName) There is no such variable name in this MIB.")
board = docker.from_env().containers.get({container!r})
board.start() if state == "1" else board.kill()
"""
TESTS = """
import pytest

from pytest_microcloud import Measurement


def reboot(board):
    rebooted = board.reboot()
    return [Measurement("startup.power_on_ready_time", [rebooted.ready_at_s - rebooted.powered_on_at_s])]


@pytest.mark.experiment("startup")
def test_reboot(board, measure):
    measure(reboot, board)
"""

Plan = Callable[[str], pytest.RunResult]
RunOnDesk = Callable[[int], pytest.RunResult]


@pytest.fixture
def plan(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Plan a session with that line in the inventory; nothing is connected."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(pytester.path / "runtime"))
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_it(board): ...")

    def run(host: str) -> pytest.RunResult:
        (pytester.path / "hosts.ini").write_text(f"[pi3b]\n{host}\n")
        return pytester.runpytest_subprocess("--hosts=all", "--microcloud-plan")

    return run


def test_a_host_with_its_variable_is_accepted(plan: Plan) -> None:
    result = plan(f"{DESK} microcloud_poe_port=7")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*desk (pi3b, poe)*", "desk: connect"])


@pytest.mark.parametrize(
    ("host", "complaint"),
    [
        (
            "desk ansible_host=192.0.2.13 microcloud_poe_port=7",
            "microcloud_poe_port is for boards of the driver poe, and this host's driver is ssh",
        ),
        (
            "desk microcloud_driver=container microcloud_poe_port=7",
            "microcloud_poe_port is for boards of the driver poe, and this host's driver is container",
        ),
        (f"{DESK} microcloud_poe_prt=7", "did you mean 'microcloud_poe_port'?"),
        (f"{DESK} microcloud_cpu_share=0.5", "microcloud_cpu_share is for boards of the driver container"),
    ],
)
def test_a_variable_is_accepted_for_its_own_driver_alone(plan: Plan, host: str, complaint: str) -> None:
    result = plan(host)
    text = "\n".join((*result.outlines, *result.errlines))
    assert result.ret == pytest.ExitCode.USAGE_ERROR, text
    assert complaint in text
    assert "Traceback" not in text


def test_the_driver_takes_about_twenty_lines() -> None:
    driver = CONFTEST[CONFTEST.index("class ") :]
    assert len([line for line in driver.splitlines() if line.strip()]) <= 25


@pytest.fixture
def run_on_desk(
    pytester: pytest.Pytester, new_real_board: NewRealBoard, monkeypatch: pytest.MonkeyPatch
) -> RunOnDesk:
    """Reboot a real board that is at that port of the switch."""
    desk = new_real_board("desk")
    program = pytester.mkdir("bin") / "snmpset"
    program.write_text(SNMPSET.format(python=sys.executable, container=desk.container.name))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)

    def run(port: int) -> pytest.RunResult:
        inventory = desk.inventory(microcloud_driver="poe", microcloud_poe_port=port)
        return pytester.runpytest_subprocess(
            "--hosts=desk", f"--microcloud-inventory={inventory}", "-p", "no:cacheprovider", timeout=300
        )

    return run


@pytest.mark.engine
@pytest.mark.slow
def test_the_driver_power_cycles_a_real_board(run_on_desk: RunOnDesk, pytester: pytest.Pytester) -> None:
    run_on_desk(7).assert_outcomes(passed=1)
    (file,) = (pytester.path / "reports" / "runs").glob("*.json")
    run = runs.load(file)
    assert run.boards["desk"].driver == "poe"
    ((_, ready),) = run.trusted()
    assert 0 < ready.samples[0] < 60


@pytest.mark.engine
@pytest.mark.slow
def test_the_error_quotes_the_switch(run_on_desk: RunOnDesk) -> None:
    result = run_on_desk(99)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["BoardError: desk: its switch refused: Reason: (noSuchName)*"])
