"""What the store holds once the server has gone: the cloud's ledger, the operations."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from poolwright.app.real_clock import RealClock
from poolwright.arm.snapshots import SNAPSHOT
from poolwright.model.agent_pool import OPERATION
from poolwright.model.cluster_key import subscription_scope
from poolwright.model.instant import Instant
from poolwright.model.machine import MachinePhase
from poolwright.model.managed_cluster import DocumentSpec, DocumentStatus
from poolwright.ports.store import Create
from poolwright.providers.simulated.ledger import BILLING, MACHINE
from poolwright.store import SqlStore

OLD_IMAGE = "AKSUbuntu-2204gen2containerd-202604.13.0"


@asynccontextmanager
async def opened(target: str | Path):
    """A store, as a server opens it."""
    store = SqlStore.open(target, clock=RealClock())
    try:
        yield store
    finally:
        await store.close()


async def read_books(store):
    """The machines, the bills and the operations."""
    machines = await store.find("cloud/", MACHINE)
    bills = await store.find("cloud/", BILLING)
    operations = [
        record
        for scope in await store.scopes("arm/")
        for record in (await store.list(scope, OPERATION))[0]
    ]
    return machines, bills, operations


async def _read(target: str | Path):
    async with opened(target) as store:
        return await read_books(store)


def check_books(directory: Path, nodes: list[str], store: str = "") -> None:
    """The machines of the nodes, each billed once, and nothing else; every operation ended."""
    machines, bills, operations = asyncio.run(_read(store or directory / "state"))
    now = Instant(json.loads((directory / "clock.json").read_text())["world_micros"])
    check_machines(machines, now, nodes)
    check_bills(bills, len(nodes))
    check_operations(operations)


def check_machines(machines, now: Instant, nodes: list[str]) -> None:
    """By the ledger, the machines that run are those of the nodes."""
    here = sorted(
        record.spec.request.name
        for record in machines
        if record.status.segment_at(now).phase is MachinePhase.RUNNING
    )
    others = [record.name for record in machines if record.spec.request.name not in here]
    assert here == nodes, f"machines {here}, nodes {nodes}"
    assert not others, f"machines that are nobody's node: {others}"


def check_bills(bills, running_count: int) -> None:
    """Nothing is billed twice, and what is billed is what runs."""
    running: Counter[tuple] = Counter()
    for bill in sorted(bills, key=lambda record: record.name):
        entry = bill.spec
        running[entry.cluster, entry.machine] += 1 if entry.event in {"created", "started"} else -1
        assert running[entry.cluster, entry.machine] in {0, 1}, f"billed twice: {bill.name}"
    assert sum(running.values()) == running_count, "what is billed is not what runs"


def check_operations(operations) -> None:
    """Each operation is in a terminal state, with its end."""
    for record in operations:
        assert record.status.state.is_terminal, f"{record.name} {record.spec.type} never ended"
        assert record.status.ended_at is not None, f"{record.name} has no end"


async def _add_snapshot(
    target: str | Path, subscription: str, group: str, name: str, version: str
) -> None:
    body = {
        "location": "eastus",
        "tags": {},
        "resource_group": group,
        "properties": {
            "creationData": {"sourceResourceId": "/gone"},
            "snapshotType": "NodePool",
            "kubernetesVersion": version,
            "nodeImageVersion": OLD_IMAGE,
            "osType": "Linux",
            "osSku": "Ubuntu",
            "vmSize": "Standard_DS2_v2",
            "enableFIPS": False,
        },
    }
    spec = DocumentSpec(name, body)
    uid = "00000000-0000-4000-8000-000000000001"
    now = datetime(2026, 4, 20, tzinfo=UTC)
    async with opened(target) as store:
        await store.transact(
            subscription_scope(subscription),
            [Create(SNAPSHOT, f"{group.lower()}/{name}", uid, spec, DocumentStatus(), now)],
        )


def add_snapshot(
    directory: Path, subscription: str, group: str, name: str, *, version: str, store: str = ""
) -> None:
    """A snapshot that was taken long ago: it holds a node image that is no longer the newest."""
    asyncio.run(_add_snapshot(store or directory / "state", subscription, group, name, version))
