"""docs/contracts/kube.md against the embedded Kubernetes, through the product's own client."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from random import Random

import pytest

from poolwright.kube.asgi_transport import AsgiTransport
from poolwright.kube.clusters import HttpClusters
from poolwright.kubesim.server import KubeSim, KubeSimSettings
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import Conflict, Expired, InvalidRequest, NotFound, Precondition
from poolwright.model.kubernetes import CONFIG_MAPS, NODES, POD_DISRUPTION_BUDGETS, PODS
from poolwright.model.node import AGENT_POOL_LABEL
from poolwright.ports.kube import PatchKind
from poolwright.sim.clock import SimClock
from poolwright.sim.identity import SeededIdentity
from poolwright.sim.loop import run
from poolwright.store.sql_store import SqlStore

KEY = ClusterKey("sub", "rg", "one")


def node(name, pool="blue"):
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {AGENT_POOL_LABEL: pool}},
    }


def config(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name, node_name="n1"):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"nodeName": node_name, "containers": [{"name": "c", "image": "i"}]},
    }


def play(scenario, *, controllers=False):
    async def main():
        clock = SimClock()
        store = SqlStore.open(None, clock=clock)
        settings = KubeSimSettings(system_pods=False, controllers=controllers, raise_bugs=True)
        planes = KubeSim(store, clock, SeededIdentity(Random(1)), None, settings)
        async with AsgiTransport(planes.asgi_app, raise_bugs=True) as transport:
            clusters = HttpClusters(planes, lambda _: transport, clock, Random(1), raise_bugs=True)
            await planes.put(KEY, version="v1.35.4", running=True)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(w) for w in (planes.run(), clusters.run())]
                await scenario(clusters, clusters.kube(KEY))
                for task in tasks:
                    task.cancel()
        await store.close()

    run(main())


def test_k1_k4_k7_one_object_comes_and_goes():
    async def scenario(clusters, kube):
        with pytest.raises(NotFound):
            await kube.get(NODES, "a")
        made = await kube.create(NODES, node("a"))
        assert await kube.get(NODES, "a") == made
        with pytest.raises(Conflict) as taken:
            await kube.create(NODES, node("a"))
        assert taken.value.code == "AlreadyExists"
        with pytest.raises(InvalidRequest):
            await kube.create(NODES, node("Not A Name"))
        with pytest.raises(Precondition):
            await kube.delete(NODES, "a", uid="another")
        await kube.delete(NODES, "a", uid=made["metadata"]["uid"])
        await kube.delete(NODES, "a", uid=made["metadata"]["uid"])

    play(scenario)


def test_k2_a_list_is_whole_and_says_where_it_stands():
    async def scenario(clusters, kube):
        for index in range(1101):
            await kube.create(NODES, node(f"n{index:04}", "blue" if index % 2 else "red"))
        assert len((await kube.list(NODES)).items) == 1101
        blue = await kube.list(NODES, label_selector=f"{AGENT_POOL_LABEL}=blue")
        assert len(blue.items) == 550

    play(scenario)


def test_k3_a_watch_begins_where_the_list_ended():
    async def scenario(clusters, kube):
        await kube.create(NODES, node("before"))
        listed = await kube.list(NODES)
        await kube.create(NODES, node("after"))
        seen = []
        async with aclosing(kube.watch(NODES, after=listed.revision)) as events:
            await kube.delete(NODES, "before")
            async for event in events:
                seen.append((event.type, event.object["metadata"]["name"]))
                if len(seen) == 2:
                    break
        assert seen == [("ADDED", "after"), ("DELETED", "before")]

    play(scenario)


@pytest.mark.slow
def test_k3_a_forgotten_revision_is_expired():
    async def scenario(clusters, kube):
        await kube.create(NODES, node("a"))
        for index in range(9000):  # more than the server keeps
            await kube.patch(NODES, "a", {"metadata": {"labels": {"x": str(index)}}})
        watch = kube.watch(NODES, after="1")
        with pytest.raises(Expired):
            await anext(watch)

    play(scenario)


def test_k5_k6_guards():
    async def scenario(clusters, kube):
        old = await kube.create(CONFIG_MAPS, config("c", a="1"), namespace="default")
        new = await kube.replace(CONFIG_MAPS, "c", {**old, "data": {"a": "2"}}, namespace="default")
        with pytest.raises(Precondition):
            await kube.replace(CONFIG_MAPS, "c", {**old, "data": {"a": "3"}}, namespace="default")
        stale = {"metadata": {"resourceVersion": old["metadata"]["resourceVersion"]}}
        with pytest.raises(Precondition):
            await kube.patch(CONFIG_MAPS, "c", {**stale, "data": None}, namespace="default")
        other = {"metadata": {"uid": "other"}, "data": None}
        with pytest.raises(Precondition):
            await kube.patch(CONFIG_MAPS, "c", other, namespace="default")
        assert await kube.get(CONFIG_MAPS, "c", namespace="default") == new
        with pytest.raises(NotFound):
            await kube.patch(CONFIG_MAPS, "missing", {}, namespace="default")

    play(scenario)


def test_k6_apply_creates_and_updates_as_our_manager():
    async def scenario(clusters, kube):
        wanted = config("c", a="1")
        for value in ("1", "2"):
            wanted["data"]["a"] = value
            made = await kube.patch(
                CONFIG_MAPS, "c", wanted, kind=PatchKind.APPLY, namespace="default", force=True
            )
            assert made["data"] == {"a": value}
        shown = await kube.get(CONFIG_MAPS, "c", namespace="default")
        assert shown["data"] == {"a": "2"}

    play(scenario)


def test_k8_eviction_honours_budgets_and_uids():
    async def scenario(clusters, kube):
        await kube.create(NODES, node("n1"))
        made = await kube.create(PODS, pod("p"), namespace="default")
        uid = made["metadata"]["uid"]
        await kube.evict("default", "missing", uid="x")
        with pytest.raises(Precondition):
            await kube.evict("default", "p", uid="another")
        budget = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "b"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        }
        await kube.create(POD_DISRUPTION_BUDGETS, budget, namespace="default")
        await asyncio.sleep(1)
        ready = {
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        }
        await kube.patch(PODS, "p", ready, namespace="default", subresource="status")
        await asyncio.sleep(1)
        with pytest.raises(Conflict) as forbidden:
            await kube.evict("default", "p", uid=uid)
        assert forbidden.value.code == "TooManyRequests"
        await kube.delete(POD_DISRUPTION_BUDGETS, "b", namespace="default")
        await kube.evict("default", "p", uid=uid)

    play(scenario, controllers=True)


def test_k12_k14_the_view_of_a_real_server():
    async def scenario(clusters, kube):
        await kube.create(NODES, node("a"))
        view = clusters.view(KEY)
        changes = view.changes()
        assert view.nodes() == ()
        await asyncio.sleep(5)
        assert [n.name for n in view.nodes("blue")] == ["a"]
        while (await anext(changes)).pool != "blue":
            pass
        await kube.create(NODES, node("r", "red"))
        while (await anext(changes)).pool != "red":
            pass
        assert [n.name for n in view.nodes("red")] == ["r"]
        await kube.delete(NODES, "a")
        await asyncio.sleep(1)
        assert view.node("a") is None

    play(scenario)
