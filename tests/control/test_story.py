"""Whole stories through control, embedded cluster and simulated cloud, on the virtual loop."""

from dataclasses import replace

from control.rooms import KEY, STATE, SYSTEM, Rooms
from plan.pool_world import IMAGE, OLD_IMAGE, pool_spec
from poolwright.model.agent_pool import OperationState
from poolwright.model.kubernetes import EVENTS
from poolwright.model.machine import MachinePhase
from poolwright.model.taint import Taint
from poolwright.sim.loop import run


def play(story):
    async def main():
        rooms = Rooms()
        async with rooms.running():
            await story(rooms)

    run(main())


def test_a_cluster_with_its_pool_comes_and_goes():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        created = await rooms.ended("create")
        assert created.state is OperationState.SUCCEEDED
        cluster, pool = await rooms.cluster(), await rooms.pool("system")
        assert cluster.status.provisioning_state is STATE.SUCCEEDED
        assert cluster.status.running_kubernetes_version == "1.35.4"
        assert pool.status.provisioning_state is STATE.SUCCEEDED
        assert len(await rooms.nodes()) == 1
        await rooms.change_cluster(STATE.DELETING, "delete", deleted=True)
        assert (await rooms.ended("delete")).state is OperationState.SUCCEEDED
        assert await rooms.cluster() is None
        assert await rooms.pool("system") is None
        assert list(await rooms.machines()) == []
        assert await rooms.kubesim.get(KEY) is None

    play(story)


def test_a_pool_is_created_scaled_relabelled_and_deleted():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        await rooms.create_pool(pool_spec(count=2), "add")
        assert (await rooms.ended("add")).state is OperationState.SUCCEEDED
        names = sorted(n["metadata"]["name"] for n in await rooms.nodes())
        assert len(names) == 3
        await rooms.change_pool("np1", STATE.SCALING, "up", count=4)
        await rooms.ended("up")
        await rooms.change_pool("np1", STATE.SCALING, "down", count=1)
        await rooms.ended("down")
        assert len(await rooms.machines()) == 2
        taint = Taint.parse("sku=gpu:NoSchedule")
        await rooms.change_pool(
            "np1", STATE.UPDATING, "label", node_labels={"a": "b"}, node_taints=(taint,)
        )
        await rooms.ended("label")
        node = next(n for n in await rooms.nodes() if n["metadata"]["labels"].get("a") == "b")
        assert taint.to_object() in node["spec"]["taints"]
        await rooms.change_pool("np1", STATE.DELETING, "delete", deleted=True)
        assert (await rooms.ended("delete")).state is OperationState.SUCCEEDED
        assert await rooms.pool("np1") is None
        assert len(await rooms.machines()) == 1

    play(story)


def test_an_upgrade_rolls_and_tells_events():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM, pool_spec(count=3, node_image_version=OLD_IMAGE))
        await rooms.ended("create")
        before = sorted(m.name for m in await rooms.machines())
        await rooms.change_pool("np1", STATE.UPGRADING, "upgrade", node_image_version=IMAGE)
        assert (await rooms.ended("upgrade", minutes=600)).state is OperationState.SUCCEEDED
        machines = await rooms.machines()
        assert sorted(m.name for m in machines) == before
        assert {m.bootstrap.node_image_version for m in machines} == {IMAGE}
        events = (await rooms.clusters.kube(KEY).list(EVENTS)).items
        assert {"Surge", "Drain", "Upgrade"} <= {e["reason"] for e in events}
        for node in await rooms.nodes():
            assert not node["spec"].get("unschedulable")

    play(story)


def test_pool_and_cluster_stop_and_start():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM, pool_spec(count=2))
        await rooms.ended("create")
        await rooms.change_pool("np1", STATE.STOPPING, "stop", is_stopped=True)
        assert (await rooms.ended("stop")).state is OperationState.SUCCEEDED
        own = [m for m in await rooms.machines() if m.pool == "np1"]
        assert {m.phase for m in own} == {MachinePhase.STOPPED}
        await rooms.change_pool("np1", STATE.STARTING, "start", is_stopped=False)
        assert (await rooms.ended("start")).state is OperationState.SUCCEEDED
        await rooms.change_cluster(STATE.STOPPING, "stop-all", is_stopped=True)
        assert (await rooms.ended("stop-all")).state is OperationState.SUCCEEDED
        assert {m.phase for m in await rooms.machines()} == {MachinePhase.STOPPED}
        assert not (await rooms.kubesim.get(KEY)).is_running
        await rooms.change_cluster(STATE.STARTING, "start-all", is_stopped=False)
        assert (await rooms.ended("start-all")).state is OperationState.SUCCEEDED
        assert {m.phase for m in await rooms.machines()} == {MachinePhase.RUNNING}
        assert (await rooms.pool("np1")).status.ready_count == 2

    play(story)


def test_a_pool_on_its_own_waits_for_a_cluster_upgrade():
    async def story(rooms):
        await rooms.create_cluster(replace(SYSTEM, kubernetes_version="1.35.4"))
        await rooms.ended("create")
        await rooms.change_cluster(STATE.UPGRADING, "up", current_kubernetes_version="1.35.5")
        await rooms.change_pool("system", STATE.UPGRADING, "up-pool", kubernetes_version="1.35.5")
        assert (await rooms.ended("up", minutes=300)).state is OperationState.SUCCEEDED
        assert (await rooms.pool("system")).status.current_kubernetes_version == "1.35.5"

    play(story)
