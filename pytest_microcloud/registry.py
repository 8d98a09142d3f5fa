"""Drivers, experiments and meters by name. The same hook registers shipped and user-defined ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_microcloud.boards.board import Board
from pytest_microcloud.boards.drivers.registration import Registration
from pytest_microcloud.errors import UserMistake
from pytest_microcloud.inventory.target import DriverRules

if TYPE_CHECKING:
    from pytest_microcloud.boards.drivers.protocol import DriverFactory
    from pytest_microcloud.experiments.record import Experiment

T = TypeVar("T")


class Registry:
    """The drivers, experiments and meters of a session, added by `pytest_microcloud_register(registry)`.

    Every method raises UserMistake if the name is already taken.
    """

    def __init__(self) -> None:
        self._drivers: dict[str, Registration] = {}
        self._experiments: dict[str, Experiment] = {}
        self._meters: dict[str, Callable[..., Any]] = {}

    @property
    def drivers(self) -> Mapping[str, Registration]:
        """A dict from name to registered driver."""
        return MappingProxyType(self._drivers)

    @property
    def driver_rules(self) -> Mapping[str, DriverRules]:
        """A dict from each registered driver's name to the rules for its hosts in the inventory."""
        return {name: driver.rules for name, driver in self._drivers.items()}

    @property
    def experiments(self) -> Mapping[str, Experiment]:
        """A dict from name to registered experiment."""
        return MappingProxyType(self._experiments)

    @property
    def tools(self) -> Mapping[str, str]:
        """A dict from each program that a registered experiment runs on a board to its Debian package."""
        return {
            program: package
            for experiment in self._experiments.values()
            for program, package in experiment.tools.items()
        }

    @property
    def meters(self) -> Mapping[str, Callable[..., Any]]:
        """A dict from the name of each registered meter to the function that creates the meter."""
        return MappingProxyType(self._meters)

    def driver(
        self,
        name: str,
        make: DriverFactory,
        *,
        variables: Iterable[str] = (),
        addressed: bool = True,
        board: type[Board] = Board,
    ) -> None:
        """Register a driver under the name that selects it in `microcloud_driver`.

        `make` takes a DriverContext and returns a Driver. `variables` are inventory variables that are
        accepted only for hosts of drivers that list them. If `addressed` is false, the hosts must not have
        `ansible_host`. `board` is the class of the driver's boards. A driver whose boards are not
        reached over SSH, such as fake boards in the tests of a suite, passes a subclass of `Board`.
        """
        rules = DriverRules(frozenset(variables), addressed)
        _add(self._drivers, "driver", name, Registration(make, board, rules))

    def experiment(self, experiment: Experiment) -> None:
        """Register an experiment by its `name`."""
        _add(self._experiments, "experiment", experiment.name, experiment)

    def meter(self, name: str, make: Callable[..., Any]) -> None:
        """Register a function that creates a power meter, under the name of the meter."""
        _add(self._meters, "meter", name, make)


def _add(known: dict[str, T], kind: str, name: str, entry: T) -> None:
    if name in known:
        raise UserMistake(
            f"pytest_microcloud_register: a {kind} named {name!r} is already registered: {known[name]!r}. "
            f"Use another name for {entry!r}"
        )
    known[name] = entry
