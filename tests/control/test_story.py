"""Whole stories through control, embedded cluster and simulated cloud, on the virtual loop."""

import asyncio
from dataclasses import replace

import pytest

from control.rooms import KEY, SCOPE, STATE, SYSTEM, Rooms
from plan.pool_world import IMAGE, OLD_IMAGE, gpu_spec, pool_spec
from poolwright.model.agent_pool import OperationState
from poolwright.model.gpu import InstallProfile
from poolwright.model.kubernetes import DAEMON_SETS, DEPLOYMENTS, EVENTS, NODES, PODS
from poolwright.model.machine import MachinePhase, MachineRequest
from poolwright.model.scarcity import InjectedFailure, Scarcity
from poolwright.model.taint import Taint
from poolwright.plan.components import COMPONENTS
from poolwright.ports.kube import PatchKind
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


def test_a_managed_gpu_pool_brings_its_components_and_takes_them_away():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        await rooms.create_pool(gpu_spec(name="gpunp", count=2), "add")
        added = await rooms.ended("add")
        assert added.state is OperationState.SUCCEEDED, added
        kube = rooms.clusters.kube(KEY)
        nodes = [n for n in await rooms.nodes() if "accelerator" in n["metadata"]["labels"]]
        assert [n["status"]["allocatable"]["nvidia.com/gpu"] for n in nodes] == ["1", "1"]
        assert not any("startup" in t["key"] for n in nodes for t in n["spec"].get("taints", ()))
        pods = (await kube.list(PODS, namespace="default")).items
        assert len(pods) == 4
        await kube.delete(DAEMON_SETS, "nvidia-device-plugin", namespace="default")
        await rooms.later(minutes=5)
        assert len((await kube.list(DAEMON_SETS, namespace="default")).items) == 2
        await rooms.change_pool("gpunp", STATE.DELETING, "delete", deleted=True)
        await rooms.ended("delete")
        await rooms.later(minutes=5)
        assert (await kube.list(DAEMON_SETS, namespace="default")).items == []

    play(story)


def daemon_set(name):
    labels = {"app": "mine"}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": "mine:1"}]},
            },
        },
    }


def test_a_component_that_somebody_else_made_is_left_alone():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        kube = rooms.clusters.kube(KEY)
        theirs = await kube.create(
            DAEMON_SETS, daemon_set("nvidia-device-plugin"), namespace="default"
        )
        await rooms.create_pool(gpu_spec(name="gpunp", count=1), "add")
        await rooms.later(minutes=10)
        found = {o["metadata"]["name"]: o for o in (await kube.list(DAEMON_SETS)).items}
        assert found.keys() == {"nvidia-device-plugin", "nvidia-dcgm-exporter"}
        assert found["nvidia-device-plugin"]["spec"] == theirs["spec"]
        assert found["nvidia-device-plugin"]["metadata"]["uid"] == theirs["metadata"]["uid"]
        assert "labels" not in found["nvidia-device-plugin"]["metadata"]

        await kube.delete(DAEMON_SETS, "nvidia-device-plugin", namespace="default")
        assert (await rooms.ended("add")).state is OperationState.SUCCEEDED, "ours took its place"
        await rooms.change_pool("gpunp", STATE.DELETING, "delete", deleted=True)
        await rooms.ended("delete")
        await rooms.later(minutes=5)
        assert (await kube.list(DAEMON_SETS)).items == []

    play(story)


def test_components_that_somebody_fights_over_go_with_the_last_pool():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        await rooms.create_pool(gpu_spec(name="gpunp", count=1), "add")
        await rooms.ended("add")
        kube = rooms.clusters.kube(KEY)

        async def change_all(seconds):
            change = {"spec": {"minReadySeconds": seconds}}
            for name in COMPONENTS:
                await kube.patch(
                    DAEMON_SETS, name, change, kind=PatchKind.MERGE, namespace="default"
                )

        for number in range(8):  # each time we wait longer before we insist
            await change_all(number + 1)
            await rooms.later(seconds=2 * 2**number)
        await change_all(0)
        await rooms.later(seconds=10)
        await rooms.change_pool("gpunp", STATE.DELETING, "delete", deleted=True)
        await rooms.ended("delete")
        await rooms.later(minutes=5)
        assert (await kube.list(DAEMON_SETS)).items == []

    play(story)


def test_components_are_applied_once_and_then_watched():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        await rooms.create_pool(gpu_spec(name="gpunp", count=1), "add")
        await rooms.ended("add")
        requests = rooms.traffic.requests
        before = requests.copy()
        await asyncio.sleep(3600)  # real time: watches end and begin again
        since = requests - before
        assert since["WATCH", "daemonsets"] > 1
        assert {key: n for key, n in since.items() if key[1] == "daemonsets"} == {
            ("WATCH", "daemonsets"): since["WATCH", "daemonsets"]
        }

    play(story)


def test_a_label_that_somebody_else_insists_on_is_no_reason_for_a_fight():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        await rooms.create_pool(pool_spec(count=1, node_labels={"team": "ours"}), "add")
        await rooms.ended("add")
        kube = rooms.clusters.kube(KEY)
        (ours,) = [n for n in await rooms.nodes() if n["metadata"]["name"].startswith("aks-np1")]
        name, before, theirs = ours["metadata"]["name"], rooms.traffic.requests.copy(), 0

        async def insist():
            nonlocal theirs
            async for event in kube.watch(NODES, after=ours["metadata"]["resourceVersion"]):
                meta = event.object["metadata"]
                if meta.get("name") == name and meta["labels"]["team"] == "ours":
                    await kube.patch(NODES, name, {"metadata": {"labels": {"team": "theirs"}}})
                    theirs += 1

        async with asyncio.TaskGroup() as group:
            task = group.create_task(insist())
            await kube.patch(NODES, name, {"metadata": {"labels": {"team": "theirs"}}})
            await rooms.later(minutes=60)
            task.cancel()
        writes = (rooms.traffic.requests - before)["PATCH", "nodes"] - theirs - 1
        assert 5 < writes < 25, "twice as long each time, then every five minutes"
        await rooms.later(minutes=6)
        (now,) = [n for n in await rooms.nodes() if n["metadata"]["name"] == name]
        assert now["metadata"]["labels"]["team"] == "ours"

    play(story)


def test_a_component_that_somebody_else_insists_on_changing_is_no_reason_for_a_fight():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        await rooms.create_pool(gpu_spec(name="gpunp", count=1), "add")
        await rooms.ended("add")
        kube, name, theirs = rooms.clusters.kube(KEY), "nvidia-device-plugin", 0
        before = rooms.traffic.requests.copy()
        strategy = {"rollingUpdate": {"maxUnavailable": "33%"}}

        async def insist():
            nonlocal theirs
            listed = await kube.list(DAEMON_SETS, namespace="default")
            async for event in kube.watch(DAEMON_SETS, after=listed.revision, namespace="default"):
                if event.object["metadata"].get("name") != name or theirs > 1000:
                    continue
                if (
                    event.object["spec"]["updateStrategy"]["rollingUpdate"]
                    != strategy["rollingUpdate"]
                ):
                    theirs += 1
                    change = {"spec": {"updateStrategy": strategy}}
                    await kube.patch(DAEMON_SETS, name, change, namespace="default")

        async with asyncio.TaskGroup() as group:
            task = group.create_task(insist())
            await asyncio.sleep(1)
            theirs += 1
            change = {"spec": {"updateStrategy": strategy}}
            await kube.patch(DAEMON_SETS, name, change, namespace="default")
            await rooms.later(minutes=60)
            task.cancel()
        applied = (rooms.traffic.requests - before)["PATCH", "daemonsets"] - theirs
        assert 5 < applied < 25, "twice as long each time, then every five minutes"

    play(story)


def test_a_foreign_taint_stays_as_it_is():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        await rooms.create_pool(
            pool_spec(count=1, node_taints=(Taint.parse("a=b:NoSchedule"),)), "add"
        )
        await rooms.ended("add")
        kube = rooms.clusters.kube(KEY)
        (node,) = [n for n in await rooms.nodes() if n["metadata"]["name"].startswith("aks-np1")]
        name = node["metadata"]["name"]
        mine = {"key": "mine", "effect": "NoExecute", "timeAdded": "2026-01-02T03:04:05Z"}
        await kube.patch(NODES, name, {"spec": {"taints": [*node["spec"]["taints"], mine]}})
        await rooms.later(minutes=1)
        await rooms.change_pool(
            "np1", STATE.UPDATING, "taint", node_taints=(Taint.parse("c=d:NoSchedule"),)
        )
        await rooms.ended("taint")
        (node,) = [n for n in await rooms.nodes() if n["metadata"]["name"] == name]
        assert mine in node["spec"]["taints"]
        assert {t["key"] for t in node["spec"]["taints"]} == {"mine", "c"}

    play(story)


@pytest.mark.parametrize("given", ["hacked", None])
def test_a_node_does_not_leave_its_pool_by_a_label(given):
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        await rooms.create_pool(pool_spec(count=1), "add")
        await rooms.ended("add")
        kube = rooms.clusters.kube(KEY)
        (node,) = [n for n in await rooms.nodes() if n["metadata"]["name"].startswith("aks-np1")]
        label = "kubernetes.azure.com/agentpool"
        await kube.patch(NODES, node["metadata"]["name"], {"metadata": {"labels": {label: given}}})
        await rooms.change_pool("np1", STATE.SCALING, "up", count=2)
        assert (await rooms.ended("up")).state is OperationState.SUCCEEDED
        nodes = [n for n in await rooms.nodes() if n["metadata"]["name"].startswith("aks-np1")]
        assert [n["metadata"]["labels"][label] for n in nodes] == ["np1", "np1"]

    play(story)


@pytest.mark.parametrize("tags", [{}, {"EnableManagedGPUExperience": "true"}])
def test_a_pool_that_is_managed_by_the_old_tag_says_so(tags):
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        await rooms.create_pool(gpu_spec(name="gpunp", count=1, tags=tags), "add")
        await rooms.ended("add")
        events = (await rooms.clusters.kube(KEY).list(EVENTS, namespace="default")).items
        about = [e["involvedObject"]["name"] for e in events if e["reason"] == "DeprecatedTag"]
        assert about == (["gpunp"] if tags else [])

    play(story)


@pytest.mark.parametrize("had", [InstallProfile.DRIVER_ONLY, InstallProfile.EVERYTHING])
def test_an_upgrade_that_makes_a_pool_managed_says_so_beforehand(had):
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        made = gpu_spec(name="gpunp", count=1, node_image_version=OLD_IMAGE)
        await rooms.create_pool(replace(made, install_profile=had), "add")
        await rooms.ended("add")
        managed = InstallProfile.EVERYTHING
        await rooms.change_pool(
            "gpunp", STATE.UPGRADING, "up", node_image_version=IMAGE, install_profile=managed
        )
        assert (await rooms.ended("up")).state is OperationState.SUCCEEDED
        events = (await rooms.clusters.kube(KEY).list(EVENTS, namespace="default")).items
        told = [e for e in events if e["reason"] == "ManagedGPUEnabled"]
        if had is managed:
            assert not told
            return
        (event,) = told
        assert event["type"] == "Normal"
        assert event["involvedObject"]["name"] == "gpunp"
        assert "device plugin, DCGM exporter" in event["message"]
        surge = next(e for e in events if e["reason"] == "Surge")
        assert event["firstTimestamp"] <= surge["firstTimestamp"]

    play(story)


def test_only_an_upgrade_says_that_it_makes_a_pool_managed():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        made = gpu_spec(name="gpunp", count=1, node_image_version=IMAGE)
        await rooms.create_pool(replace(made, install_profile=InstallProfile.DRIVER_ONLY), "add")
        await rooms.ended("add")
        await rooms.change_pool(
            "gpunp", STATE.UPDATING, "label", install_profile=InstallProfile.EVERYTHING
        )
        assert (await rooms.ended("label")).state is OperationState.SUCCEEDED
        events = (await rooms.clusters.kube(KEY).list(EVENTS, namespace="default")).items
        assert "ManagedGPUEnabled" not in {e["reason"] for e in events}

    play(story)


def test_a_node_without_a_machine_goes_once_it_is_silent():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        await rooms.create_pool(pool_spec(count=1), "add")
        await rooms.ended("add")
        kube = rooms.clusters.kube(KEY)
        (real,) = [n for n in await rooms.nodes() if n["metadata"]["name"].startswith("aks-np1")]
        labels = real["metadata"]["labels"]
        stray = {"metadata": {"name": "stray", "labels": labels}, "spec": {}}
        await kube.create(NODES, {"apiVersion": "v1", "kind": "Node", **stray})
        await rooms.later(minutes=10)
        names = [n["metadata"]["name"] for n in await rooms.nodes()]
        assert "stray" not in names
        assert real["metadata"]["name"] in names
        events = (await kube.list(EVENTS, namespace="default")).items
        assert "DeletingNode" in {e["reason"] for e in events}

    play(story)


def deployment(replicas, cpu):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [
                        {
                            "name": "web",
                            "image": "nginx",
                            "resources": {"requests": {"cpu": cpu}},
                        }
                    ]
                },
            },
        },
    }


def test_the_autoscaler_grows_for_pending_pods_and_shrinks_back():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        spec = pool_spec(count=0, enable_auto_scaling=True, min_count=0, max_count=3)
        await rooms.create_pool(spec, "add")
        await rooms.ended("add")
        kube = rooms.clusters.kube(KEY)
        await kube.create(DEPLOYMENTS, deployment(3, "1"), namespace="default")
        await rooms.later(minutes=10)
        assert (await rooms.pool("np1")).spec.count == 2
        assert len(await rooms.nodes()) == 3
        events = (await kube.list(EVENTS, namespace="default")).items
        assert "TriggeredScaleUp" in {e["reason"] for e in events}
        pods = (await kube.list(PODS, namespace="default")).items
        assert {p["status"]["phase"] for p in pods} == {"Running"}
        await kube.delete(DEPLOYMENTS, "web", namespace="default")
        await rooms.later(minutes=40)
        assert (await rooms.pool("np1")).spec.count == 0
        assert len(await rooms.machines()) == 1

    play(story)


def test_an_abort_ends_both_operations_and_a_later_write_goes_on():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        await rooms.create_pool(pool_spec(count=2), "add")
        await rooms.later(seconds=30)
        await rooms.abort("np1", "abort")
        assert (await rooms.ended("abort")).state is OperationState.SUCCEEDED
        aborted = await rooms.operation("add")
        assert aborted.state is OperationState.CANCELED
        assert aborted.error.code == "Canceled"
        assert (await rooms.pool("np1")).status.provisioning_state is STATE.CANCELED
        await rooms.change_pool("np1", STATE.UPDATING, "again")
        assert (await rooms.ended("again")).state is OperationState.SUCCEEDED
        assert (await rooms.pool("np1")).status.ready_count == 2

    play(story)


@pytest.mark.parametrize("code", ["QuotaExceeded", "VMExtensionProvisioningError"])
def test_a_failure_names_its_code_and_the_next_write_mends_it(code):
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        scarcity = Scarcity(failures=(InjectedFailure("once", code, pool="np1"),))
        await rooms.cloud.set_scarcity("eastus", scarcity)
        await rooms.create_pool(pool_spec(count=2), "add")
        ended = await rooms.ended("add")
        assert ended.state is OperationState.FAILED
        assert ended.error.code == code
        pool = await rooms.pool("np1")
        assert pool.status.provisioning_state is STATE.FAILED
        assert pool.status.error.code == code
        await rooms.change_pool("np1", STATE.UPDATING, "again")
        assert (await rooms.ended("again")).state is OperationState.SUCCEEDED
        own = [m for m in await rooms.machines() if m.pool == "np1"]
        assert {m.phase for m in own} == {MachinePhase.RUNNING}
        assert len(own) == 2

    play(story)


def test_a_machine_without_an_owner_is_found_and_deleted():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        (known,) = await rooms.machines()
        late = MachineRequest(
            cluster=KEY,
            pool="gone",
            name="aks-gone-12345678-vmss000000",
            region="eastus",
            vm_size="Standard_DS2_v2",
            generation=1,
            bootstrap=known.bootstrap,
        )
        await rooms.cloud.create_machine(late)
        await rooms.later(minutes=2)
        assert len(await rooms.machines()) == 2
        await rooms.later(minutes=20)
        assert [m.name for m in await rooms.machines()] == [known.name]

    play(story)


def test_a_restart_goes_on_where_it_was():
    async def main():
        rooms = Rooms()
        async with rooms.running():
            await rooms.create_cluster(SYSTEM, pool_spec(count=3))
            await rooms.later(minutes=5)
        for _ in range(6):
            again = Rooms(before=rooms)
            async with again.running():
                await again.later(seconds=40)
            rooms = again
        again = Rooms(before=rooms)
        async with again.running():
            assert (await again.ended("create")).state is OperationState.SUCCEEDED
            assert len(await again.machines()) == 4

    run(main())


def test_two_replicas_do_not_double_anything():
    async def story(rooms):
        async with rooms.another_control("replica-2"):
            await rooms.create_cluster(SYSTEM, pool_spec(count=3))
            assert (await rooms.ended("create")).state is OperationState.SUCCEEDED
            assert len(await rooms.machines()) == 4

    play(story)


def test_a_settled_world_is_quiet():
    async def story(rooms):
        await rooms.create_cluster(SYSTEM)
        await rooms.ended("create")
        await rooms.create_pool(gpu_spec(name="gpunp", count=2), "add")
        await rooms.ended("add")
        await rooms.later(minutes=30)
        passes, revision = len(rooms.passes), await rooms.store.revision(SCOPE)
        await rooms.later(hours=12)
        assert await rooms.store.revision(SCOPE) == revision
        assert len(rooms.passes) - passes < 30

    play(story)
