"""Checks the paper's claims (section 4) with the newest valid figures of stored runs. Needs no board."""

import pytest

from pytest_microcloud.verdict import claims


@pytest.mark.parametrize("claim", claims.names())
def test_claim(claim, results, judge_claim):
    judge_claim(claims.check(claim, results))
