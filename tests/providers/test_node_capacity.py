"""Resources that others write into a node's capacity."""

from poolwright.model.kubernetes import NODES
from poolwright.ports.kube import PatchKind
from providers.test_simulated_pods import NODE, with_gpu_node, with_node
from providers.world import World, play, request

FOO = "example.com/foo"


async def said(world, **status):
    change = {"status": status}
    await world.kube.patch(NODES, NODE, change, kind=PatchKind.STRATEGIC, subresource="status")


def allocatable(world):
    return world.kube.node(NODE)["status"]["allocatable"]


def test_what_others_add_to_a_nodes_capacity_may_be_allocated_from_the_next_report_on():
    async def story(world):
        await said(world, capacity={FOO: "5"})
        await world.passes(seconds=9)
        assert FOO not in allocatable(world)
        await world.passes(seconds=2)
        assert allocatable(world)[FOO] == "5"
        await said(world, capacity={FOO: "3", "hugepages-2Mi": "4Mi"})
        await world.passes(seconds=11)
        assert allocatable(world)[FOO] == "3"
        assert allocatable(world)["hugepages-2Mi"] == "0"
        await said(world, capacity={FOO: None})
        await world.passes(seconds=11)
        assert FOO not in allocatable(world)
        writes = world.kube.requests["patch", "Node"]
        await world.passes(minutes=30)
        assert world.kube.requests["patch", "Node"] == writes

    with_node(story)


def test_it_is_seen_too_what_was_added_while_nobody_watched():
    async def whole():
        world = World()
        async with world.running():
            await world.cloud.create_machine(request())
            await world.passes(minutes=7)
        await said(world, capacity={FOO: "5"})
        world.restart()
        async with world.running():
            await world.passes(seconds=15)
            assert allocatable(world)[FOO] == "5"

    play(whole)


def test_gpus_are_the_plugins_to_tell():
    async def story(world):
        offered = allocatable(world)["nvidia.com/gpu"]
        await said(world, capacity={"nvidia.com/gpu": "9"})
        await world.passes(seconds=30)
        assert allocatable(world)["nvidia.com/gpu"] == offered

    with_gpu_node(story)
