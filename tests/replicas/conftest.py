"""The store and the cluster that the servers share."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from adopted import OURS, Kubectl
from poolwright.app.real_clock import RealClock
from poolwright.store import SqlStore
from postgresql_server import postgresql_server, require_binaries
from replicas.books import WHOSE
from replicas.team import CLUSTER


@pytest.fixture
def database():
    """The URL of a PostgreSQL with our tables: the servers make none, they only check."""
    require_binaries()
    with postgresql_server() as url:
        asyncio.run(_migrate(url))
        yield url


async def _migrate(url: str) -> None:
    await SqlStore.open(url, clock=RealClock()).close()


@pytest.fixture
def shared_cluster(shared_cluster):
    """Given back without our Nodes: servers of another store refuse a cluster that has some."""
    yield shared_cluster
    kubectl = Kubectl(str(shared_cluster.kubeconfig))
    ours = [
        node["metadata"]["name"]
        for node in kubectl.items(*OURS)
        if node["metadata"]["annotations"][WHOSE].endswith(f"/{CLUSTER}")
    ]
    if ours:
        kubectl("delete", "nodes", *ours)
