"""With --microcloud-any=N, a session chooses N free boards from the boards that --hosts selects."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import TYPE_CHECKING

from pytest_microcloud import options
from pytest_microcloud.errors import UserMistake
from pytest_microcloud.session.chosen import PASSED_OVER
from pytest_microcloud.session.sites import expanded, is_here

if TYPE_CHECKING:
    import pytest

    from pytest_microcloud.boards.rack import Rack


def narrow(config: pytest.Config, rack: Rack, resumed: Collection[str] = ()) -> None:
    """Choose and lock as many free boards as --microcloud-any asks for, and drop the others from `rack`.

    `resumed` are the boards of the run to resume, if any; then only these are chosen from. If no test will be
    run, the first boards are chosen, and no board is locked. Raises UserMistake if too few boards are free,
    or if a lock cannot be written.
    """
    count = options.any_boards(config)
    if not count:
        return
    if resumed:
        rack.narrow(resumed)
    named = list(rack.targets)
    which = f"--microcloud-any={count}"
    if config.getoption("tx", None) and not all(map(is_here, expanded(config))):
        raise UserMistake(
            f"{which}: this machine locks the boards, so no worker may be on another machine: name the "
            "boards with --hosts, or run without --tx"
        )
    if options.nothing_runs(config):
        rack.narrow(list(rack.targets)[:count])
        config.stash[PASSED_OVER] = [f"{which}: the plan is for the first of {', '.join(named)}"]
        return
    try:
        reasons = rack.reserve(count, _say)
    except OSError as error:
        raise UserMistake(f"{which}: {error.filename}: {error.strerror}") from error
    if not rack.targets:
        free = len(named) - len(reasons)
        raise UserMistake(
            f"{which}: {free or 'none'} of {len(named)} boards {'is' if free < 2 else 'are'} free. "
            f"{'; '.join(_sentences(reasons))}. To wait for boards, use --microcloud-wait=SECONDS"
        )
    config.stash[PASSED_OVER] = [f"not used: {sentence}" for sentence in _sentences(reasons)]


def _sentences(reasons: dict[str, str]) -> list[str]:
    return [f"{name}: {reason}" for name, reason in reasons.items()]


def _say(text: str) -> None:
    """Print to stderr why the session waits for boards: pytest's terminal reporter does not exist yet."""
    sys.stderr.write(f"microcloud: {text}\n")
    sys.stderr.flush()
