"""pytest's hooks: options, markers, wiring. The work is elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_microcloud import fixtures
from pytest_microcloud.errors import (
    BoardError,
    InvalidMeasurement,
    InventoryError,
    MicrocloudError,
    UserMistake,
)
from pytest_microcloud.fixtures import (  # noqa: F401 - pytest finds fixtures in the plugin module
    ENTRY,
    SESSION,
    BoardClock,
    Session,
    board,
    deploy,
    effort,
    limit,
    measure,
    serve,
)

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_microcloud.catalog import Catalog
    from pytest_microcloud.inventory import Target
    from pytest_microcloud.terminal import Progress

EFFORTS = ("quick", "standard", "paper")
OUR_FIXTURES = frozenset(("board", "effort", "deploy", "serve", "measure", "limit"))
PROGRESS: pytest.StashKey[Progress] = pytest.StashKey()
WHY_ASIDE: pytest.StashKey[str] = pytest.StashKey()
AXES = ("clients", "setting", "size", "workload")
INVENTORY = "hosts.ini"
Status = tuple[str, str, str | tuple[str, Mapping[str, bool]]]
STATUS: dict[str, Status] = {
    "invalid": ("invalid", "I", ("INVALID", {"yellow": True})),
    "error": ("error", "E", "ERROR"),
}


class Aside(Exception):
    """--hosts is testinfra's own business; the text is why, for a test that needs a board all the same."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, each with an ini twin."""
    group = parser.getgroup("microcloud", "boards that may host a micro-cloud")
    group.addoption(
        "--microcloud-inventory",
        metavar="FILE",
        help="Ansible inventory with the boards (default: hosts.ini)",
    )
    group.addoption(
        "--microcloud-effort",
        choices=EFFORTS,
        help="repetitions; `paper` is what the paper did (default: standard)",
    )
    group.addoption(
        "--microcloud-reports", metavar="DIR", help="where reports and runs/ go (default: reports)"
    )
    group.addoption(
        "--microcloud-plan", action="store_true", help="print boards, steps and estimated time; touch nothing"
    )
    group.addoption(
        "--microcloud-keep", action="store_true", help="leave emulated boards running for the next run"
    )
    parser.addini("microcloud_inventory", "Ansible inventory with the boards", default=INVENTORY)
    parser.addini("microcloud_effort", "quick, standard or paper", default="standard")
    parser.addini("microcloud_reports", "where reports and runs/ go", default="reports")
    parser.addini("microcloud_plan", "print the plan and touch nothing", type="bool", default=False)
    parser.addini(
        "microcloud_keep", "leave emulated boards running for the next run", type="bool", default=False
    )
    parser.addini("microcloud_catalog", "TOML files with board models, workloads and limits", type="paths")


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Offer our own hooks."""
    from pytest_microcloud import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Resolve --hosts against the inventory and hand testinfra the names; nothing is connected yet."""
    config.addinivalue_line("markers", "experiment(name): the experiment that a test belongs to")
    config.addinivalue_line(
        "markers",
        f"sweep(*axes): run the test at every point of the axes ({', '.join(AXES)}) of the chosen effort",
    )
    if config.getoption("hosts", None) is None:
        return
    try:
        _leave_what_is_testinfras(config)
        _open_session(config)
    except Aside as aside:
        config.stash[WHY_ASIDE] = str(aside)
        config.pluginmanager.register(SessionAside(), "microcloud-aside")
    except MicrocloudError as error:
        raise pytest.UsageError(str(error)) from None


def _leave_what_is_testinfras(config: pytest.Config) -> None:
    hosts, file = config.option.hosts, _path(config, "inventory")
    if not file.is_file() and config.option.microcloud_inventory is None:
        raise Aside(f"there is no {file}: write one, or name yours with --microcloud-inventory")
    if "://" in hosts or any(config.getoption(own, None) for own in ("connection", "ansible_inventory")):
        raise Aside(
            f"--hosts={hosts} as it stands is for testinfra alone: choose hosts or groups of {file}, "
            "without --connection and --ansible-inventory"
        )


def _targets(config: pytest.Config, catalog: Catalog) -> list[Target]:
    from pytest_microcloud import inventory
    from pytest_microcloud.boards.drivers import DRIVERS

    file = _path(config, "inventory")
    try:
        return inventory.read(file, config.option.hosts, catalog.models, DRIVERS)
    except InventoryError as error:
        if _asks_for_boards(config) or inventory.holds_boards(file, config.option.hosts, catalog.models):
            raise
        raise Aside(str(error)) from None


def _asks_for_boards(config: pytest.Config) -> bool:
    options = ("inventory", "effort", "reports", "plan", "keep")
    named = any(config.getoption(f"microcloud_{option}") for option in options)
    return named or config.getini("microcloud_inventory") != INVENTORY


def _refuse_what_measures_nothing(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None) or config.getoption("dist", "no") != "no":
        raise UserMistake(
            "-n: boards are measured one after another; pytest-benchmark switches itself off under xdist, "
            "and a run without measurements is worth nothing. Run without -n and --dist"
        )
    if not config.pluginmanager.hasplugin("benchmark"):
        raise UserMistake("measurements need pytest-benchmark: run without -p no:benchmark")
    if config.getoption("benchmark_disable", False) or config.getoption("benchmark_skip", False):
        raise UserMistake(
            "measurements need pytest-benchmark: run without --benchmark-disable and --benchmark-skip"
        )


def _open_session(config: pytest.Config) -> None:
    from pytest_microcloud.boards.rack import Rack
    from pytest_microcloud.boards.workspace import Workspace, new_run_id
    from pytest_microcloud.catalog import load

    catalog = load(config.getini("microcloud_catalog"))
    targets = _targets(config, catalog)
    _refuse_what_measures_nothing(config)
    chosen = catalog.effort(config.option.microcloud_effort or config.getini("microcloud_effort"))
    workspace = Workspace(new_run_id())

    def announce(name: str, text: str) -> None:
        if progress := config.stash.get(PROGRESS, None):
            progress.announce(name, text)

    def say(name: str, text: str) -> None:
        if progress := config.stash.get(PROGRESS, None):
            progress.update(name, text)

    rack = Rack(targets, catalog, workspace, announce, say, keep=_flag(config, "keep"))
    run_file = _path(config, "reports") / "runs" / f"{workspace.run_id}.json"
    config.stash[SESSION] = Session(catalog, rack, chosen, run_file)
    config.pluginmanager.register(SessionWithBoards(config), "microcloud-session")
    _set_options(config, targets, workspace.ssh_config)


def _set_options(config: pytest.Config, targets: list[Target], ssh_config: Path) -> None:
    """Tell testinfra, pytest-benchmark and pytest-html what they are to do for us."""
    config.option.hosts = ",".join(
        f"ssh://{t.name}?controlpersist=0{'&sudo=true' if t.become else ''}" for t in targets
    )
    config.option.ssh_config = str(ssh_config)
    if not config.option.benchmark_verbose:
        config.option.benchmark_quiet = True  # its table of times would repeat ours in other words
    if _flag(config, "plan"):
        config.option.benchmark_storage = str(config.rootpath)  # is there: no .benchmarks is made
    elif config.getoption("htmlpath", "") is None and not config.option.collectonly:
        config.option.htmlpath = str(_path(config, "reports") / "feasibility.html")
        config.option.self_contained_html = True


def _flag(config: pytest.Config, name: str) -> bool:
    return bool(config.getoption(f"microcloud_{name}") or config.getini(f"microcloud_{name}"))


def _path(config: pytest.Config, name: str) -> Path:
    """Return a path as its option means it where pytest was called, or its ini twin in the root directory."""
    given: str | None = config.getoption(f"microcloud_{name}")
    return (
        config.invocation_params.dir / given
        if given
        else config.rootpath / config.getini(f"microcloud_{name}")
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which boards were chosen."""
    session = config.stash.get(SESSION, None)
    if session is None:
        return []
    from pytest_microcloud import terminal

    rack, chosen = session.rack, session.effort
    return terminal.header(rack.targets.values(), rack.workspace.run_id, chosen.id, chosen.about)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of ours at every point of the axes that its `sweep` marks name."""
    if not _uses(metafunc.definition, OUR_FIXTURES):
        return  # somebody else's mark of that name
    session = metafunc.config.stash.get(SESSION, None)
    for mark in metafunc.definition.iter_markers("sweep"):
        for axis in mark.args:
            if axis not in AXES:
                pytest.fail(
                    f"{metafunc.definition.nodeid}: @pytest.mark.sweep({axis!r}): "
                    f"the axes are {', '.join(AXES)}",
                    pytrace=False,
                )
            points = _points(axis, session) if session is not None else []
            metafunc.parametrize(axis, points, ids=[_point_id(axis, point) for point in points])


def _points(axis: str, session: Session) -> list[Any]:
    points: dict[str, list[Any]] = {
        "clients": list(session.effort.clients),
        "setting": ["native", "docker"],
        "size": list(session.effort.sizes),
        "workload": list(session.catalog.workloads),
    }
    return points[axis]


def _point_id(axis: str, point: Any) -> str:
    if axis == "size":
        from pytest_microcloud.experiments.io import shown_size

        return shown_size(point)
    return f"{point}clients" if axis == "clients" else str(point)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse tests of boards when no boards were chosen."""
    if config.stash.get(SESSION, None) is not None or config.option.collectonly:
        return
    for item in items:
        if _uses(item, OUR_FIXTURES):
            raise pytest.UsageError(_no_boards(config, item))


def _uses(item: pytest.Item, names: Collection[str]) -> bool:
    """Tell whether a test uses fixtures of those names and they are ours, or a user's that wrap ours."""
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})  # private to pytest
    return any(_is_ours(name, definitions.get(name, ())) for name in names)


def _is_ours(name: str, definitions: Sequence[pytest.FixtureDef[Any]]) -> bool:
    for definition in reversed(definitions):  # the nearest first
        if getattr(definition.func, "__module__", None) == fixtures.__name__:
            return True
        if name not in definition.argnames:
            return False
    return False


def _no_boards(config: pytest.Config, item: pytest.Item) -> str:
    if config.getoption("hosts", None) is None:
        return f"{item.nodeid} needs a board: choose with --hosts, e.g. --hosts=pi3b or --hosts=all"
    return f"{item.nodeid} needs a board of an inventory; {config.stash[WHY_ASIDE]}"


def _note_failure(item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Keep a failure for the matrix, unless what failed first is noted: an assertion, or a crash."""
    entry = item.stash.get(ENTRY, None)
    if entry is not None and entry.verdict in ("invalid", "infeasible", "error"):
        return
    missed = isinstance(excinfo.value, AssertionError | pytest.fail.Exception)
    fixtures.note(item, "infeasible" if missed else "error", excinfo.exconly().strip().splitlines()[0])


class SessionAside:
    """The hook of a session whose --hosts are testinfra's."""

    @pytest.hookimpl(wrapper=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> Generator[None, None, None]:
        """Let no complaint of testinfra about the hosts come before ours about boards."""
        try:
            yield
        except RuntimeError:
            if not _uses(metafunc.definition, OUR_FIXTURES):
                raise


class SessionWithBoards:
    """The hooks of a session that has boards; a session without any does not pay for them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._session = config.stash[SESSION]
        self._progress: Progress | None = None
        self._machine: tuple[dict[str, Any], dict[str, Any]] | None = None

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Let the benchmark of a test that measures run on board time."""
        if _uses(item, ("measure",)):
            own = item.get_closest_marker("benchmark")
            options = {**(own.kwargs if own else {}), "timer": BoardClock()}
            item.add_marker(pytest.mark.benchmark(**options), append=False)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """With --microcloud-plan, print the plan instead of running anything."""
        from pytest_microcloud import terminal

        if self._config.option.collectonly:
            return None
        if _flag(self._config, "plan"):
            from pytest_microcloud.experiments.estimate import POWER_ON_S

            terminal.plan(self._reporter, self._steps(session.items), POWER_ON_S)
            return True
        capture = self._config.pluginmanager.getplugin("capturemanager")
        self._progress = terminal.Progress(self._reporter, capture.global_and_fixture_disabled)
        self._config.stash[PROGRESS] = self._progress
        return None

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Power a test's board on, so that plain testinfra tests find it up, too.

        Called after pytest's look at skip marks, which is `tryfirst`, and before fixtures are set up.
        """
        name = fixtures.board_of(item)
        if name is None:
            return
        ready = self._session.rack.board(name)
        if name not in self._session.boards:
            self._session.boards[name] = ready
            from pytest_microcloud.terminal import board_lines

            self._config.stash[PROGRESS].keep(board_lines(ready))
            self._config.hook.pytest_microcloud_board_ready(board=ready, config=self._config)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Tell an invalid measurement from a failure, and a broken board from both."""
        report = yield
        if call.excinfo is None:
            return report
        error = call.excinfo.value
        if isinstance(error, MicrocloudError):
            report.longrepr = f"{type(error).__name__}: {error}"
        if isinstance(error, InvalidMeasurement | BoardError):
            verdict = "invalid" if isinstance(error, InvalidMeasurement) else "error"
            report.user_properties.append(("microcloud", verdict))
            item.user_properties.append(("microcloud", verdict))  # JUnit's are those at teardown
            fixtures.note(item, verdict, str(error))
        elif report.failed and fixtures.board_of(item) and _uses(item, OUR_FIXTURES):
            _note_failure(item, call.excinfo)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.CollectReport | pytest.TestReport) -> Status | None:
        """Show an invalid measurement as such, and a broken board as an error in whatever phase it broke."""
        if not report.failed or report.when in ("collect", "teardown"):
            return None
        return STATUS.get(str(dict(report.user_properties).get("microcloud")))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self) -> None:
        """Take the line of progress away before pytest writes the outcome."""
        if self._progress is not None:
            self._progress.clear()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Write the run file after every test, so that an interrupted session keeps what it measured."""
        result = yield
        if ENTRY in item.stash:
            self._write_run()
        return result

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_html_results_summary(self, prefix: list[str]) -> None:
        """Put the verdict matrix on top of pytest-html's page."""
        from pytest_microcloud.report import feasibility
        from pytest_microcloud.verdict.matrix import matrix

        session = self._session
        table = matrix(session.entries, session.catalog.experiments)
        prefix[:0] = feasibility.summary(
            table,
            session.entries,
            session.boards,
            session.catalog.experiments,
            f"Effort: {session.effort.id}.",
        )

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_report_title(self, report: Any) -> None:
        """Name the page."""
        report.title = "Micro-cloud feasibility"

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Close with board × experiment."""
        from pytest_microcloud import terminal
        from pytest_microcloud.verdict.matrix import matrix

        if self._session.entries:
            table = matrix(self._session.entries, self._session.catalog.experiments)
            terminal.closing_table(terminalreporter, table, self._session.boards)
            for report in terminalreporter.getreports("invalid"):
                terminalreporter.write_line(f"INVALID {report.nodeid}")
            if self._session.run_file.is_file():
                terminalreporter.write_line(f"run file: {self._session.run_file}")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, None, None]:
        """Give all boards up, after the fixtures have been taken down."""
        try:
            return (yield)
        finally:
            if self._progress is not None and self._session.boards:
                self._progress.announce("boards", "tidying up")
                self._progress.clear()
            self._session.rack.close()

    def pytest_unconfigure(self) -> None:
        """Give all boards up, even if the session never finished."""
        self._session.rack.close()

    @property
    def _reporter(self) -> TerminalReporter:
        return cast("TerminalReporter", self._config.pluginmanager.getplugin("terminalreporter"))

    def _steps(self, items: list[pytest.Item]) -> dict[str, list[tuple[str, float]]]:
        from pytest_microcloud.experiments.estimate import step_s

        session = self._session
        steps: dict[str, list[tuple[str, float]]] = {name: [] for name in session.rack.targets}
        for item in items:
            if (name := fixtures.board_of(item)) not in steps:
                continue
            parameters = item.callspec.params  # type: ignore[attr-defined]
            model = session.catalog.model(session.rack.targets[name].model)
            experiment = fixtures.experiment_of(item)
            seconds = step_s(experiment, item.name, parameters, model, session.effort, session.catalog)
            steps[name].append((item.nodeid, seconds))
        return steps

    def _write_run(self) -> None:
        from pytest_microcloud import runs

        benchmarks = self._config._benchmarksession.benchmarks  # type: ignore[attr-defined]
        if not benchmarks:
            return
        hook = self._config.hook
        if self._machine is None:
            commit_info = hook.pytest_benchmark_generate_commit_info(config=self._config)
            self._machine = hook.pytest_benchmark_generate_machine_info(config=self._config), commit_info
        machine_info, commit_info = self._machine
        session = self._session
        boards = {
            name: {
                "model": b.model.id,
                "driver": b.driver.name,
                "emulated": b.driver.emulated,
                "not_emulated": list(b.gaps),
                **b.facts.as_dict(),
            }
            for name, b in session.boards.items()
        }
        document = hook.pytest_benchmark_generate_json(
            config=self._config,
            benchmarks=benchmarks,
            include_data=True,
            machine_info=machine_info | {"microcloud": {"effort": session.effort.id, "boards": boards}},
            commit_info=commit_info,
        )
        runs.write(session.run_file, document)
