"""Finds the sites of workers and boards: a board is measured by a worker at the board's site.

A worker's site is given by `//site=` in its `--tx` spec, or else is the host that `ssh=` names. A worker on
this machine has no site unless its spec gives one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_microcloud.errors import UserMistake
from pytest_microcloud.suggest import did_you_mean, listed

if TYPE_CHECKING:
    import pytest
    from execnet import XSpec

    from pytest_microcloud.inventory.target import Target

NO_SITE = ""
"""Means "no site": for workers on this machine, boards without a site, and tests without a board."""
LOCAL = "popen"
"""The `--tx` spec of a worker on this machine."""


@dataclass(frozen=True)
class Sites:
    """`boards` is a dict from board to site; it is empty if any worker may drive any board."""

    boards: Mapping[str, str] = field(default_factory=dict)

    def of_unit(self, unit: str) -> str:
        """Return the site at which a unit of tests runs: the site of its board, or NO_SITE."""
        return self.boards.get(unit, NO_SITE)

    def of_worker(self, spec: XSpec) -> str:
        """Return the site of the worker that a `--tx` spec describes; NO_SITE if sites do not matter."""
        return site_of(spec) if self.boards else NO_SITE


def divide(config: pytest.Config, targets: Iterable[Target]) -> Sites:
    """Return the sites of a session, and add a worker on this machine to --tx if there is none.

    That worker runs tests without a board, tests that read results, and tests of boards without a site. If no
    worker has a site, any worker may drive any board. Raises UserMistake for a site that lacks a worker
    or a board.
    """
    specs = expanded(config)
    workers = {site_of(spec): str(spec) for spec in reversed(specs)}
    if not any(workers):
        return Sites()
    boards = {target.name: target.site or NO_SITE for target in targets}
    there = sorted(filter(None, {*boards.values()}))
    for site, spec in workers.items():
        if site and site not in there:
            raise UserMistake(
                f"--tx {spec}: this worker's site is {site}, but none of the chosen boards has "
                f"microcloud_site={site}{did_you_mean([site], there)} (sites of these boards: "
                f"{listed(there) or 'none'}). To set the worker's site, add //site=NAME to the spec"
            )
    for board, site in boards.items():
        if site not in workers and site:
            raise UserMistake(
                f"{board} is at the site {site}, which has no worker: add --tx ssh=GATEWAY//site={site}, or "
                "run without --tx to reach all boards from this machine"
            )
    if NO_SITE not in workers:
        config.option.tx.append(LOCAL)
    return Sites(boards)


def expanded(config: pytest.Config) -> list[XSpec]:
    """Return the `--tx` specs of all workers; a spec such as `3*popen` is returned three times.

    Raises UserMistake if a spec is wrong.
    """
    from execnet import XSpec
    from xdist.workermanage import parse_tx_spec_config

    specs = []
    for text in parse_tx_spec_config(config):
        try:
            specs.append(XSpec(text))
            if specs[-1].via:
                raise ValueError("a worker behind a proxy would have this machine's sys.path: use ssh=")
        except (AttributeError, ValueError, IndexError) as error:
            raise UserMistake(f"--tx {text}: {error}") from None
    return specs


def is_here(spec: XSpec) -> bool:
    """Return whether the worker of a spec runs on this machine."""
    return bool(spec.popen)


def site_of(spec: XSpec) -> str:
    """Return the site of the worker of a spec: its `site`, or else the host that it names."""
    if isinstance(spec.site, str):
        return spec.site
    if is_here(spec):
        return NO_SITE
    address = spec.ssh or spec.vagrant_ssh or spec.socket
    host = str(address).split()[-1].rpartition("@")[2] if isinstance(address, str) and address.strip() else ""
    return host or str(spec)
