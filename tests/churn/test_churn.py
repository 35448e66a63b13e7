"""Real clients watch and write while the server restarts and is killed; ``make churn`` is longer.

In CI a client that is missing is a failure.
"""

from __future__ import annotations

import os

import live_tools
import pytest

from churn.arena import ClientMissing, go_client, python_client
from churn.run import Churn, Plan

pytestmark = pytest.mark.slow

SHORT = Plan(6, 2, rate=30, between=(2, 3))


@pytest.fixture(scope="module", autouse=True)
def clients():
    live_tools.await_build()  # it compiles what the Go program needs too
    try:
        python_client()
        go_client()
    except ClientMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"{missing} is missing, and CI must have it")
        pytest.skip(f"{missing} is not installed here")


def test_no_event_is_missed_or_doubled_and_no_write_lost(tmp_path):
    verdict = Churn(tmp_path, SHORT).run()
    assert not verdict.faults, str(verdict)
    counts = verdict.counts
    assert (counts["server: restart"], counts["server: kill"]) == (1, 2)
    assert counts["watches"] == 20
    assert counts["events"] > 10 * counts["watches"]
    assert counts["writes ok"] > 50


def test_a_bug_in_the_server_is_caught(tmp_path):
    """One that only a kill shows; ``python -m churn.run --bug`` plants the others."""
    verdict = Churn(tmp_path, Plan(2, 1, rate=30, restarts=0, bug="lose commits")).run()
    assert verdict.faults["lost"] or verdict.faults["back"]
