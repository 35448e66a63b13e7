"""What the ledger, the operations and the cluster say once all is quiet."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from poolwright.app.shared_world import WORLD
from poolwright.model.instant import Instant
from replicas.load import Broken, User
from replicas.team import CLUSTER

sys.path.insert(0, str(Path(__file__).parents[1]))
from ledger import check_bills, check_machines, check_operations, opened, read_books
from live_stack import live_tools

_PATIENCE = 40.0
WHOSE = "poolwright.dev/managed-cluster"


def _nodes(kubeconfig: Path) -> dict[str, str]:
    """The pools of our Nodes, by name."""
    kubectl = str(live_tools.require("kubectl")["kubectl"])
    words = ["get", "nodes", "-l", "poolwright.dev/machine-provider=kwok", "-o", "json"]
    done = subprocess.run(
        [kubectl, "--kubeconfig", str(kubeconfig), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = {}
    for node in json.loads(done.stdout)["items"]:
        if not node["metadata"]["annotations"][WHOSE].endswith(f"/{CLUSTER}"):
            continue
        ready = {c["type"]: c["status"] for c in node["status"].get("conditions", ())}.get("Ready")
        pool = node["metadata"]["labels"]["agentpool"]
        found[node["metadata"]["name"]] = pool if ready == "True" else f"{pool}, not ready"
    return found


async def _read(database: str):
    """The books, and the time of the world that the servers share."""
    async with opened(database) as store:
        books = await read_books(store)
        world = await store.get("server/world", WORLD, "world")
    assert world is not None
    passed = datetime.now(UTC) - world.spec.began_at
    return books, Instant(passed // timedelta(microseconds=1))


def check_all(users: list[User], database: str, kubeconfig: Path) -> None:
    """The machines that run are the Nodes that are ready, as many as the users were promised;
    none is billed twice, no two have one address, and every operation has ended, once.
    """
    wanted = Counter({user.name: user.count for user in users if user.count})
    deadline = time.monotonic() + _PATIENCE
    while True:
        nodes = _nodes(kubeconfig)
        (machines, bills, operations), now = asyncio.run(_read(database))
        try:
            assert Counter(nodes.values()) == wanted, f"nodes {nodes}; there must be {wanted}"
            check_machines(machines, now, sorted(nodes))
            break
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    check_bills(bills, len(nodes))
    check_operations(operations)
    addresses = Counter((m.spec.request.cluster, m.spec.address_index) for m in machines)
    doubled = [address for address, count in addresses.items() if count > 1]
    if doubled:
        raise Broken(f"addresses given out twice: {doubled}")
    for user in users:
        user.confirm()
