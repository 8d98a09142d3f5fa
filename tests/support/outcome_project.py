"""Tests of boards that are out of reach or fake, and the outcomes of their sessions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

RunAgainst = Callable[..., pytest.RunResult]
RunFake = Callable[..., pytest.RunResult]
TESTS = """\
    def test_first(board): ...
    def test_second(host): ...
    def test_of_no_board(): ...
    """
MEASURED = """\
    import pytest
    from itertools import count
    from pytest_microcloud import BoardError, InvalidMeasurement
    from pytest_microcloud.measurement import Measurement

    turns = count(1)

    def took():
        return [Measurement("startup.ready_time", [float(next(turns))])]
    """
BOOT = "def test_boot(measure):\n    measure.repeat(3, took)\n"
HOT = ["it was 81 °C hot"]


def run_of(pytester: pytest.Pytester) -> dict[str, Any]:
    (file,) = (pytester.path / "reports" / "runs").glob("*.json")
    document: dict[str, Any] = json.loads(file.read_text())
    return document


def samples_and_verdicts(measurements: list[dict[str, Any]]) -> list[tuple[list[float], str]]:
    return [(m["samples"], m["verdict"]) for m in measurements]


ENDS = """\
    import pytest
    from pytest_microcloud import BoardError, InvalidMeasurement
    from pytest_microcloud.measurement import Measurement

    def took(seconds):
        return [Measurement("io.memory_time", [seconds], {"size": "4KiB"})]

    def saturated():
        raise InvalidMeasurement("the load generator was saturated")

    @pytest.mark.experiment("crash")
    def test_crash(board):
        {}["key"]

    @pytest.mark.experiment("assertion")
    def test_assertion(board):
        assert board.name == "shelf", "wrong board\\nin this room"

    @pytest.mark.experiment("fail")
    def test_fail(board):
        pytest.fail("smoke")

    @pytest.mark.experiment("wire")
    def test_wire(board):
        raise BoardError(board.name, "the wire was cut")

    @pytest.mark.experiment("doubt")
    def test_doubt(measure):
        measure(saturated)

    @pytest.mark.experiment("missed")
    def test_missed(measure, limit):
        limit(measure(took, 1e9))

    @pytest.mark.experiment("unjudged")
    def test_unjudged(measure):
        measure(took, 1.0)

    @pytest.mark.experiment("twice")
    def test_twice(measure):
        measure(took, 1.0)
        measure(took, 2.0)

    @pytest.fixture
    def broken():
        yield
        raise RuntimeError("no way back")

    @pytest.mark.experiment("teardown")
    def test_teardown(broken, board): ...

    def test_of_no_board():
        raise RuntimeError("not ours")
    """
