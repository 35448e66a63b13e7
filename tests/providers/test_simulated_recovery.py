"""The cloud goes on from its ledger wherever the process died, and through unreachable clusters."""

import asyncio

import pytest

from poolwright.model.errors import Transient, Unknown
from poolwright.model.machine import MachinePhase
from poolwright.providers.simulated.ledger import BILLING, MACHINE
from providers.test_simulated_pods import WRITES
from providers.world import (
    CLUSTER,
    EXPORTER,
    GPU_SIZE,
    PLUGIN,
    World,
    gpu_bootstrap,
    machine_name,
    play,
    request,
)


@pytest.mark.parametrize("seconds", [0, 10, 40, 90, 150, 280, 292, 300, 330, 345])
def test_a_restart_at_any_moment_of_a_life_loses_and_doubles_nothing(seconds):
    async def story():
        world = World()
        async with world.running():
            made = await world.cloud.create_machine(
                request(vm_size=GPU_SIZE, setup=gpu_bootstrap())
            )
            await world.passes(seconds=min(seconds, 310))
            if seconds > 310:
                await world.cloud.delete_machine(CLUSTER, made.name, uid=made.uid)
                await world.passes(seconds=seconds - 310)
        world.restart()
        async with world.running():
            await world.passes(minutes=8)
            left = await world.cloud.list_machines(CLUSTER)
            nodes = [key for key in world.kube.objects if key[0] == "nodes"]
            if seconds > 310:
                assert (left, nodes) == ([], [])
            else:
                assert [(m.uid, m.phase) for m in left] == [(made.uid, MachinePhase.RUNNING)]
                assert nodes == [("nodes", "", made.name)]
            bill = await world.store.find("cloud/", BILLING)
            events = sorted(entry.spec.event for entry in bill)
            assert events == (["created", "deleted"] if seconds > 310 else ["created"])

    play(story)


def test_an_unreachable_cluster_is_caught_up_with():
    async def story():
        world = World()
        world.kube.is_reachable = False
        async with world.running():
            await world.cloud.create_machine(request())
            await world.passes(minutes=10)
            assert world.kube.node(machine_name(0)) is None
            world.kube.is_reachable = True
            await world.passes(minutes=10)
            assert world.kube.ready(machine_name(0)) == "True"

    play(story)


def test_a_machine_does_not_wait_for_ever_for_a_cluster_that_is_gone():
    async def story():
        world = World()
        async with world.running():
            made = await world.cloud.create_machine(request())
            await world.passes(minutes=5)
            world.kube.is_reachable = False
            await world.cloud.delete_machine(CLUSTER, made.name, uid=made.uid)
            await world.passes(minutes=120)
            assert await world.cloud.list_machines(CLUSTER) == []

    play(story)


class LossyStore:
    """Applies a write and loses the answer, once."""

    def __init__(self, store):
        self._store = store
        self.fates = []

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def transact(self, scope, writes):
        fate = self.fates.pop(0) if self.fates else "ok"
        if fate == "lost":
            raise Transient("lost before")
        commit = await self._store.transact(scope, writes)
        if fate == "unclear":
            raise Unknown("applied, but the answer is lost")
        return commit


@pytest.mark.parametrize(("fate", "error"), [("lost", Transient), ("unclear", Unknown)])
def test_a_create_with_a_lost_answer_is_repeated_safely(fate, error):
    async def story():
        world = World()
        world.store = LossyStore(world.store)
        world.restart()
        world.store.fates = [fate]
        async with world.running():
            with pytest.raises(error):
                await world.cloud.create_machine(request())
            made = await world.cloud.create_machine(request())
            assert len(await world.store.find("cloud/", MACHINE)) == 1
            assert (await world.cloud.usage("eastus"))[0].used == 2
            await world.passes(minutes=5)
            assert world.kube.ready(made.name) == "True"

    play(story)


@pytest.mark.parametrize("fate", ["lost", "unclear"])
def test_a_removal_with_a_lost_answer_is_billed_once(fate):
    async def story():
        world = World()
        world.store = LossyStore(world.store)
        world.restart()
        async with world.running():
            made = await world.cloud.create_machine(request())
            await world.cloud.create_machine(request(1))
            await world.passes(minutes=5)
            await world.cloud.delete_machine(CLUSTER, made.name, uid=made.uid)
            world.store.fates = [fate]
            await world.passes(minutes=5)
            assert [m.name for m in await world.cloud.list_machines(CLUSTER)] == [machine_name(1)]
            assert (await world.cloud.usage("eastus"))[0].used == 2
            bill = await world.store.find("cloud/", BILLING)
            assert sorted(e.spec.event for e in bill) == ["created", "created", "deleted"]

    play(story)


@pytest.mark.slow
def test_a_thousand_gpu_nodes_cost_at_most_eight_requests_each():
    count = 1000

    async def story():
        world = World()
        async with world.running():
            async with asyncio.TaskGroup() as group:
                for index in range(count):
                    asked = request(index, vm_size=GPU_SIZE, setup=gpu_bootstrap())
                    group.create_task(world.cloud.create_machine(asked))
            await world.passes(minutes=8)
            for index in range(count):
                for part in (PLUGIN, EXPORTER):
                    own = {**part["metadata"], "name": f"{part['metadata']['name']}-{index}"}
                    await world.kube.bind({**part, "metadata": own}, machine_name(index))
            await world.passes(minutes=2)
            ready = [
                node
                for node in (o for key, o in world.kube.objects.items() if key[0] == "nodes")
                if node["status"]["allocatable"].get("nvidia.com/gpu") == "1"
            ]
            assert len(ready) == count
            spent = sum(n for (verb, _), n in world.kube.requests.items() if verb in WRITES)
            assert (spent - 2 * count) / count <= 8

    play(story)
