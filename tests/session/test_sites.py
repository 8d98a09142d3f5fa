"""Workers on the gateways of sites, each of which drives the boards of its site.

The gateways are this machine: an `ssh` on PATH runs its command here, in the gateway's home directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_microcloud.boards.drivers.ssh import SshDriver
from pytest_microcloud.errors import LoginRejected
from pytest_microcloud.inventory.target import Target
from tests.support.driver_context import context
from tests.support.ended import PYTEST
from tests.support.fake_boards import Project, said
from tests.support.logins import processes

SSH = """\
#!/bin/sh
while [ $# -gt 2 ]; do shift; done
cd {homes}/"$1" || {{ echo "ssh: Could not resolve hostname $1" >&2; exit 255; }}
unset XDG_RUNTIME_DIR
TMPDIR=$PWD/tmp HOME=$PWD exec setsid sh -c "$2"
"""
SEEN = """
    import os
    from pathlib import Path

    def pytest_microcloud_board_ready(board, config):
        with open(os.environ["SEEN"], "a") as file:
            file.write(f"{board.name} {os.environ['HOME'].rpartition('/')[2]}\\n")
    """
TESTS = """
    def test_first(measure, board):
        measure(took, board)

    def test_second(measure, board):
        measure(took, board)

    def test_without_a_board():
        assert "homes" not in os.getcwd()
    """
BOARDS = {"desk": "rack1", "shelf": "rack2", "attic": "rack1"}


class TwoSites(Project):
    """A project with two boards at rack1, one at rack2, and a gateway at each, which have hosts.ini, too."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(pytester, monkeypatch)
        self.homes = Path(tempfile.mkdtemp(prefix="mc-homes-"))  # a path short enough for sockets
        pytester._request.addfinalizer(lambda: shutil.rmtree(self.homes))
        for gateway in ("rack1", "rack2"):
            (self.homes / gateway / "tmp").mkdir(parents=True)
            (self.homes / gateway / "hosts.ini").write_text("[pi1b]\ndesk microcloud_driver=container\n")
            (self.homes / gateway / "pytest.ini").write_text("[pytest]\naddopts = --not-an-option\n")
        programs = pytester.mkdir("programs")
        (programs / "ssh").write_text(SSH.format(homes=self.homes))
        (programs / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        monkeypatch.setenv("SEEN", str(self.homes / "seen"))
        self.hosts(**{board: {"microcloud_site": site} for board, site in BOARDS.items()})
        self.add_to_conftest(SEEN)
        self.tests(TESTS)
        self.before = self.on_gateways()

    def over(self, *specs: str) -> tuple[str, ...]:
        """Return the arguments that start these workers."""
        return ("-d", *(f"--tx={spec}" for spec in specs))

    def seen(self) -> set[str]:
        """Return which board was driven from which gateway; a home directory that is none is this machine."""
        return set((self.homes / "seen").read_text().splitlines())

    def settle(self) -> None:
        """Wait until the gateways have noticed that a session has ended."""
        deadline = time.monotonic() + 60
        while list(self.homes.glob("*/tmp/mc-*")) and time.monotonic() < deadline:
            time.sleep(0.1)

    def on_gateways(self) -> list[str]:
        """Return what is on the gateways' disks, apart from the file for turns."""
        files = (str(file.relative_to(self.homes)) for file in self.homes.rglob("*") if file.name != "seen")
        return sorted(file for file in files if not file.endswith("microcloud-turns"))


def via(gateway: str, more: str = "") -> str:
    return f"ssh={gateway}//python={sys.executable}{more}"


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> TwoSites:
    return TwoSites(pytester, monkeypatch)


def boards(project: Project) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = project.document()["machine_info"]["microcloud"]["boards"]
    return found


def test_each_board_is_driven_from_the_gateway_of_its_site(project: TwoSites) -> None:
    serial = project.run()
    (project.homes / "seen").unlink()
    result = project.run(*project.over(via("rack1"), via("rack2")))
    assert result.ret == pytest.ExitCode.OK, said(result)
    assert project.seen() == {"desk rack1", "attic rack1", "shelf rack2"}
    assert result.parseoutcomes() == serial.parseoutcomes()
    assert {name: facts["load_from"] for name, facts in boards(project).items()} == BOARDS
    assert {facts["model"] for facts in boards(project).values()} == {"pi3b"}
    assert project.on_gateways() == project.before


def test_several_workers_of_a_site_share_its_boards_and_others_stay_here(project: TwoSites) -> None:
    project.hosts(desk={"microcloud_site": "rack1"}, shelf={"microcloud_site": "rack1"}, attic={})
    project.tests(TESTS + "\n    def test_claim(results):\n        assert results.subjects\n")
    result = project.run(*project.over(f"2*{via('rack1')}"))
    assert result.ret == pytest.ExitCode.OK, said(result)
    assert "3 workers" in said(result)
    assert {line.partition(" ")[0]: line.partition(" ")[2] == "rack1" for line in project.seen()} == {
        "desk": True,
        "shelf": True,
        "attic": False,
    }
    assert boards(project)["attic"]["load_from"] == "controller"
    assert project.on_gateways() == project.before


def test_without_workers_elsewhere_all_boards_are_driven_from_here(project: TwoSites) -> None:
    project.run("-n", "auto").assert_outcomes(passed=7)
    assert {facts["load_from"] for facts in boards(project).values()} == {"controller"}


@pytest.mark.parametrize(
    ("specs", "why"),
    [
        (
            (via("rack1"),),
            "shelf is at the site rack2, which has no worker: add --tx ssh=GATEWAY//site=rack2",
        ),
        (
            (via("rack1"), via("rack3")),
            "microcloud_site=rack3; did you mean 'rack2'? (sites of these boards: rack1, rack2)",
        ),
        ((via("rack1"), via("me@nowhere", "//site=rack2")), "site=rack2: ssh cannot log in, or there is no"),
        (
            (via("rack1"), "ssh=rack2//python=no-python"),
            "ssh cannot log in, or there is no no-python",
        ),
        ((via("rack1"), "popen//via=rack2"), "--tx popen//via=rack2: a worker behind a proxy would have"),
        ((via("rack1"), "ssh"), "--tx ssh: this worker's site is ssh, but none of the chosen boards"),
    ],
)
def test_workers_and_boards_that_do_not_go_together_are_usage_errors(
    project: TwoSites, specs: tuple[str, ...], why: str
) -> None:
    result = project.run(*project.over(*specs))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert why in said(result)
    assert not (project.homes / "seen").exists()
    project.settle()
    assert project.on_gateways() == project.before


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--tx", via("rack1")), "--tx: pytest-xdist starts these workers only with -d"),
        (("-n2", "--tx", via("rack1")), "-n and --tx: pytest-xdist ignores the workers of --tx"),
    ],
)
def test_workers_that_pytest_xdist_would_not_start_are_usage_errors(
    project: TwoSites, arguments: tuple[str, ...], why: str
) -> None:
    result = project.run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert why in said(result)


def test_a_gateway_with_another_version_of_the_plugin_is_a_usage_error(project: TwoSites) -> None:
    other = project.homes / "other" / "pytest_microcloud"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("__version__ = '0.0.7'")
    python = f"env PYTHONPATH={other.parent} {sys.executable}"
    result = project.run(*project.over(via("rack1"), f"ssh=rack2//python={python}"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "that machine has pytest-microcloud 0.0.7" in said(result)
    assert f"{sys.executable} -m pip install pytest-microcloud==" in said(result)
    (other / "__init__.py").write_text("import no_such_module")
    result = project.run(*project.over(via("rack1"), f"ssh=rack2//python={python}"))
    assert (
        "on that machine cannot import this plugin (ModuleNotFoundError: No module named 'no_such_module')"
        in said(result)
    )


def test_suites_catalog_and_options_come_from_the_controller(
    project: TwoSites, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "own.toml").write_text('[boards.mine]\nname = "Mine"\nlike = "pi3b"\n')
    (project.path / "pytest.ini").write_text(
        "[pytest]\ntestpaths = some\nmicrocloud_catalog = own.toml\naddopts = -p no:cacheprovider"
    )
    (project.path / "tox.ini").unlink()
    (project.path / "reports").mkdir()
    (project.path / "reports" / "large").touch()
    os.mkfifo(project.path / "pipe")
    project.hosts(
        desk={"microcloud_site": "rack1", "microcloud_model": "mine"},
        shelf={"microcloud_site": "rack2", "microcloud_model": "mine"},
    )
    project.tests(
        """
        def test_time(measure, board):
            assert board.model.name == "Mine"
            copy = Path(__file__).parent.parent
            assert copy != Path(os.environ["PROJECT"])
            assert (copy / "own.toml").exists()
            assert not (copy / "reports").exists()
            measure(took, board)

        def test_left_out(board): ...

        def test_ignored(board): ...
        """
    )
    (project.path / "some").mkdir()
    (project.path / "test_desk.py").rename(project.path / "some" / "test_desk.py")
    (project.path / "some" / "test_ignored.py").write_text("def test_never(board): ...")
    (project.path / "time").mkdir()
    monkeypatch.setenv("PROJECT", str(project.path))
    monkeypatch.setenv("PYTEST_ADDOPTS", "--deselect some/test_desk.py::test_left_out")
    workers = project.over(via("rack1", f"//chdir={project.homes}/new"), via("rack2"))
    result = project.run(*workers, "-k", "time", "--ignore=some/test_ignored.py")
    assert result.ret == pytest.ExitCode.OK, said(result)
    result.assert_outcomes(passed=2)
    assert project.seen() == {"desk rack1", "shelf rack2"}
    assert project.on_gateways() == project.before
    selected = project.run(*workers, "some/test_desk.py::test_time", "--rsyncdir=.")
    selected.assert_outcomes(passed=2)


def test_a_catalog_that_is_not_copied_is_a_usage_error(project: TwoSites) -> None:
    (project.homes / "own.toml").write_text('[boards.mine]\nname = "Mine"\nlike = "pi3b"\n')
    with (project.path / "tox.ini").open("a") as ini:
        ini.write(f"\nmicrocloud_catalog = {project.homes}/own.toml\n")
    result = project.run(*project.over(via("rack1"), via("rack2")))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "own.toml: microcloud_catalog would be missing on gateways" in said(result)
    more = (f"--rsyncdir={project.homes}", f"--rsyncdir={project.path}", "-Wignore")
    project.run(*project.over(via("rack1"), via("rack2")), *more).assert_outcomes(passed=7)


def test_a_worker_that_is_killed_on_a_gateway_is_replaced_there(project: TwoSites) -> None:
    project.tests(
        """
        def test_killed(board):
            if board.name == "shelf":
                os.kill(os.getpid(), 9)

        def test_later(measure, board):
            measure(took, board)
        """
    )
    result = project.run(*project.over(via("rack1"), via("rack2")))
    result.assert_outcomes(passed=5, failed=1)
    assert project.seen() == {"desk rack1", "attic rack1", "shelf rack2"}
    assert project.on_gateways() == project.before


SLOW = """
    import time

    def test_long(measure, board):
        (Path(os.environ["HOME"]) / f"long-{board.name}").touch()
        try:
            time.sleep(60)
        finally:
            (Path(os.environ["HOME"]) / f"ended-{board.name}").touch()
    """


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_on_gateways_of_a_session_that_is_ended(
    project: TwoSites, number: signal.Signals
) -> None:
    project.tests(SLOW)
    project.hosts(desk={"microcloud_site": "rack1"}, shelf={"microcloud_site": "rack2"})
    workers = project.over(via("rack1"), via("rack2"))
    command = [sys.executable, "-c", PYTEST, "--hosts=all", *workers]
    with subprocess.Popen(command, cwd=project.path, start_new_session=True) as process:
        deadline = time.monotonic() + 120
        while len(list(project.homes.glob("*/long-*"))) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does: also the ssh processes
            assert process.wait(60) == pytest.ExitCode.INTERRUPTED
        else:
            process.send_signal(number)
            process.wait(10)
    project.settle()
    ended = {"rack1/ended-desk", "rack2/ended-shelf", "rack1/long-desk", "rack2/long-shelf"}
    assert {*project.on_gateways()} - {*project.before} == ended
    assert not processes(project.homes)


def test_a_key_that_a_gateway_does_not_have_is_named_with_the_board_and_the_site() -> None:
    target = Target("desk", "pi3b", "ssh", {"ansible_ssh_private_key_file": "/no/such/key"})
    with pytest.raises(LoginRejected) as caught:
        SshDriver(context(target, gateway="rack1")).endpoint()
    assert str(caught.value).startswith(
        "desk: the key /no/such/key does not exist on the gateway of the site rack1: "
    )


def test_a_gateway_that_is_lost_leaves_the_other_sites_alone(project: TwoSites) -> None:
    project.tests(
        """
        import time

        def test_lost(board):
            if board.name == "shelf":
                home = Path(os.environ["HOME"])
                home.rename(home.with_name("gone"))
                os.kill(os.getpid(), 9)
            time.sleep(4)

        def test_later(measure, board):
            measure(took, board)

        def test_last(results):
            assert results.subjects
        """
    )
    result = project.run(*project.over(via("rack1"), via("rack2")))
    result.assert_outcomes(passed=5, failed=2)
    assert "rack2: its worker was lost and cannot be replaced" in said(result)
    verdicts = {o["test"]: o["verdict"] for o in project.document()["machine_info"]["microcloud"]["outcomes"]}
    assert {test for test, verdict in verdicts.items() if verdict == "error"} == {
        "test_desk.py::test_lost[ssh://shelf]",
        "test_desk.py::test_later[ssh://shelf]",
    }
