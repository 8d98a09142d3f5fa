"""Opens a session with boards: checks options and inventory, and registers hooks.

A session runs in one process, or pytest-xdist distributes it: then workers drive the boards, and the
controller reports.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud import options
from pytest_microcloud.errors import UserMistake
from pytest_microcloud.session.chosen import Chosen, chosen, redactor_of
from pytest_microcloud.session.collected import Collected
from pytest_microcloud.session.state import SESSION, Against, Session

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_microcloud.controller.progress import Progress
    from pytest_microcloud.controller.workspace import Workspace
    from pytest_microcloud.redaction import Redactor
    from pytest_microcloud.runs.plan import Plan
    from pytest_microcloud.runs.unfinished import Unfinished
    from pytest_microcloud.runs.writer import Writer
    from pytest_microcloud.session.sites import Sites
    from pytest_microcloud.session.write_errors import WriteErrors

WORKERS_END_S = 30.0
"""How long (s) a resumed session waits for boards that workers of the killed controller still lock."""
RESTARTS_PER_WORKER = 4
"""How many crashed workers are replaced, per worker: pytest-xdist's default with -n."""
NOT_DISTRIBUTED = ("benchmark_save", "benchmark_autosave", "benchmark_compare", "benchmark_compare_fail")
"""Options of pytest-benchmark that do not work with workers: it needs measurements in its own process."""


def open_session(config: pytest.Config) -> None:
    """Read the inventory and the catalog, and register the hooks of a session with boards.

    Raises WithoutBoards if --hosts selects hosts for testinfra instead of boards. Raises UserMistake if
    options, inventory or catalog are wrong.
    """
    if hasattr(config, "workerinput"):
        _open_worker(config)
        return
    from pytest_microcloud.controller.workspace import Workspace, new_run_id
    from pytest_microcloud.runs.fingerprint import CONTROLLER
    from pytest_microcloud.session.progress import Shown

    there = chosen(config)
    if options.nothing_runs(config):  # the controller lists the tests itself
        config.option.dist, config.option.tx = "no", []
    _refuse_what_measures_nothing(config)
    if not _is_distributed(config):
        config.option.dist = "no"  # with a mode but no workers, pytest-benchmark would disable itself
    workspace = Workspace(new_run_id())
    redactor = redactor_of(config, there)
    session = _session(
        config,
        there,
        workspace,
        redactor,
        Shown(redactor.without_secrets, side_by_side=_is_distributed(config)),
        CONTROLLER,
    )
    try:
        _complete(config, session)
    except BaseException:
        session.rack.close()
        raise


def _complete(config: pytest.Config, session: Session) -> None:
    """Complete the session, except in a worker: find the run to resume, lock boards, register hooks."""
    from pytest_microcloud import runs
    from pytest_microcloud.runs.writer import Writer
    from pytest_microcloud.session import any_boards
    from pytest_microcloud.session.sites import Sites, divide

    directory, rack = options.path(config, "reports") / "runs", session.rack
    before = _resumed(config, directory, _plan(config, session))
    any_boards.narrow(config, rack, before.plan.hosts if before else ())
    divided = divide(config, list(rack.targets.values())) if _is_distributed(config) else Sites()
    if _is_distributed(config) and config.option.maxworkerrestart is None:
        # With --tx, pytest-xdist would replace a worker that cannot start for ever.
        config.option.maxworkerrestart = str(RESTARTS_PER_WORKER * len(config.option.tx))
    plan = _plan(config, session)
    session.resumed = before
    session.collected = Collected(before)
    session.collected.arrange(rack.targets)
    session.run_file = before.file if before else directory / f"{rack.workspace.run_id}.json"
    if not options.nothing_runs(config):
        runs.make_room(session.run_file.parent)
    session.gate = _against(config, session.run_file, {target.model for target in rack.targets.values()})
    writer = Writer(session.run_file)
    if before is not None and not options.nothing_runs(config):
        _take_over(before, writer)
    config.stash[SESSION] = session
    write_errors = _register_reporting(config, plan, divided, writer)
    _set_options(config, session)
    _keep_page(config, write_errors)


def _open_worker(config: pytest.Config) -> None:
    """Open the session of a worker from the input that the controller sent."""
    from functools import partial
    from pathlib import Path

    from pytest_microcloud import runs
    from pytest_microcloud.catalog import load
    from pytest_microcloud.controller.workspace import Workspace, of_worker
    from pytest_microcloud.inventory.target import Target
    from pytest_microcloud.runs import unfinished
    from pytest_microcloud.session import worker, xdist_events
    from pytest_microcloud.session.confirmation import WorkersConfirmation
    from pytest_microcloud.session.registered import registered
    from pytest_microcloud.session.xdist_events import INPUT
    from pytest_microcloud.verdict.gate import Rules

    if INPUT not in config.workerinput:  # type: ignore[attr-defined]
        chosen(config)  # raises WithoutBoards, as in the controller
    worker.begin(config)
    given: dict[str, Any] = config.workerinput[INPUT]  # type: ignore[attr-defined]
    workerid: str = config.workerinput["workerid"]  # type: ignore[attr-defined]
    registry = registered(config)
    targets = [Target(**variables) for variables in given["targets"]]
    catalog, rules = config.getini("microcloud_catalog"), config.getini("microcloud_gate")
    if gateway := given.get("gateway", ""):
        targets = [target.without_jump() if target.site == gateway else target for target in targets]
        catalog, rules = ([Path(file).absolute() for file in given[kind]] for kind in ("catalog", "gate"))
    there = Chosen(registry, load(catalog, registry.experiments), targets)
    send = xdist_events.sender(config)
    xdist_events.stop_on_command(config)
    workspace = Workspace(of_worker(given["run_id"], workerid))
    redactor, place = redactor_of(config, there), given["place"]
    session = _session(config, there, workspace, redactor, worker.Sent(send), place, gateway=gateway)
    session.run_file = Path(given["run_file"])
    if given["resumed"]:
        session.resumed = unfinished.stored(session.run_file, given["resumed"])
    session.collected = Collected(session.resumed)
    config.stash[SESSION] = session
    _register_on_boards(config, lambda name, log: send("log", [name, log]))
    plugins: dict[str, object] = {"worker": worker.Worker(config, send), "collected": session.collected}
    if given["baseline"]:
        baseline = runs.understood(Path(given["baseline_file"]), given["baseline"])
        session.gate = Against(baseline, Rules(rules))
        add = partial(xdist_events.add_test, config)
        plugins["gate"] = WorkersConfirmation(config, session.gate, send, add)
    _register(config, plugins)
    _set_options(config, session)


def _session(
    config: pytest.Config,
    there: Chosen,
    workspace: Workspace,
    redactor: Redactor,
    progress: Progress,
    place: str,
    *,
    gateway: str = "",
) -> Session:
    from pathlib import Path

    from pytest_microcloud.boards.rack import Rack

    effort = there.catalog.effort(config.option.microcloud_effort or config.getini("microcloud_effort"))
    retries, boots = options.retries(config), options.boots(config)
    rack = Rack(
        there.targets,
        there.catalog,
        there.registry.drivers,
        workspace,
        progress,
        keep=options.flag(config, "keep"),
        wait_s=max(options.wait_s(config), WORKERS_END_S if options.flag(config, "resume") else 0.0),
        tools=there.registry.tools,
        gateway=gateway,
        purpose=_purpose(config, redactor),
    )
    if boots > 1:
        # With several boots, the startup experiment reboots only once in each of them.
        effort = dataclasses.replace(effort, boots=1)
    catalog = there.catalog
    return Session(there.registry, catalog, rack, effort, Path(), redactor, progress, place, retries, boots)


def _purpose(config: pytest.Config, redactor: Redactor) -> str:
    """Return this session's redacted command line, which other sessions print while they wait for a board."""
    import shlex

    from pytest_microcloud.session.xdist_events import INPUT

    if hasattr(config, "workerinput"):
        return str(config.workerinput[INPUT]["purpose"])
    return redactor.without_secrets(shlex.join(["pytest", *map(str, config.invocation_params.args)]))


def _plan(config: pytest.Config, session: Session) -> Plan:
    """Return the session's plan; its tests are added after collection."""
    from pytest_microcloud.runs.plan import Plan

    return Plan(
        tuple(session.rack.targets),
        session.effort.id,
        session.boots,
        baseline=options.baseline(config),
    )


def _refuse_what_measures_nothing(config: pytest.Config) -> None:
    if not config.pluginmanager.hasplugin("benchmark"):
        raise UserMistake("measurements need pytest-benchmark: run without -p no:benchmark")
    if config.getoption("benchmark_disable", False) or config.getoption("benchmark_skip", False):
        raise UserMistake(
            "measurements need pytest-benchmark: run without --benchmark-disable and --benchmark-skip"
        )
    if not _is_distributed(config):
        if config.getoption("tx", None):
            raise UserMistake("--tx: pytest-xdist starts these workers only with -d: add -d")
        return
    if config.option.numprocesses and any(str(a).startswith("--tx") for a in config.invocation_params.args):
        raise UserMistake("-n and --tx: pytest-xdist ignores the workers of --tx: use -d instead of -n")
    if config.option.dist != "load":
        raise UserMistake(
            f"--dist={config.option.dist} is not supported, because all tests of a board run on one worker: "
            "run without --dist"
        )
    if given := next((option for option in NOT_DISTRIBUTED if config.getoption(option, None)), None):
        raise UserMistake(
            f"--{given.replace('_', '-')}: pytest-benchmark has no measurements in a distributed session; "
            "the run file has the measurements: compare runs with --microcloud-baseline"
        )


def _is_distributed(config: pytest.Config) -> bool:
    """Whether workers of pytest-xdist run the tests, by the same rule as pytest-xdist."""
    return config.getoption("dist", "no") != "no" and bool(config.getoption("tx", None))


def _resumed(config: pytest.Config, directory: Path, plan: Plan) -> Unfinished | None:
    from pytest_microcloud.runs import unfinished

    if not options.flag(config, "resume"):
        return None
    return unfinished.find(directory, plan, options.any_boards(config))


def _take_over(before: Unfinished, writer: Writer) -> None:
    try:
        before.take_over(writer)
    except BlockingIOError:
        raise UserMistake(f"--microcloud-resume: another session has just resumed {before.file}") from None
    except OSError as error:
        raise UserMistake(
            f"--microcloud-resume: the run cannot be taken over: {error.filename}: {error.strerror}"
        ) from error


def _against(config: pytest.Config, run_file: Path, models: Collection[str]) -> Against | None:
    """Return the baseline that the run will be compared with, and the rules; None without a baseline.

    Raises UserMistake if the baseline does not exist, or if the rules are wrong.
    """
    from pytest_microcloud import runs
    from pytest_microcloud.verdict.gate import Rules

    rules = Rules(config.getini("microcloud_gate"))
    if not (reference := options.baseline(config)):
        return None
    baseline = runs.find(reference, run_file.parent, apart_from=run_file, models=models)
    return Against(baseline, rules)


def _register_on_boards(config: pytest.Config, write_log: Callable[[str, str], None]) -> None:
    """Register the hooks of the process that drives the boards."""
    from pytest_microcloud.session.board_lifecycle import BoardLifecycle
    from pytest_microcloud.session.board_time import OnBoardTime
    from pytest_microcloud.session.boots import Boots
    from pytest_microcloud.session.classification import Classification
    from pytest_microcloud.session.commands import Commands
    from pytest_microcloud.session.control import ControlReadings
    from pytest_microcloud.session.incident_log import IncidentLog
    from pytest_microcloud.session.report_record import Records
    from pytest_microcloud.session.resume import Resume
    from pytest_microcloud.session.signals import Signals

    log, session = IncidentLog(config, write_log), config.stash[SESSION]
    without = options.flag(config, "no_control") or options.nothing_runs(config)
    controls = None if without else ControlReadings(config)
    plugins: dict[str, object] = {
        "signals": Signals(),
        "board-lifecycle": BoardLifecycle(config, log, controls),
        "boots": Boots(config),
        "commands": Commands(options.command_timeout_s(config)),
        "board-time": OnBoardTime(),
        "classification": Classification(config),
        "incident-log": log,
        "records": Records(config),
    }
    if controls is not None:
        plugins["control"] = controls
    if session.resumed is not None:
        plugins["resume"] = Resume(config, session.resumed)
    _register(config, plugins)


def _register_reporting(config: pytest.Config, plan: Plan, sites: Sites, writer: Writer) -> WriteErrors:
    """Register the hooks of the reporting process. Without workers, this process also drives the boards."""
    from pytest_microcloud.session.board_lifecycle import Release
    from pytest_microcloud.session.confirmation import Confirmation
    from pytest_microcloud.session.drift import Drift
    from pytest_microcloud.session.gate_report import Gate
    from pytest_microcloud.session.html import Page
    from pytest_microcloud.session.junit import JUnit
    from pytest_microcloud.session.log_files import LogFiles
    from pytest_microcloud.session.outcome import Outcomes
    from pytest_microcloud.session.plan_only import PlanOnly
    from pytest_microcloud.session.resume import Resumed
    from pytest_microcloud.session.run_file import RunFile
    from pytest_microcloud.session.signals import Signals
    from pytest_microcloud.session.summary import Summary
    from pytest_microcloud.session.write_errors import WriteErrors

    session, write_errors = config.stash[SESSION], WriteErrors(config)
    run_file, logs = RunFile(config, write_errors, plan, writer), LogFiles(session.run_file, write_errors)
    plugins: dict[str, object] = {
        "write-errors": write_errors,
        "collected": session.collected,
        "run-file": run_file,
        "drift": Drift(config, run_file),
        "outcomes": Outcomes(config, write_errors),
        "page": Page(config, write_errors),
        "junit": JUnit(config, write_errors),
        "progress": session.progress,
        "summary": Summary(config),
    }
    if options.flag(config, "plan"):
        plugins["plan"] = PlanOnly(config)
    if session.resumed is not None:
        plugins["resumed"] = Resumed(config, session.resumed)
    if session.gate is not None and not options.nothing_runs(config):
        confirmation = None if _is_distributed(config) else Confirmation(config, session.gate)
        plugins["gate"] = Gate(config, session.gate, run_file, write_errors, confirmation)
    if _is_distributed(config):
        from pytest_microcloud.session.fleet import Fleet
        from pytest_microcloud.session.gateways import Gateways
        from pytest_microcloud.session.sites import expanded, is_here

        gateways = None if all(map(is_here, expanded(config))) else Gateways(config)
        fleet = Fleet(config, run_file, logs, sites, gateways)
        plugins |= {"signals": Signals(), "fleet": fleet} | ({"gateways": gateways} if gateways else {})
    else:
        _register_on_boards(config, logs.write)
        plugins["release"] = Release(config, config.pluginmanager.getplugin("microcloud-board-lifecycle"))
    _register(config, plugins)
    return write_errors


def _register(config: pytest.Config, plugins: dict[str, object]) -> None:
    """Register the objects with hooks as plugins. The order of the dict must not matter."""
    for name, plugin in plugins.items():
        config.pluginmanager.register(plugin, f"microcloud-{name}")


def _set_options(config: pytest.Config, session: Session) -> None:
    """Set the options of testinfra and pytest-benchmark that a session with boards needs."""
    config.option.hosts = ",".join(
        f"ssh://{t.name}?controlpersist=0{'&sudo=true' if t.become else ''}"
        for t in session.rack.targets.values()
    )
    config.option.ssh_config = str(session.rack.workspace.ssh_config)
    if not config.option.benchmark_verbose:
        config.option.benchmark_quiet = True  # the table of pytest-benchmark would repeat ours
    if options.flag(config, "plan"):
        # An existing directory: otherwise pytest-benchmark would create .benchmarks.
        config.option.benchmark_storage = str(config.rootpath)


def _keep_page(config: pytest.Config, write_errors: WriteErrors) -> None:
    """Make pytest-html write `feasibility.html`, unless the user chose a page with --html."""
    if options.flag(config, "plan"):
        return
    if not config.pluginmanager.hasplugin("metadata"):  # without it, pytest-html causes an INTERNALERROR
        if config.getoption("htmlpath", None):
            raise UserMistake("--html: pytest-html needs pytest-metadata: run without -p no:metadata")
    elif config.getoption("htmlpath", "") is None and not config.option.collectonly:
        from pytest_microcloud.session.html import KeptPage

        page = options.path(config, "reports") / "feasibility.html"
        config.option.htmlpath = str(page)
        config.option.self_contained_html = True
        config.pluginmanager.register(KeptPage(config, page, write_errors), "microcloud-kept-page")
