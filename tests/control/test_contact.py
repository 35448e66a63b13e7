"""An adopted cluster that goes away and comes back, through control and what it writes."""

import asyncio
from collections import Counter
from dataclasses import replace

import httpx

from control.rooms import KEY, STATE, SYSTEM, Rooms
from plan.pool_world import CLUSTER, pool_spec
from poolwright.model.agent_pool import OperationState
from poolwright.model.kubernetes import EVENTS
from poolwright.model.managed_cluster import MANAGED_CLUSTER
from poolwright.ports.store import Update
from poolwright.sim.loop import run


class Wire(httpx.AsyncByteStream):
    """An answer on its way, until the line is cut."""

    def __init__(self, inner, is_cut):
        self._inner = inner
        self._is_cut = is_cut

    async def __aiter__(self):
        chunks = aiter(self._inner)
        while True:
            chunk = asyncio.ensure_future(anext(chunks))
            cutting = asyncio.ensure_future(self._is_cut.wait())
            try:
                await asyncio.wait((chunk, cutting), return_when=asyncio.FIRST_COMPLETED)
                if not chunk.done():
                    raise httpx.ReadError("cut")
                yield chunk.result()
            except StopAsyncIteration:
                return
            finally:
                chunk.cancel()
                cutting.cancel()

    async def aclose(self):
        await self._inner.aclose()


class Line(httpx.AsyncBaseTransport):
    """To the API server, while it is not cut."""

    def __init__(self, target):
        self._target = target
        self._refusal = None
        self._is_cut = asyncio.Event()

    @property
    def refusal(self):
        return self._refusal

    @refusal.setter
    def refusal(self, refusal):
        """What requests get from now on; who is cut off loses what is on its way as well."""
        self._refusal = refusal
        if refusal is cut:
            self._is_cut.set()
            self._is_cut = asyncio.Event()

    async def __aenter__(self):
        await self._target.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self._target.__aexit__(*error)

    async def handle_async_request(self, request):
        if self.refusal is not None:
            return self.refusal()
        answer = await self._target.handle_async_request(request)
        answer.stream = Wire(answer.stream, self._is_cut)
        return answer


def cut():
    raise httpx.ConnectError("no route")


def unauthorized():
    return httpx.Response(401, json={"kind": "Status", "message": "Unauthorized"})


def play(story):
    async def main():
        rooms = Rooms(speed=1)
        rooms.transport = line = Line(rooms.transport)
        async with rooms.running():
            await rooms.create_cluster(SYSTEM)
            assert (await rooms.ended("create")).state is OperationState.SUCCEEDED
            found = await rooms.cluster()
            adopted = replace(found.spec, is_adopted=True)
            write = Update(MANAGED_CLUSTER, KEY.name, spec=adopted)
            await rooms.store.transact(KEY.arm_scope, [write])
            await story(rooms, line)

    assert not CLUSTER.is_adopted
    run(main())


async def outage(rooms):
    return (await rooms.cluster()).status.outage


def test_a_lost_cluster_is_told_and_its_operation_goes_on_when_it_is_back():
    async def story(rooms, line):
        await rooms.later(minutes=1)
        assert await outage(rooms) is None
        line.refusal = cut
        await rooms.create_pool(pool_spec(count=2), "add")
        await rooms.later(seconds=10)
        assert await outage(rooms) is None
        await rooms.later(seconds=30)
        assert "no route" in (await outage(rooms)).error.message
        assert (await rooms.cluster()).status.provisioning_state is STATE.SUCCEEDED
        said = (await rooms.operation("add")).message
        assert said.startswith("WaitingForAPIServer: ")
        assert "no route" in said
        await rooms.later(minutes=30)  # longer than nodes may take
        assert not (await rooms.operation("add")).state.is_terminal
        line.refusal = None
        assert (await rooms.ended("add")).state is OperationState.SUCCEEDED
        assert await outage(rooms) is None
        events = (await rooms.clusters.kube(KEY).list(EVENTS)).items
        told = [e for e in events if e["involvedObject"]["kind"] == "ManagedCluster"]
        assert [(e["reason"], e["involvedObject"]["name"]) for e in told] == [
            ("ClusterRegained", KEY.name)
        ]

    play(story)


def test_a_cluster_that_refuses_us_is_lost_too():
    async def story(rooms, line):
        line.refusal = unauthorized
        await rooms.later(minutes=12)  # its watches go on; whoever asks for something finds out
        assert "Unauthorized" in (await outage(rooms)).error.message

    play(story)


def test_a_call_that_fails_is_reason_enough_to_ask():
    async def story(rooms, line):
        await rooms.later(minutes=1)
        line.refusal = unauthorized
        await rooms.create_pool(pool_spec(count=2), "add")
        await rooms.later(minutes=4)
        assert "Unauthorized" in (await outage(rooms)).error.message

    play(story)


def test_a_cluster_that_is_heard_of_is_not_asked():
    async def story(rooms, line):
        await rooms.later(minutes=1)
        before = Counter(rooms.traffic.requests)
        await rooms.later(minutes=8)
        asked = rooms.traffic.requests - before
        assert not [key for key in asked if key[0] != "WATCH"], asked
        await rooms.later(minutes=2)
        assert (rooms.traffic.requests - before)["GET", "nodes"] == 1

    play(story)


def test_a_cluster_of_our_own_is_not_looked_at():
    async def main():
        rooms = Rooms(speed=1)
        async with rooms.running():
            await rooms.create_cluster(SYSTEM)
            await rooms.ended("create")
            await rooms.later(minutes=1)
            assert not [done for done in rooms.passes if done.controller == "contact"]

    run(main())


def test_the_node_of_a_machine_that_was_deleted_meanwhile_goes_when_the_cluster_is_back():
    async def story(rooms, line):
        await rooms.create_pool(pool_spec(count=2), "add")
        assert (await rooms.ended("add")).state is OperationState.SUCCEEDED
        line.refusal = cut
        await rooms.later(minutes=1)
        for pool in ("np1", "system"):  # who has no machine any more has nobody who plays nodes
            await rooms.change_pool(pool, STATE.DELETING, f"remove-{pool}", deleted=True)
            assert (await rooms.ended(f"remove-{pool}")).state is OperationState.SUCCEEDED
        assert await rooms.machines() == []
        line.refusal = None
        assert len(await rooms.nodes()) == 3, "nobody could delete them"
        await rooms.later(seconds=30)
        assert len(await rooms.nodes()) == 0

    play(story)
