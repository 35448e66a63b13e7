"""Planted bugs: each breaks one promise in the server's process, so that a check must fail.

They are put in from outside, by the launcher; the product has no switch for any of them.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from poolwright.control import agent_pool, managed_cluster
from poolwright.ports.store import Delete
from poolwright.providers.simulated.books import Books
from poolwright.providers.simulated.cloud import SimulatedCloud
from poolwright.providers.simulated.ledger import MACHINE
from poolwright.store.sqlite_file import SqliteFile


def never_end_operations() -> None:
    """What an operation was for is done, and it is left running."""

    async def ends(*_, **__):
        return []

    agent_pool.ends = managed_cluster.ends = ends


def lose_commits() -> None:
    """A write is acknowledged seconds before it is on the disk."""
    write = SqliteFile.write

    def write_late(file, batch):
        asyncio.get_running_loop().call_later(5, write, file, batch)

    SqliteFile.write = write_late


def double_machines() -> None:
    """A machine that is asked for is made twice, and only one of the two is shown."""
    create, shown = SimulatedCloud.create_machine, SimulatedCloud.list_machines

    async def create_twice(cloud, request):
        await create(cloud, replace(request, name=f"{request.name}x"))
        return await create(cloud, request)

    async def list_half(cloud, cluster, pool=None):
        machines = await shown(cloud, cluster, pool)
        return [machine for machine in machines if not machine.name.endswith("x")]

    SimulatedCloud.create_machine, SimulatedCloud.list_machines = create_twice, list_half


def lose_machines() -> None:
    """A cloud that starts again has forgotten a machine, but goes on billing it."""
    load = Books.load

    async def load_less(books):
        result = await load(books)
        for entry in list(books.entries())[:1]:
            record = entry.record
            books.forget(entry)
            await books._store.transact(record.scope, [Delete(MACHINE, record.name)])
        return result

    Books.load = load_less


BUGS = {
    "never end operations": never_end_operations,
    "lose commits": lose_commits,
    "double machines": double_machines,
    "lose machines": lose_machines,
}
