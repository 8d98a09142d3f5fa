"""The registry: what a user's conftest.py adds beside what ships with the plugin."""

from __future__ import annotations

import pytest

from pytest_microcloud import Board, Experiment, Metric, SshDriver
from pytest_microcloud.errors import UserMistake
from pytest_microcloud.registry import Registry
from pytest_microcloud.shipped import registry as shipped

CONFTEST = """
def pytest_microcloud_register(registry):
    registry.driver({name!r}, print, variables=["microcloud_slot"], addressed=False)
"""


def refused(pytester: pytest.Pytester, host: str, driver: str = "bench") -> str:
    """Return the message of a session that must be a usage error without a traceback."""
    pytester.makeconftest(CONFTEST.format(name=driver))
    pytester.makefile(".ini", hosts=f"[pi3b]\n{host}\n")
    pytester.makepyfile("def test_it(board): ...")
    result = pytester.runpytest_subprocess("--hosts=all", "--microcloud-plan")
    text = "\n".join([*result.outlines, *result.errlines])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "Traceback" not in text
    return text


def test_shipped_drivers_are_registered_by_name() -> None:
    assert sorted(shipped().drivers) == ["container", "ssh"]


def test_a_conftest_adds_a_driver_with_variables_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST.format(name="bench"))
    pytester.makefile(".ini", hosts="[pi3b]\ndesk microcloud_driver=bench microcloud_slot=3\n")
    pytester.makepyfile("def test_it(board): ...")
    result = pytester.runpytest_subprocess("--hosts=all", "--microcloud-plan")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*desk (pi3b, bench)*"])


def test_a_variable_of_another_driver_is_a_usage_error(pytester: pytest.Pytester) -> None:
    text = refused(pytester, "desk microcloud_slot=3")
    assert "microcloud_slot is for boards of the driver bench, and this host's driver is ssh" in text


def test_a_misspelt_driver_is_a_usage_error_that_names_the_nearest(pytester: pytest.Pytester) -> None:
    text = refused(pytester, "desk microcloud_driver=bensh")
    assert "no driver is named 'bensh'; did you mean 'bench'? (there are: container, ssh, bench)" in text


def test_a_driver_name_that_is_taken_is_a_usage_error(pytester: pytest.Pytester) -> None:
    assert "a driver named 'ssh' is already registered" in refused(pytester, "desk", driver="ssh")


@pytest.mark.parametrize("kind", ["driver", "meter"])
def test_a_name_is_registered_once(kind: str) -> None:
    registry = Registry()
    getattr(registry, kind)("bench", print)
    with pytest.raises(UserMistake, match=f"a {kind} named 'bench' is already registered"):
        getattr(registry, kind)("bench", print)


def test_a_driver_registers_the_class_of_its_boards() -> None:
    class Fake(Board): ...

    registry = Registry()
    registry.driver("bench", SshDriver, board=Fake)
    registry.driver("shelf", SshDriver)
    assert [driver.board for driver in registry.drivers.values()] == [Fake, Board]


def test_the_tools_of_all_experiments_are_known_with_their_packages() -> None:
    registry = shipped()
    metrics = (Metric("wire.rate", "B/s", "higher"),)
    registry.experiment(Experiment(name="wire", metrics=metrics, tools={"iperf3": "iperf3"}))
    assert registry.tools == {"apache2": "apache2", "fio": "fio", "sysbench": "sysbench", "iperf3": "iperf3"}


def test_the_shipped_experiments_are_registered_in_the_papers_order() -> None:
    assert list(shipped().experiments) == ["serving", "hosting", "io", "startup"]


LATE = """
class Late:
    def pytest_microcloud_register(self, registry): ...
"""


def test_a_plugin_that_registers_after_the_inventory_is_read_is_a_usage_error(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(
        LATE + "def pytest_configure(config): config.pluginmanager.register(Late(), 'late-boards')\n"
    )
    pytester.makefile(".ini", hosts="[pi3b]\ndesk\n")
    result = pytester.runpytest_subprocess("--hosts=all", "--microcloud-plan")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*late-boards: pytest_microcloud_register comes too late*"])
    result.stderr.no_fnmatch_line("*Traceback*")


def test_a_conftest_below_the_command_lines_directories_registers_too_late(
    pytester: pytest.Pytester,
) -> None:
    pytester.makefile(".ini", hosts="[pi3b]\ndesk\n")
    deep = pytester.mkdir("suites") / "deep"
    deep.mkdir()
    (deep / "conftest.py").write_text("def pytest_microcloud_register(registry): ...\n")
    (deep / "test_it.py").write_text("def test_it(board): ...\n")
    result = pytester.runpytest_subprocess("suites", "--hosts=all", "--microcloud-plan")
    assert result.ret != pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*conftest.py: pytest_microcloud_register comes too late*"])
