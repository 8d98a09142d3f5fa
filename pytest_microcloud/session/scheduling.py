"""Which worker runs which tests: all tests of a board run on one worker, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

    from pytest_microcloud.session.sites import Sites

WITHOUT_BOARD = ""
LAST = "after all boards"
"""The name of the unit (group of tests on one worker) of tests that read the results of all others."""


class BoardScheduling(LoadScopeScheduling):  # type: ignore[misc] # pytest-xdist has no types
    """Distributes boards to the workers at their sites, in the order of the tests.

    A worker starts a test only when it knows the next test, or knows that no test follows. So a worker with
    one test left gets the next board, or is shut down. The tests that read results are held back until all
    other tests are complete. Only the first of these tests is sent to a worker earlier, so that the worker
    can start its last other test. Then this worker waits.
    """

    def __init__(
        self, config: pytest.Config, log: Producer, unit_of: Callable[[str], str], sites: Sites
    ) -> None:
        super().__init__(config, log)
        self.collection: list[str] | None
        self._unit_of = unit_of
        self._sites = sites
        self._held: dict[str, bool] = {}
        self._waiting: WorkerController | None = None

    def _split_scope(self, nodeid: str) -> str:
        return self._unit_of(nodeid)

    def schedule(self) -> None:
        """Give each worker a board, and shut down workers for which no board is left."""
        if self.collection is not None:  # a new worker replaces a crashed one
            for node in self.nodes:
                self._reschedule(node)
            return
        if not self._check_nodes_have_same_collection():
            return
        tests: list[str] = next(iter(self.registered_collections.values()))
        self.collection = list(tests)
        units: dict[str, dict[str, bool]] = {}
        for nodeid in tests:
            units.setdefault(self._unit_of(nodeid), {})[nodeid] = False
        self._held = units.pop(LAST, {})
        without_board = units.pop(WITHOUT_BOARD, None)
        self.workqueue.update(units)
        if without_board is not None:
            self.workqueue[WITHOUT_BOARD] = without_board
        for _ in range(2):  # a worker starts the test of a one-test unit only when it knows its next test
            for node in self.nodes:
                self._reschedule(node)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """Mark a test as complete, and send the tests held back if all other tests are complete."""
        super().mark_test_complete(node, item_index, duration)
        self._release_held()

    def remove_node(self, node: WorkerController) -> str | None:
        """Remove a worker that has ended, and leave its remaining tests to other workers.

        Returns the test in which the worker crashed, which is not run again.
        """
        waited = node is self._waiting
        if waited:
            self._waiting = None
        work = self.assigned_work.pop(node)
        if self.collection is None:  # the other workers still collect the tests
            return None
        held = work.pop(LAST, {})
        pending = [(unit, test) for unit, tests in work.items() for test, done in tests.items() if not done]
        if not pending and not waited:  # the worker was running the held tests
            pending = [(LAST, test) for test, done in held.items() if not done]
        crashed = None
        if pending:
            unit, crashed = pending[0]
            (held if unit == LAST else work[unit])[crashed] = True
        for unit, tests in work.items():
            if not all(tests.values()):
                self.workqueue[unit] = tests
        self._held = {test: done for test, done in held.items() if not done} | self._held
        for other in self.nodes:
            self._reschedule(other)
        self._release_held()
        return crashed

    def give_up(self, site: str) -> list[str]:
        """Remove and return the remaining tests of a site, if the site has no worker any more."""
        usable = [node for node in self.nodes if not node.shutting_down]
        if any(self._sites.of_worker(node.gateway.spec) == site for node in usable):
            return []
        units = [unit for unit in self.workqueue if self._sites.of_unit(unit) == site]
        tests = [test for unit in units for test, done in self.workqueue.pop(unit).items() if not done]
        if self._sites.of_unit(LAST) == site:
            tests += self._held
            self._held = {}
        self._release_held()
        return tests

    @property
    def tests_finished(self) -> bool:
        """Whether all tests have been sent to workers, and none is held back."""
        return super().tests_finished and not self._held and self._waiting is None

    @property
    def has_pending(self) -> bool:
        """Whether there are tests that are not complete."""
        return super().has_pending or bool(self._held)

    def _reschedule(self, node: WorkerController) -> None:
        if node.shutting_down or node not in self.registered_collections:
            return
        if self._pending_of(self.assigned_work[node]) > 1:
            return
        site = self._sites.of_worker(node.gateway.spec)
        unit = next((unit for unit in self.workqueue if self._sites.of_unit(unit) == site), None)
        if unit is not None:
            self.workqueue.move_to_end(unit, last=False)
            self._assign_work_unit(node)
        elif self._held and self._waiting is None and self._sites.of_unit(LAST) == site:
            self._waiting = node
            self._send_held(node, 1)
            self._release_held()
        elif node is not self._waiting:
            node.shutdown()

    def _release_held(self) -> None:
        """Send the tests that were held back, once all other tests are complete."""
        node = self._waiting
        if node is None or node.shutting_down or self.workqueue or not self._others_are_complete():
            return
        self._waiting = None
        self._send_held(node, len(self._held))
        node.shutdown()

    def _send_held(self, node: WorkerController, count: int) -> None:
        tests = list(self._held)[:count]
        self.assigned_work[node].setdefault(LAST, {}).update(dict.fromkeys(tests, False))
        for test in tests:
            del self._held[test]
        if tests:
            node.send_runtest_some(self._indices(node, tests))

    def _others_are_complete(self) -> bool:
        return all(
            done
            for work in self.assigned_work.values()
            for unit, tests in work.items()
            if unit != LAST
            for done in tests.values()
        )

    def _indices(self, node: WorkerController, tests: Sequence[str]) -> list[int]:
        collection = self.registered_collections[node]
        return [collection.index(test) for test in tests]
