"""The paper's claims (section 4), over the newest valid runs of all boards; no board is needed."""

import pytest

from pytest_microcloud.verdict import claims


@pytest.mark.parametrize("claim", claims.names())
def test_claim(claim, results, judge_claim):
    judge_claim(claims.check(claim, results))
