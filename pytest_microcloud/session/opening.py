"""The opening of a session with boards: options and inventory are checked, hooks are registered."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud import options
from pytest_microcloud.errors import InventoryError, MicrocloudError, UserMistake
from pytest_microcloud.session.collected import Collected
from pytest_microcloud.session.state import SESSION, Against, Session, WithoutBoards

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_microcloud.catalog import Catalog
    from pytest_microcloud.controller.workspace import Workspace
    from pytest_microcloud.inventory.target import Target
    from pytest_microcloud.redaction import Redactor
    from pytest_microcloud.registry import Registry
    from pytest_microcloud.runs.plan import Plan
    from pytest_microcloud.runs.unfinished import Unfinished
    from pytest_microcloud.session.write_errors import WriteErrors


def redacted(config: pytest.Config, error: MicrocloudError) -> str:
    """Return the text of a user's mistake: Ansible quotes a line of an inventory that it cannot read."""
    from pytest_microcloud.redaction import without_keys, written_in

    file = options.path(config, "inventory")
    return without_keys(str(error), written_in(file.read_text(errors="replace")) if file.is_file() else ())


def _leave_what_is_testinfras(config: pytest.Config) -> None:
    hosts, file = config.option.hosts, options.path(config, "inventory")
    if not file.is_file() and config.option.microcloud_inventory is None:
        raise WithoutBoards(f"there is no {file}: write one, or name yours with --microcloud-inventory")
    if "://" in hosts or any(config.getoption(own, None) for own in ("connection", "ansible_inventory")):
        raise WithoutBoards(
            f"--hosts={hosts} as it stands is for testinfra alone: choose hosts or groups of {file}, "
            "without --connection and --ansible-inventory"
        )


def _targets(config: pytest.Config, catalog: Catalog, registry: Registry) -> list[Target]:
    from pytest_microcloud import inventory
    from pytest_microcloud.boards import drivers

    file = options.path(config, "inventory")
    try:
        return inventory.read(
            file, config.option.hosts, catalog.models, registry.driver_rules, drivers.DEFAULT
        )
    except InventoryError as error:
        if _asks_for_boards(config) or inventory.holds_boards(file, config.option.hosts, catalog.models):
            raise
        raise WithoutBoards(str(error)) from None


def _asks_for_boards(config: pytest.Config) -> bool:
    ours = (
        *("inventory", "effort", "reports", "plan", "keep", "wait", "identify", "retry_invalid"),
        *("boots", "resume", "baseline", "command_timeout"),
    )
    named = any(config.getoption(f"microcloud_{option}") for option in ours)
    return named or config.getini("microcloud_inventory") != options.INVENTORY


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


def _refuse_what_the_inventory_sets(config: pytest.Config) -> None:
    """Raise UserMistake for an option of testinfra that has no effect on boards from the inventory."""
    for option, remedy in {
        "--ssh-config": "set ansible_ssh_common_args='-F FILE' in the inventory",
        "--ssh-identity-file": "set ansible_ssh_private_key_file in the inventory",
        "--ssh-extra-args": "set ansible_ssh_extra_args in the inventory",
        "--force-ansible": "boards are reached over ssh only",
    }.items():
        if config.getoption(option, None):
            raise UserMistake(f"{option} cannot be honoured for boards from the inventory: {remedy}")


def open_session(config: pytest.Config) -> None:
    """Read the inventory and the catalog, and register the hooks of a session with boards.

    Raises WithoutBoards if --hosts is for testinfra alone, and UserMistake.
    """
    from pytest_microcloud import runs
    from pytest_microcloud.catalog import load
    from pytest_microcloud.session.registered import registered

    _leave_what_is_testinfras(config)
    _refuse_what_the_inventory_sets(config)
    registry = registered(config)
    catalog = load(config.getini("microcloud_catalog"), registry.experiments)
    targets = _targets(config, catalog, registry)
    _refuse_what_measures_nothing(config)
    session, plan = _session(config, registry, catalog, targets)
    if not options.nothing_runs(config):
        runs.make_room(session.run_file.parent)
    session.gate = _against(config, session.run_file, {target.model for target in targets})
    config.stash[SESSION] = session
    write_errors = _register_hooks(config, plan)
    _set_options(config, targets, session.rack.workspace.ssh_config, write_errors)


def _session(
    config: pytest.Config, registry: Registry, catalog: Catalog, targets: list[Target]
) -> tuple[Session, Plan]:
    """Return the session, and what it sets out to do."""
    from pytest_microcloud.boards.rack import Rack
    from pytest_microcloud.controller.workspace import Workspace, new_run_id
    from pytest_microcloud.runs.plan import Plan
    from pytest_microcloud.session.progress import Shown

    effort = catalog.effort(config.option.microcloud_effort or config.getini("microcloud_effort"))
    retries, boots = options.retries(config), options.boots(config)
    keep, wait_s = options.flag(config, "keep"), options.wait_s(config)
    workspace = Workspace(new_run_id())
    redactor = _redactor(config, registry, catalog, targets)
    progress = Shown(redactor.without_secrets)
    rack = Rack(
        targets,
        catalog,
        registry.drivers,
        workspace,
        progress,
        keep=keep,
        wait_s=wait_s,
        tools=registry.tools,
    )
    hosts = tuple(target.name for target in targets)
    plan = Plan(hosts, effort.id, boots, baseline=options.baseline(config), session=workspace.run_id)
    directory = options.path(config, "reports") / "runs"
    before = _resumed(config, directory, plan, workspace)
    run_file = before.file if before else directory / f"{workspace.run_id}.json"
    if boots > 1:
        effort = dataclasses.replace(effort, boots=1)  # the start-up experiment reboots once a boot, too
    session = Session(registry, catalog, rack, effort, run_file, redactor, progress, retries, boots)
    session.resumed, session.collected = before, Collected(before)
    return session, plan


def _redactor(config: pytest.Config, registry: Registry, catalog: Catalog, targets: list[Target]) -> Redactor:
    from pytest_microcloud import runs
    from pytest_microcloud.redaction import Redactor

    points = {word for experiment in registry.experiments.values() for word in experiment.words}
    return Redactor.of(
        [os.environ, *(target.variables for target in targets)],
        boards={name for target in targets for name in (target.name, target.model, *target.groups)},
        addresses={target.address for target in targets},
        words={*catalog.words, *points, *registry.drivers, *runs.WORST_FIRST},
        identify=options.flag(config, "identify"),
    )


def _resumed(config: pytest.Config, directory: Path, plan: Plan, workspace: Workspace) -> Unfinished | None:
    from pytest_microcloud.runs import unfinished

    if not options.flag(config, "resume"):
        return None
    before = unfinished.find(directory, plan)
    if not options.nothing_runs(config):
        _take_over(before, workspace)
    return before


def _take_over(before: Unfinished, workspace: Workspace) -> None:
    """Resume a run, and lock it against other sessions."""
    try:
        workspace.open()
        before.take_over(workspace.run_id)
    except OSError as error:
        raise UserMistake(f"--microcloud-resume: {error.filename}: {error.strerror}") from error


def _against(config: pytest.Config, run_file: Path, models: Collection[str]) -> Against | None:
    """Return what the run is to be compared with; raises UserMistake."""
    from pytest_microcloud import runs
    from pytest_microcloud.verdict.gate import Rules

    rules = Rules(config.getini("microcloud_gate"))
    if not (reference := options.baseline(config)):
        return None
    baseline = runs.find(reference, run_file.parent, apart_from=run_file, models=models)
    return Against(baseline, rules)


def _register_hooks(config: pytest.Config, plan: Plan) -> WriteErrors:
    """Register the hooks of a session with boards. Their order is given by `tryfirst` and `trylast` alone."""
    from pytest_microcloud.session.board_lifecycle import BoardLifecycle
    from pytest_microcloud.session.board_time import OnBoardTime
    from pytest_microcloud.session.boots import Boots
    from pytest_microcloud.session.classification import Classification
    from pytest_microcloud.session.commands import Commands
    from pytest_microcloud.session.confirmation import Gate
    from pytest_microcloud.session.html import Page
    from pytest_microcloud.session.incident_log import IncidentLog
    from pytest_microcloud.session.junit import JUnit
    from pytest_microcloud.session.outcome import Outcomes
    from pytest_microcloud.session.plan_only import PlanOnly
    from pytest_microcloud.session.report_record import Records
    from pytest_microcloud.session.resume import Resume
    from pytest_microcloud.session.run_file import RunFile
    from pytest_microcloud.session.signals import Signals
    from pytest_microcloud.session.summary import Summary
    from pytest_microcloud.session.write_errors import WriteErrors

    session, write_errors = config.stash[SESSION], WriteErrors(config)
    log, run_file = IncidentLog(config, write_errors), RunFile(config, write_errors, plan)
    plugins: dict[str, object] = {
        "write-errors": write_errors,
        "signals": Signals(),
        "board-lifecycle": BoardLifecycle(config, log),
        "boots": Boots(config),
        "commands": Commands(options.command_timeout_s(config)),
        "board-time": OnBoardTime(),
        "classification": Classification(config),
        "incident-log": log,
        "records": Records(config),
        "collected": session.collected,
        "run-file": run_file,
        "outcomes": Outcomes(config, write_errors),
        "page": Page(config, write_errors),
        "junit": JUnit(config, write_errors),
        "progress": session.progress,
        "summary": Summary(config),
    }
    if options.flag(config, "plan"):
        plugins["plan"] = PlanOnly(config)
    if session.resumed is not None:
        plugins["resume"] = Resume(config, session.resumed)
    if session.gate is not None and not options.nothing_runs(config):
        plugins["gate"] = Gate(config, session.gate, run_file, write_errors)
    for name, plugin in plugins.items():
        config.pluginmanager.register(plugin, f"microcloud-{name}")
    return write_errors


def _set_options(
    config: pytest.Config, targets: list[Target], ssh_config: Path, write_errors: WriteErrors
) -> None:
    """Set the options of testinfra, pytest-benchmark and pytest-html."""
    config.option.hosts = ",".join(
        f"ssh://{t.name}?controlpersist=0{'&sudo=true' if t.become else ''}" for t in targets
    )
    config.option.ssh_config = str(ssh_config)
    if not config.option.benchmark_verbose:
        config.option.benchmark_quiet = True  # its table of times would repeat ours in other words
    if options.flag(config, "plan"):
        config.option.benchmark_storage = str(config.rootpath)  # is there: no .benchmarks is made
    elif not config.pluginmanager.hasplugin("metadata"):  # pytest-html ends in an INTERNALERROR without it
        if config.getoption("htmlpath", None):
            raise UserMistake("--html: pytest-html needs pytest-metadata: run without -p no:metadata")
    elif config.getoption("htmlpath", "") is None and not config.option.collectonly:
        from pytest_microcloud.session.html import KeptPage

        page = options.path(config, "reports") / "feasibility.html"
        config.option.htmlpath = str(page)
        config.option.self_contained_html = True
        config.pluginmanager.register(KeptPage(config, page, write_errors), "microcloud-kept-page")
