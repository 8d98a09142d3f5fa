"""pytest's hooks: options, markers, wiring. The work is elsewhere."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud import fixtures, options
from pytest_microcloud.errors import (
    InventoryError,
    MicrocloudError,
    UserMistake,
)
from pytest_microcloud.fixtures import (  # noqa: F401 - pytest finds fixtures in the plugin module
    board,
    deploy,
    effort,
    judge_claim,
    limit,
    measure,
    results,
    serve,
)
from pytest_microcloud.session.state import SESSION, Against, Session

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_microcloud.catalog import Catalog
    from pytest_microcloud.controller.workspace import Workspace
    from pytest_microcloud.inventory.target import Target
    from pytest_microcloud.registry import Registry
    from pytest_microcloud.runs.plan import Plan
    from pytest_microcloud.runs.unfinished import Unfinished

WHY_ASIDE: pytest.StashKey[str] = pytest.StashKey()


class Aside(Exception):
    """--hosts is testinfra's own business; the text is why, for a test that needs a board all the same."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, each with an ini twin."""
    options.add(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Offer our own hooks."""
    from pytest_microcloud import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_microcloud_register(registry: Registry) -> None:
    """Register what this package ships."""
    from pytest_microcloud import shipped

    shipped.register(registry)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Resolve --hosts against the inventory and hand testinfra the names; nothing is connected yet."""
    config.addinivalue_line(
        "markers",
        "experiment(name, tolerates=()): the experiment that a test belongs to, "
        "and what of health.toml it brings about itself",
    )
    config.addinivalue_line(
        "markers",
        "sweep(*axes): run the test at every point of these axes of its experiment, for the chosen effort",
    )
    try:
        options.strict_claims(config)
        if config.getoption("hosts", None) is None:
            return
        _leave_what_is_testinfras(config)
        _refuse_what_the_inventory_sets(config)
        _open_session(config)
    except Aside as aside:
        config.stash[WHY_ASIDE] = str(aside)
        config.pluginmanager.register(SessionAside(), "microcloud-aside")
    except MicrocloudError as error:
        raise pytest.UsageError(_without_keys(config, error)) from None


def _without_keys(config: pytest.Config, error: MicrocloudError) -> str:
    """Return what a mistake comes to: Ansible quotes a line of an inventory that it cannot read."""
    from pytest_microcloud.redaction import without_keys, written_in

    file = options.path(config, "inventory")
    return without_keys(str(error), written_in(file.read_text(errors="replace")) if file.is_file() else ())


def _leave_what_is_testinfras(config: pytest.Config) -> None:
    hosts, file = config.option.hosts, options.path(config, "inventory")
    if not file.is_file() and config.option.microcloud_inventory is None:
        raise Aside(f"there is no {file}: write one, or name yours with --microcloud-inventory")
    if "://" in hosts or any(config.getoption(own, None) for own in ("connection", "ansible_inventory")):
        raise Aside(
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
        raise Aside(str(error)) from None


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


def _open_session(config: pytest.Config) -> None:
    from pytest_microcloud import runs
    from pytest_microcloud.boards.rack import Rack
    from pytest_microcloud.catalog import load
    from pytest_microcloud.controller.workspace import Workspace, new_run_id
    from pytest_microcloud.redaction import Redactor
    from pytest_microcloud.runs import unfinished
    from pytest_microcloud.runs.plan import Plan
    from pytest_microcloud.session.progress import Shown
    from pytest_microcloud.session.registered import registered

    registry = registered(config)
    catalog = load(config.getini("microcloud_catalog"), registry.experiments)
    targets = _targets(config, catalog, registry)
    _refuse_what_measures_nothing(config)
    chosen = catalog.effort(config.option.microcloud_effort or config.getini("microcloud_effort"))
    retries, boots = options.retries(config), options.boots(config)
    workspace = Workspace(new_run_id())
    points = {word for experiment in registry.experiments.values() for word in experiment.words}
    redactor = Redactor.of(
        [os.environ, *(target.variables for target in targets)],
        boards={name for target in targets for name in (target.name, target.model, *target.groups)},
        addresses={target.address for target in targets},
        words={*catalog.words, *points, *registry.drivers, *runs.WORST_FIRST},
        identify=options.flag(config, "identify"),
    )

    progress = Shown(redactor.without_secrets)
    keep, wait_s = options.flag(config, "keep"), options.wait_s(config)
    drivers, tools = registry.drivers, registry.tools
    rack = Rack(targets, catalog, drivers, workspace, progress, keep=keep, wait_s=wait_s, tools=tools)
    directory = options.path(config, "reports") / "runs"
    if not options.nothing_runs(config):
        runs.make_room(directory)
    hosts = tuple(target.name for target in targets)
    plan = Plan(hosts, chosen.id, boots, baseline=options.baseline(config), session=workspace.run_id)
    before = unfinished.find(directory, plan) if options.flag(config, "resume") else None
    if before is not None and not options.nothing_runs(config):
        _take_over(before, workspace)
    run_file = before.file if before else directory / f"{workspace.run_id}.json"
    if boots > 1:
        chosen = dataclasses.replace(chosen, boots=1)  # the start-up experiment reboots once a boot, too
    config.stash[SESSION] = session = Session(
        registry, catalog, rack, chosen, run_file, redactor, progress, retries, boots
    )
    session.resumed = before
    session.gate = _against(config, run_file, {target.model for target in targets})
    _register_hooks(config, plan)
    _set_options(config, targets, workspace.ssh_config)


def _take_over(before: Unfinished, workspace: Workspace) -> None:
    """Go on with a run, and with nobody else: whoever looks at it sees by our lock that we do."""
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


def _register_hooks(config: pytest.Config, plan: Plan) -> None:
    from pytest_microcloud.session.boots import Boots
    from pytest_microcloud.session.commands import Commands
    from pytest_microcloud.session.confirmation import Gate
    from pytest_microcloud.session.html import Page
    from pytest_microcloud.session.incident_log import Aftermath
    from pytest_microcloud.session.lifecycle import SessionWithBoards
    from pytest_microcloud.session.outcome import Outcomes
    from pytest_microcloud.session.record import Record
    from pytest_microcloud.session.resume import Resume
    from pytest_microcloud.session.write_errors import Unwritten

    session, unwritten = config.stash[SESSION], Unwritten()
    aftermath, record = Aftermath(config, unwritten), Record(config, unwritten, plan)
    config.pluginmanager.register(unwritten, "microcloud-unwritten")
    config.pluginmanager.register(Outcomes(config, unwritten), "microcloud-outcomes")
    config.pluginmanager.register(aftermath, "microcloud-aftermath")
    config.pluginmanager.register(Page(config), "microcloud-page")
    config.pluginmanager.register(record, "microcloud-record")
    config.pluginmanager.register(Boots(config, aftermath), "microcloud-boots")
    if session.gate is not None and not options.nothing_runs(config):
        config.pluginmanager.register(Gate(config, session.gate, record, unwritten), "microcloud-gate")
    if session.resumed is not None:  # after the gate: it has its say on the exit status before
        config.pluginmanager.register(Resume(config, session.resumed), "microcloud-resume")
    config.pluginmanager.register(session.progress, "microcloud-progress")
    config.pluginmanager.register(SessionWithBoards(config), "microcloud-session")
    config.pluginmanager.register(Commands(options.command_timeout_s(config)), "microcloud-commands")


def _set_options(config: pytest.Config, targets: list[Target], ssh_config: Path) -> None:
    """Tell testinfra, pytest-benchmark and pytest-html what they are to do for us."""
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
        config.pluginmanager.register(KeptPage(config, page), "microcloud-kept-page")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which boards were chosen."""
    session = config.stash.get(SESSION, None)
    if session is None:
        return []
    from pytest_microcloud.session import terminal

    rack, chosen = session.rack, session.effort
    lines = terminal.header(rack.targets.values(), rack.workspace.run_id, chosen.id, chosen.about)
    if session.gate is not None and (few := session.gate.rules.too_few(session.boots)):
        lines.append(f"gate: {few}")
    return lines


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of ours at every point of the axes that its `sweep` marks name."""
    if not fixtures.uses(metafunc.definition, fixtures.OURS):
        return  # somebody else's mark of that name
    from pytest_microcloud.session import sweep

    sweep.parametrize(metafunc)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse tests of boards when no boards were chosen."""
    if config.stash.get(SESSION, None) is not None or config.option.collectonly:
        return
    for item in items:
        if fixtures.uses(item, fixtures.OURS):
            raise pytest.UsageError(_no_boards(config, item))


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """Tell a claim that no run has figures for from a test that was skipped."""
    if report.skipped and fixtures.UNMEASURED in getattr(report, "user_properties", ()):
        return "unmeasured", "u", "UNMEASURED"
    return None


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Say what came of the claims that were judged, and which of them do not hold."""
    if claims := config.stash.get(fixtures.CLAIMS, None):
        from pytest_microcloud.session import terminal

        terminal.claims(terminalreporter, claims)


def _no_boards(config: pytest.Config, item: pytest.Item) -> str:
    if config.getoption("hosts", None) is None:
        return f"{item.nodeid} needs a board: choose with --hosts, e.g. --hosts=pi3b or --hosts=all"
    return f"{item.nodeid} needs a board of an inventory; {config.stash[WHY_ASIDE]}"


class SessionAside:
    """The hook of a session whose --hosts are testinfra's."""

    @pytest.hookimpl(wrapper=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> Generator[None, None, None]:
        """Let no complaint of testinfra about the hosts come before ours about boards."""
        try:
            yield
        except RuntimeError:
            if not fixtures.uses(metafunc.definition, fixtures.OURS):
                raise
