"""Two and three real servers on one PostgreSQL and one real Kubernetes, killed, paused and cut off
under load: nothing is lost or doubled.

``POOLWRIGHT_TEST_KILLS`` says how often something befalls a server, ``POOLWRIGHT_TEST_SEED`` by
which chance, ``POOLWRIGHT_TEST_KILL_RESULT`` in which file to keep what came of it.
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from replicas import outcome
from replicas.books import check_all
from replicas.load import Load, User
from replicas.team import FATES, Team, kill, pause
from server_process import ServerDied

pytestmark = [pytest.mark.live, pytest.mark.postgres]

FATE_COUNT = int(os.environ.get("POOLWRIGHT_TEST_KILLS", "2"))
SEED = int(os.environ.get("POOLWRIGHT_TEST_SEED", "1"))
POOLS = ("one", "two", "three")


def play(shared_cluster, database, root, *, size, fates, seed, bug=""):
    """Load on some servers, one fate after another, and what is there then."""
    rng = random.Random(seed)
    team = Team(root, database, shared_cluster.kubeconfig, size, bug=bug)
    users: list[User] = []
    try:
        users += (User(team, name, seed) for name in POOLS)
        load = Load(users)
        try:
            for fate in fates:
                replica = rng.choice(team.replicas)
                print(f"{fate.__name__} {team.replicas.index(replica)}")
                load.wait(rng.uniform(0.5, 2.0))
                fate(replica, load.wait)
        finally:
            load.stop()
        check_all(users, database, shared_cluster.kubeconfig)
        ended = sum(len(user.ended) for user in users)
        troubles = sum((Counter(user.troubles) for user in users), Counter())
        print(f"{ended} operations; {dict(troubles)}")
        assert ended >= len(POOLS)
        for user in users:
            if user.count:
                user.change("DELETE")
                user.count = 0
        check_all(users, database, shared_cluster.kubeconfig)
        for replica in team.replicas:
            assert "Traceback" not in replica.server.log(), replica.server.log()[-4000:]
        return ended, troubles
    finally:
        for user in users:
            user.close()
        team.end()


def test_whatever_befalls_servers_nothing_is_lost_or_doubled(shared_cluster, database, tmp_path):
    fates = [FATES[(SEED + number) % len(FATES)] for number in range(FATE_COUNT - 1)]
    fates.insert(0, pause)
    began = datetime.now(UTC)
    operations, troubles = play(shared_cluster, database, tmp_path, size=3, fates=fates, seed=SEED)
    outcome.keep(
        [fate.__name__ for fate in fates],
        size=3,
        seed=SEED,
        operations=operations,
        troubles=troubles,
        began=began,
    )


@pytest.mark.slow
@pytest.mark.skipif(
    "POOLWRIGHT_TEST_KILLS" not in os.environ,
    reason="planted bugs among replicas are for `make replicas`",
)
@pytest.mark.parametrize("bug", ["no_leases_no_guards", "forgetful_books", "unowned_nodes"])
def test_planted_bugs_are_found(shared_cluster, database, tmp_path, bug):
    with pytest.raises(AssertionError) as found:
        play(
            shared_cluster,
            database,
            tmp_path,
            size=2,
            fates=[pause, kill, pause],
            seed=SEED,
            bug=bug,
        )
    assert not isinstance(found.value, ServerDied)
    print(f"{bug}: {str(found.value)[:300]}")
