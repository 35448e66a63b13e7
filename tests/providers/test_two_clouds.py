"""Two processes on one ledger: what one gives out the other knows, and one plays the nodes."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

import pytest

from poolwright.model.errors import QuotaExceeded, Transient
from poolwright.model.kubernetes import NODES
from poolwright.model.scarcity import Scarcity
from poolwright.providers.kwok.fleet import KwokFleet
from poolwright.providers.simulated.books import Books
from poolwright.providers.simulated.cloud import SimulatedCloud
from poolwright.providers.simulated.ledger import DESK, SCARCITY
from providers.kwok_world import KwokWorld
from providers.world import CLUSTER, play, request


class Away:
    """The way of one process to the cluster, which can be cut."""

    def __init__(self, clusters):
        self._clusters = clusters
        self.is_cut = False

    def kube(self, cluster):
        kube = self._clusters.kube(cluster)
        return _Cut() if self.is_cut else kube


class _Cut:
    def __getattr__(self, name):
        del name
        raise Transient("the cluster is away")


class TwoClouds(KwokWorld):
    """`cloud` and `other` share store, cluster and clock."""

    def __init__(self):
        self.ways = []
        super().__init__(speed=60.0)
        self.other = self._new_cloud()

    def _new_cloud(self):
        way = Away(self.clusters)
        self.ways.append(way)
        return SimulatedCloud(
            self.store,
            way,
            self.clock,
            self.identity,
            Random(f"{self.seed}/cloud"),
            self.settings,
            new_node_side=KwokFleet,
        )

    @contextlib.asynccontextmanager
    async def running(self):
        async with super().running(), asyncio.TaskGroup() as group:
            task = group.create_task(self.other.run())
            try:
                yield self
            finally:
                task.cancel()


def test_nothing_is_given_out_twice():
    async def story():
        world = TwoClouds()
        await world.cloud.set_scarcity("eastus", Scarcity(default_quota=24))  # 2 vCPUs a machine
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_try(cloud, index))
                for index in range(20)
                for cloud in (world.cloud, world.other)
            ]
        uids = {
            index: {t.result() for t in tasks[2 * index : 2 * index + 2]} for index in range(20)
        }
        made = await world.cloud.list_machines(CLUSTER)
        assert made == await world.other.list_machines(CLUSTER)
        assert len(made) == 12
        assert len({machine.private_ip for machine in made}) == 12
        assert sum(uid is not None for found in uids.values() for uid in found) == 12
        (cores, *_) = await world.other.usage("eastus")
        assert cores.used == 24

    play(story)


class Stumbling:
    """A store that cannot be asked about some kinds, or written to."""

    def __init__(self, store):
        self._store = store
        self.away = ()
        self.writes = True

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def get(self, scope, kind, name):
        if kind in self.away:
            raise Transient("the store is away")
        return await self._store.get(scope, kind, name)

    async def transact(self, scope, writes):
        if not self.writes:
            raise Transient("the store is away")
        return await self._store.transact(scope, writes)


def test_what_was_seen_before_a_look_failed_is_told_with_the_next():
    async def story():
        world = TwoClouds()
        store = Stumbling(world.store)
        books = Books(store, Scarcity(), "third")
        await books.take_desk("eastus", world.clock.now())
        await books.load()
        await world.cloud.create_machine(request(0))
        store.away = (DESK,)
        with pytest.raises(Transient):
            await books.load()
        store.away = ()
        assert [entry.name for entry in await books.load()] == [request(0).name]
        assert await books.load() == []

    play(story)


def test_a_clerk_knows_what_the_region_refuses_whatever_failed_before():
    async def story():
        world = TwoClouds()
        await world.cloud.set_scarcity("eastus", Scarcity(default_quota=24))
        store, now = Stumbling(world.store), world.clock.now()
        books = Books(store, Scarcity(), "third")
        store.away = (SCARCITY,)
        with pytest.raises(Transient):
            await books.take_desk("eastus", now)
        store.away = ()
        desk = await books.take_desk("eastus", now)
        assert books.has_desk("eastus", desk)
        assert books.scarcity("eastus").default_quota == 24
        store.writes = False
        write = books.scarcity_write("eastus", Scarcity(default_quota=1), now)
        with pytest.raises(Transient):
            await books.commit("eastus", [desk, write])
        assert not books.has_desk("eastus", desk)
        await books.load()
        assert books.scarcity("eastus").default_quota == 24
        assert books.has_desk("eastus", desk)

    play(story)


async def _try(cloud, index):
    try:
        return (await cloud.create_machine(request(index))).uid
    except QuotaExceeded:
        return None


def test_what_one_deletes_and_stops_the_other_knows():
    async def story():
        world = TwoClouds()
        async with world.running():
            first = await world.cloud.create_machine(request(0))
            await world.other.create_machine(request(1))
            await world.passes(minutes=10)
            await world.other.delete_machine(CLUSTER, first.name, uid=first.uid)
            await world.passes(minutes=10)
            (left,) = await world.cloud.list_machines(CLUSTER)
            assert left.name == request(1).name
            assert [node["metadata"]["name"] for node in world.kube.all(NODES)] == [left.name]

    play(story)


def test_one_plays_the_nodes_until_it_is_cut_off_and_late_nodes_are_cleared_away():
    async def story():
        world = TwoClouds()
        async with world.running():
            made = await world.cloud.create_machine(request(0))
            await world.passes(minutes=10)
            assert world.kube.ready(made.name) == "True"
            assert world.kube.requests["create", "Node"] == 1, "both played"
            for way in world.ways[:1]:
                way.is_cut = True
            again = await world.other.create_machine(request(1))
            await world.passes(minutes=40)  # the lease, and until somebody looks
            assert world.kube.ready(again.name) == "True"
            # A process that was paused registers a Node whose machine is long gone.
            late = world.kube.node(again.name)
            stale = {**late, "metadata": {**late["metadata"], "name": request(7).name}}
            await world.kube.create(NODES, stale)
            await world.passes(minutes=5)
            assert world.kube.node(request(7).name) is None

    play(story)
