"""Real clients watch and write while the server restarts and is killed.

``make churn`` is longer; ``make churn-bugs`` shows that the judge sees what is planted in the
server. In CI a missing client is a failure.
"""

from __future__ import annotations

import live_tools
import pytest

from absent import missing
from churn.arena import ClientMissing, go_client, python_client
from churn.run import Churn, Plan

pytestmark = pytest.mark.slow

SHORT = Plan(6, 2, rate=30, between=(2, 3))


@pytest.fixture(scope="module", autouse=True)
def clients():
    live_tools.await_build("kube-apiserver")  # it compiles what the Go program needs too
    try:
        python_client()
        go_client()
    except ClientMissing as absence:
        missing(str(absence))


def test_no_event_is_missed_or_doubled_and_no_write_lost(tmp_path):
    verdict = Churn(tmp_path, SHORT).run()
    assert not verdict.faults, str(verdict)
    counts = verdict.counts
    assert (counts["server: restart"], counts["server: kill"]) == (1, 2)
    assert counts["watches"] == 20
    assert counts["events"] > 10 * counts["watches"]
    assert counts["writes ok"] > 50
