"""The run file: written after every test, so that an interrupted session keeps what it measured."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microcloud.fixtures import ENTRY, SESSION

if TYPE_CHECKING:
    from pytest_microcloud.hooks.unwritten import Unwritten


class Record:
    """The hook that writes it."""

    def __init__(self, config: pytest.Config, unwritten: Unwritten) -> None:
        self._config = config
        self._session = config.stash[SESSION]
        self._unwritten = unwritten
        self._machine: tuple[dict[str, Any], dict[str, Any]] | None = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Write it after a test of a board."""
        result = yield
        if ENTRY in item.stash:
            self._write()
        return result

    def _write(self) -> None:
        from pytest_microcloud import runs
        from pytest_microcloud.report.privacy import in_all

        benchmarks = self._config._benchmarksession.benchmarks  # type: ignore[attr-defined]
        stored = {benchmark.fullname for benchmark in benchmarks if not benchmark.has_error}
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
                "not_watched": list(b.unwatched),
                "others_containers": list(b.others),
                **b.facts.as_dict(),
            }
            for name, b in session.boards.items()
        }
        outcomes = [entry.as_dict(measured=entry.test not in stored) for entry in session.entries]
        ours = {"effort": session.effort.id, "boards": boards, "outcomes": outcomes}
        document = hook.pytest_benchmark_generate_json(
            config=self._config,
            benchmarks=benchmarks,
            include_data=True,
            machine_info=machine_info | {"microcloud": ours},
            commit_info=commit_info,
        )
        with self._unwritten.noted(f"run file {session.run_file}"):
            runs.write(session.run_file, in_all(document, session.privacy.anywhere))
