"""Two and three real servers on one PostgreSQL and one real Kubernetes, killed, paused and cut off
under load: nothing is lost or doubled.

``POOLWRIGHT_TEST_KILLS`` says how often something befalls a server, ``POOLWRIGHT_TEST_SEED`` by
which chance.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from poolwright.app.real_clock import RealClock
from poolwright.store import SqlStore
from postgresql_server import postgresql_server, require_binaries
from replicas.books import check_all
from replicas.load import Load, User
from replicas.team import FATES, Team, kill, pause
from server_process import ServerDied

pytestmark = [pytest.mark.live, pytest.mark.postgres]

FATE_COUNT = int(os.environ.get("POOLWRIGHT_TEST_KILLS", "2"))
SEED = int(os.environ.get("POOLWRIGHT_TEST_SEED", "1"))
POOLS = ("one", "two", "three")


@pytest.fixture
def database():
    require_binaries()
    with postgresql_server() as url:
        # As `poolwright store migrate` does; the servers only check.
        migrated = SqlStore.open(url, clock=RealClock())
        migrated._database.close()
        yield url


def play(shared_cluster, database, root, *, size, fates, seed, bug=""):
    """Load on some servers, one fate after another, and what is there then."""
    rng = random.Random(seed)
    team = Team(root, database, shared_cluster.kubeconfig, size, bug=bug)
    users = [User(team, name, seed) for name in POOLS]
    try:
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
        troubles = {t: n for user in users for t, n in user.troubles.items()}
        print(f"{ended} operations; {troubles}")
        assert ended >= len(POOLS)
        for user in users:
            if user.count:
                user.change("DELETE")
                user.count = 0
        check_all(users, database, shared_cluster.kubeconfig)
        for replica in team.replicas:
            assert "Traceback" not in replica.server.log(), replica.server.log()[-4000:]
    finally:
        for user in users:
            user.close()
        team.end()


def test_whatever_befalls_servers_nothing_is_lost_or_doubled(shared_cluster, database, tmp_path):
    fates = [FATES[(SEED + number) % len(FATES)] for number in range(FATE_COUNT - 1)]
    fates.insert(0, pause)
    play(shared_cluster, database, tmp_path, size=3, fates=fates, seed=SEED)


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["no_leases_no_guards", "forgetful_books", "unowned_nodes"])
def test_planted_bugs_are_found(shared_cluster, database, tmp_path, bug):
    if "POOLWRIGHT_TEST_KILLS" not in os.environ:
        pytest.skip("planted bugs among replicas are for `make replicas`")
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
