"""The state of the inventory's boards, as `microcloud boards` shows it."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud import cli, runs
from pytest_microcloud.boards import health, lab
from pytest_microcloud.boards.drivers.container import presence
from pytest_microcloud.boards.lab import State
from pytest_microcloud.boards.lock import Holder
from pytest_microcloud.boards.vitals import Vitals
from pytest_microcloud.controller import engine, lease
from pytest_microcloud.session.lab_state import WIDTH, table
from pytest_microcloud.verdict.matrix import LastRun, last_runs
from tests.support import run_files
from tests.support.machines import PI_2

if TYPE_CHECKING:
    from tests.conftest import NewRealBoard

SINCE = 1772366640.0
ANNA = Holder(SINCE, False, "20260301T120400-aaaa", "desk", "anna@lab", "pytest suites/ --hosts=pi3b")
LAST = LastRun("20260301T120400-aaaa", "2026-03-01T12:04:00+00:00", "infeasible")

Boards = Callable[..., tuple[int, str, str]]


@pytest.fixture
def boards(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Boards]:
    """Run `microcloud boards` in a project with that inventory, without a Docker engine."""
    runtime = tempfile.mkdtemp(prefix="mc-")  # a path short enough for sockets
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{pytester.path}/docker.sock")
    pytester.makeini("[pytest]\nfilterwarnings = error")

    def run(inventory: str, *arguments: str, file: str = "hosts.ini") -> tuple[int, str, str]:
        (pytester.path / file).write_text(inventory)
        done = pytester.run(
            sys.executable, "-W", "error", "-m", "pytest_microcloud.cli", "boards", *arguments
        )
        assert not list(Path(runtime).glob("microcloud/*"))
        return int(done.ret), done.stdout.str().strip(), done.stderr.str().strip()

    yield run
    shutil.rmtree(runtime)


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


# The command


def test_an_unreachable_board_is_unfit_and_its_error_is_shown_in_full(
    boards: Boards, closed_port: int
) -> None:
    code, out, err = boards(f"[pi3b]\ndesk ansible_host=127.0.0.1 ansible_port={closed_port}\n")
    head, row, error = out.splitlines()
    assert (code, err) == (1, "")
    assert head.split()[:2] == ["BOARD", "MODEL"]
    assert row.split()[:2] == ["desk", "pi3b"]
    assert f"unfit: 127.0.0.1 refuses SSH at port {closed_port}: " in row
    assert len(row) <= WIDTH
    assert error.startswith(f"desk: 127.0.0.1 refuses SSH at port {closed_port}: start its sshd")


def test_a_board_out_of_service_is_listed_and_not_unfit(boards: Boards) -> None:
    inventory = "[pi3b]\ndesk ansible_host=192.0.2.1 microcloud_out_of_service='card dies'\n"
    code, out, _ = boards(inventory)
    assert code == 0
    assert out.endswith("  out of service: card dies")


def test_options_of_the_projects_ini_file_are_left_aside(boards: Boards, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmicrocloud_inventory = lab.ini\naddopts = -n auto --hosts=shelf -v")
    code, out, _ = boards("[pi3b]\ndesk microcloud_out_of_service=broken\n", file="lab.ini")
    assert (code, out.splitlines()[1].split()[0]) == (0, "desk")


def test_only_the_boards_of_the_patterns_are_shown(boards: Boards) -> None:
    hosts = "".join(f"{name} microcloud_out_of_service=broken\n" for name in ("desk", "shelf", "attic"))
    _, out, _ = boards(f"[pi3b]\n{hosts}", "shelf", "at*", "--inventory=lab.ini", file="lab.ini")
    assert [line.split()[0] for line in out.splitlines()] == ["BOARD", "shelf", "attic"]


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["dsek"], 4, "microcloud: "),
        (["--inventory=none.ini"], 4, "microcloud: "),
        (["--jsn"], 2, "usage: microcloud"),
    ],
)
def test_a_wrong_choice_of_boards_is_an_error_as_of_the_other_commands(
    boards: Boards, arguments: list[str], code: int, expected: str
) -> None:
    ended, out, err = boards("[pi3b]\ndesk\n", *arguments)
    assert (ended, out) == (code, "")
    assert err.startswith(expected)


def test_an_emulated_board_needs_the_engine_that_it_would_run_on(boards: Boards) -> None:
    code, out, _ = boards("[pi3b]\ndesk microcloud_driver=container\n", "--json")
    (state,) = json.loads(out)
    assert (code, state["state"], state["fit"]) == (1, "unfit", False)
    assert "no Docker engine responds" in state["problems"][0]


def test_drivers_of_the_projects_conftest_are_known_and_passwords_are_masked(
    boards: Boards, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(
        """
        from pytest_microcloud import BoardError, SshDriver

        class Shy(SshDriver):
            def find(self):
                raise BoardError(self.target.name, "is asleep; its password is " + self.target.text("ansible_password"))

        class Broken(SshDriver):
            def find(self):
                raise ZeroDivisionError

        def pytest_microcloud_register(registry):
            registry.driver("shy", Shy)
            registry.driver("broken", Broken)
        """  # noqa: E501
    )
    hosts = "desk microcloud_driver=shy ansible_password=hunter2000\nshelf microcloud_driver=broken\n"
    code, out, _ = boards(f"[pi3b]\n{hosts}", "--json")
    desk, shelf = json.loads(out)
    assert code == 1
    assert desk["problems"] == ["is asleep; its password is [masked]"]
    assert shelf["problems"] == ["its state could not be read: ZeroDivisionError()"]


def test_a_board_that_does_not_answer_in_time_is_unfit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "DEADLINE_S", 0.5)
    monkeypatch.setattr(lab, "_ask", lambda *_: time.sleep(5))
    desk, shelf = _states("desk", "shelf microcloud_out_of_service=yes")
    assert desk.problems == ["did not report its state within 0 s"]
    assert shelf.problems == []


def _states(*hosts: str) -> list[State]:
    from pytest_microcloud import catalog as catalogs
    from pytest_microcloud import inventory as inventories
    from pytest_microcloud.shipped import registry

    with pytest.MonkeyPatch.context() as patch:
        names = {host.split()[0]: dict(word.split("=") for word in host.split()[1:]) for host in hosts}
        listing = {"_meta": {"hostvars": names}, "all": {"children": ["pi3b"]}, "pi3b": {"hosts": [*names]}}
        patch.setattr(inventories.ansible, "_listing", lambda _: listing)
        there, catalog = registry(), catalogs.load()
        targets = inventories.read(Path("hosts.ini"), "all", catalog.models, there.driver_rules, "ssh")
    return lab.states(targets, catalog, there.drivers)


# The table


def test_every_line_of_the_table_fits_whatever_the_texts_are() -> None:
    long = State(
        "a-board-with-a-very-long-name", "t2_small_sydney", os_release="Debian GNU/Linux 12 (bookworm)"
    )
    long.temperature_c, long.throttled, long.problems = 81.4, True, ["it is hot " * 20, "it is slow"]
    busy = State("desk", "pi3b", holder=ANNA)
    lines = list(table([long, busy], {"desk": LAST, long.board: LAST}))
    assert all(len(line) <= WIDTH for line in lines[:3])
    assert "81 °C  yes        2026-03-01 infeasible  unfit: it is hot" in lines[1]
    assert lines[3:] == [
        f"{long.board}: {'it is hot ' * 20}",
        f"{long.board}: it is slow",
        f"desk: in use by {ANNA}",
    ]


def test_a_short_table_shows_everything_in_its_lines() -> None:
    states = [State("desk", "pi3b", os_release="HypriotOS v1.12.3"), State("lab", "pi2b", what="not running")]
    states[0].temperature_c, states[0].throttled = 48.2, False
    lines = [line.split() for line in table(states, {})]
    assert lines[1:] == [
        ["desk", "pi3b", "HypriotOS", "v1.12.3", "48", "°C", "no", "–", "free"],
        ["lab", "pi2b", "–", "–", "–", "–", "not", "running"],
    ]


def test_the_last_run_of_a_board_has_its_worst_verdict(tmp_path: Path) -> None:
    for day, verdict in ((1, "feasible"), (2, "infeasible")):
        measured = [run_files.benchmark("io.memory_time", [0.1], verdict=verdict, size="1MiB")]
        measured.append(run_files.benchmark("io.memory_time", [0.1], size="2MiB"))
        taken = f"2026-03-0{day}T12:00:00+00:00"
        run_files.store(tmp_path / f"{day}.json", measured, taken=taken)
    there = [run for run in runs.every(tmp_path) if isinstance(run, runs.Run)]
    assert last_runs(reversed(there)) == {"desk": LastRun("2", "2026-03-02T12:00:00+00:00", "infeasible")}


def test_the_states_for_machines_are_plain_values() -> None:
    state = State("desk", "pi3b", holder=ANNA, reachable=True, temperature_c=48.2, throttled=False)
    plain = json.loads(json.dumps(state.as_dict()))
    assert plain["holder"] == {
        "who": "anna@lab",
        "run": "20260301T120400-aaaa",
        "since": "2026-03-01T12:04:00+00:00",
        "purpose": "pytest suites/ --hosts=pi3b",
        "cleaning_up": False,
    }
    assert (plain["state"], plain["fit"], plain["temperature_c"]) == ("in use", True, 48.2)
    assert plain["throttled_since_boot"] is False


# What is unfit


@pytest.mark.parametrize(
    ("reading", "found"),
    [
        ({"throttled": 0}, []),
        (
            {"throttled": 0x50000},
            ["its supply voltage was too low since boot", "it was throttled since boot"],
        ),
        ({"throttled": 0x60006}, ["its frequency was capped and it was throttled since boot"]),
        ({"alarm": True}, ["its supply voltage was too low (hwmon's alarm)"]),
        ({"zones_c": {"thermal_zone0": 81.0}}, ["it was 81 °C hot"]),
        ({"zones_c": {"thermal_zone0": 79.0}}, []),
    ],
)
def test_power_and_heat_of_a_single_reading_are_judged(reading: dict[str, Any], found: list[str]) -> None:
    seen = Vitals(asked_s=0.0, answered_s=0.1, uptime_s=100.0, busy_s=5.0, **reading)
    assert [finding.what for finding in health.standing(seen)] == found


# Emulated boards


class FakeEngine:
    def __init__(self, *containers: dict[str, Any]) -> None:
        listed = [SimpleNamespace(attrs=attributes) for attributes in containers]
        self.containers = SimpleNamespace(list=lambda **_: listed)


@pytest.mark.parametrize(
    ("name", "alive", "what", "run"),
    [
        ("microcloud-r1-desk", {"r1"}, "running", "r1"),
        ("microcloud-kept-r1-desk", {"r1"}, "running", "r1"),
        ("microcloud-kept-r1-desk", set(), "kept by run r1: microcloud clean removes it", None),
        ("microcloud-r1-desk", set(), "left by run r1: microcloud clean removes it", None),
    ],
)
def test_an_emulated_board_is_found_by_its_labels(
    monkeypatch: pytest.MonkeyPatch, name: str, alive: set[str], what: str, run: str | None
) -> None:
    monkeypatch.setattr(lease, "held", lambda _: alive)
    container = {"Names": [f"/{name}"], "Labels": {engine.RUN_LABEL: "r1"}, "Created": SINCE}
    found = presence.find(FakeEngine(container), "desk")  # type: ignore[arg-type]
    assert (found.endpoint, found.what) == (None, what)
    assert (found.holder and found.holder.run_id) == run


def test_an_emulated_board_that_is_not_there_is_not_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "held", lambda _: {"r1"})
    found = presence.find(FakeEngine(), "desk")  # type: ignore[arg-type]
    assert (found.what, found.holder) == ("not running", None)


# A real board


@pytest.mark.engine
def test_a_real_board_is_described_and_nothing_on_it_changes(
    new_real_board: NewRealBoard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = new_real_board("desk", cpuinfo=PI_2)
    before = board.state()

    def state(model: str) -> tuple[int, dict[str, Any]]:
        inventory = board.inventory(model)
        code = cli.main(["boards", f"--inventory={inventory}", f"--runs={tmp_path}", "--json"])
        (described,) = json.loads(capsys.readouterr().out)
        return code, described

    code, free = state("pi2b")
    assert (code, free["state"], free["problems"]) == (0, "free", [])
    assert (free["reachable"], free["right_model"], free["holder"]) == (True, True, None)
    assert free["os_release"].startswith("Debian GNU/Linux 12")
    code, wrong = state("pi3b")
    assert (code, wrong["right_model"]) == (1, False)
    assert "the board is a Raspberry Pi 2 Model B" in wrong["problems"][0]
    assert board.changes_since(before) == []
    rack = board.in_rack("pi2b")
    rack.purpose = "pytest suites/"
    rack.board("desk")
    code, busy = state("pi2b")
    assert (code, busy["state"]) == (0, "in use")
    assert busy["holder"]["run"] == rack.workspace.run_id
    assert busy["holder"]["purpose"] == "pytest suites/"
    assert abs(datetime.fromisoformat(busy["holder"]["since"]).timestamp() - time.time()) < 60
    assert rack.boards["desk"].lock.held
    rack.close()
    board.shell("systemctl stop docker.socket docker")
    code, without = state("pi2b")
    assert code == 1
    assert "/var/run/docker.sock" in without["problems"][0]
