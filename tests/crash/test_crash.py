"""The real server is killed between named commits and port calls, and nothing is lost.

``POOLWRIGHT_TEST_CRASHES`` is how many kills there are, ``POOLWRIGHT_TEST_SEED`` chooses where;
``POOLWRIGHT_TEST_CRASH_RESULT`` is the file that a run without a failure is written to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime

import outcome
import pytest
from lives import Lives, Plan
from points import AREAS
from telling import tell

from postgresql_server import postgresql_server, require_binaries

pytestmark = pytest.mark.slow

CRASHES = int(os.environ.get("POOLWRIGHT_TEST_CRASHES", "20"))
SEED = int(os.environ.get("POOLWRIGHT_TEST_SEED", "1"))
AT_POINTS = max(len(AREAS), CRASHES * 4 // 5)
PER_STEP = 1 if CRASHES < 50 else 4


@pytest.fixture(scope="module")
def stories(request: pytest.FixtureRequest) -> Iterator[dict[str, Lives]]:
    """The lives of each story that lost nothing; kept if that is all of them."""
    began = datetime.now(UTC)
    found: dict[str, Lives] = {}
    yield found
    if {"named points", "any time"} <= set(found) and not request.session.testsfailed:
        outcome.keep(found, crashes=CRASHES, seed=SEED, began=began)


def test_nothing_is_lost_when_killed_at_named_points(tmp_path, stories):
    lives = tell(tmp_path, f"{SEED} points", Plan(AT_POINTS, per_step=PER_STEP))
    assert lives.kills.total() >= AT_POINTS
    assert set(lives.areas) == set(AREAS), "an area without a kill"
    assert not lives.never_reached()
    stories["named points"] = lives


def test_nothing_is_lost_when_killed_at_any_time(tmp_path, stories):
    crashes = max(4, CRASHES - AT_POINTS)
    lives = tell(tmp_path, f"{SEED} any time", Plan(crashes, at_any_time=True))
    assert lives.kills.total() >= crashes
    stories["any time"] = lives


@pytest.mark.postgres
def test_nothing_is_lost_on_postgresql(tmp_path, stories):
    require_binaries()
    areas = ("create a cluster", "deploy a template", "scale up")
    # A dead server's leases run out after 15 s; what waits for them must not be late by that.
    plan = Plan(len(areas), areas, until=areas[-1], speed=60)
    with postgresql_server() as url:
        lives = tell(tmp_path, f"{SEED} postgresql", plan, store=url)
    assert set(lives.areas) == set(areas)
    stories["postgresql"] = lives
