"""What the nodes that KWOK plays do beyond the contract: on clusters that are not ours alone."""

import asyncio

import pytest

from poolwright.model.errors import NotFound
from poolwright.model.kubernetes import NODES
from providers.kwok_world import KwokWorld
from providers.world import CLUSTER, machine_name, request


class StubbornWorld(KwokWorld):
    """Its KWOK plays every node, also those that do not ask for it."""

    plays_all = True


def test_a_kwok_that_does_not_give_way_is_contradicted_ever_less_often():
    async def story():
        world = StubbornWorld()
        async with world.running():
            machine = await world.cloud.create_machine(request())
            await world.passes(minutes=5)
            await world.cloud.stop_machine(CLUSTER, machine.name, uid=machine.uid)
            before = world.kube.requests["patch", "Node"]
            await world.passes(minutes=60)
            both = world.kube.requests["patch", "Node"] - before
            assert 10 < both < 60, "ours and KWOK's"

    StubbornWorld.play(story)


def test_a_node_of_that_name_that_somebody_else_made_stays():
    async def story():
        world = KwokWorld()
        name = machine_name(0)
        theirs = await world.kube.create(
            NODES, {"metadata": {"name": name, "labels": {"mine": "1"}}, "status": {}}
        )
        async with world.running():
            machine = await world.cloud.create_machine(request())
            await world.passes(minutes=5)
            assert world.kube.node(name) == theirs
            await world.cloud.delete_machine(CLUSTER, name, uid=machine.uid)
            await world.passes(minutes=2)
            assert world.kube.node(name) == theirs
            assert await world.machine(name) is None

    KwokWorld.play(story)


def test_a_node_says_whose_it_is_and_that_nobody_can_call_it():
    async def story():
        world = KwokWorld()
        async with world.running():
            machine = await world.cloud.create_machine(request())
            await world.passes(minutes=5)
            node = world.kube.node(machine.name)
            assert node["metadata"]["annotations"]["poolwright.dev/managed-cluster"] == str(CLUSTER)
            assert "daemonEndpoints" not in node["status"]
            await world.kube.delete(NODES, machine.name)
            await asyncio.sleep(1)
            with pytest.raises(NotFound):
                await world.kube.get(NODES, machine.name)

    KwokWorld.play(story)
