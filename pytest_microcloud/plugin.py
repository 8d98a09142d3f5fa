"""pytest's entry point: options, markers, registration. The work is done in `session/`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from pytest_microcloud import fixtures, options
from pytest_microcloud.errors import MicrocloudError
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
from pytest_microcloud.session import without_boards
from pytest_microcloud.session.claims import Claims
from pytest_microcloud.session.state import SESSION, WITHOUT_BOARDS, WithoutBoards

if TYPE_CHECKING:
    from pytest_microcloud.registry import Registry


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, each with an ini twin."""
    options.add(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the hooks that other plugins can implement."""
    from pytest_microcloud import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_microcloud_register(registry: Registry) -> None:
    """Register the drivers and experiments that this package ships."""
    from pytest_microcloud import shipped

    shipped.register(registry)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Find the boards that --hosts selects, and pass their names to testinfra; connect to no board yet."""
    config.addinivalue_line(
        "markers",
        "experiment(name, tolerates=()): the experiment that a test belongs to, "
        "and the symptoms (names in health.toml) that the test itself causes",
    )
    config.addinivalue_line(
        "markers",
        "sweep(*axes): run the test at every point of these axes of its experiment, for the chosen effort",
    )
    config.pluginmanager.register(Claims(), "microcloud-claims")
    with _usage_errors(config):
        options.strict_claims(config)
        if config.getoption("hosts", None) is None:
            return
        from pytest_microcloud.session import opening

        try:
            opening.open_session(config)
        except WithoutBoards as why:
            config.stash[WITHOUT_BOARDS] = str(why)
            config.pluginmanager.register(without_boards.OurMessageFirst(), "microcloud-our-message-first")


@contextmanager
def _usage_errors(config: pytest.Config) -> Iterator[None]:
    """Convert a MicrocloudError of the block into a UsageError with redacted text."""
    try:
        yield
    except MicrocloudError as error:
        from pytest_microcloud.session import chosen

        raise pytest.UsageError(chosen.redacted(config, error)) from None


@pytest.hookimpl(tryfirst=True, optionalhook=True)  # pytest-xdist's own hook counts CPUs
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Return the number of workers that -n auto starts: one per board."""
    if config.getoption("hosts", None) is None:
        return None
    from pytest_microcloud.session import chosen

    with _usage_errors(config), suppress(WithoutBoards):
        there = len(chosen.chosen(config).targets)
        return options.any_boards(config) or there
    return None


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Return header lines: the chosen boards, and a warning if the gate has too few boots."""
    session = config.stash.get(SESSION, None)
    if session is None:
        return []
    from pytest_microcloud.session import terminal
    from pytest_microcloud.session.chosen import not_used

    rack, chosen = session.rack, session.effort
    lines = terminal.header(rack.targets.values(), rack.workspace.run_id, chosen.id, chosen.about)
    lines += not_used(config)
    if session.gate is not None and (few := session.gate.rules.too_few(session.boots)):
        lines.append(f"gate: {few}")
    return lines


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses our fixtures at every point of the axes that its `sweep` marks name."""
    if not fixtures.uses(metafunc.definition, fixtures.OURS):
        return  # a `sweep` mark on such a test may belong to another plugin
    from pytest_microcloud.session import items, sweep

    items.check_mark(metafunc.definition)
    sweep.parametrize(metafunc)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse tests that need a board if no boards were chosen."""
    if config.stash.get(SESSION, None) is None and not config.option.collectonly:
        without_boards.refuse(config, items)
