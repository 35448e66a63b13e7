"""The life of agent pools, told once for both worlds; no story has a difference to list."""

from __future__ import annotations

import time

import pytest

from behaviour.manifests import budget, deployment
from ledger import OLD_IMAGE
from pool_stories.world import GPU, NEW, OLD, is_ready
from poolwright.app.cli.arm_client import CliError

COMPONENTS = ("nvidia-device-plugin", "nvidia-dcgm-exporter")
SYSTEM_TAINTS = "node.kubernetes.io/"


def taints(node) -> list[tuple[str, str]]:
    """Those that are not the cluster's own."""
    return [
        (taint["key"], taint["effect"])
        for taint in node["spec"].get("taints", ())
        if not taint["key"].startswith(SYSTEM_TAINTS)
    ]


def uids(pool) -> dict[str, str]:
    """The incarnation of each machine, as its Node tells."""
    nodes = pool.nodes()
    return {name: nodes[name]["status"]["nodeInfo"]["systemUUID"] for name in nodes}


def versions(pool) -> set[str]:
    return {node["status"]["nodeInfo"]["kubeletVersion"] for node in pool.nodes().values()}


class Service:
    """A deployment on a pool's nodes, one pod on a node at most, and its pods."""

    def __init__(self, pool, namespace, replicas):
        self._kube, self._pods = pool.world.kube, f"/api/v1/namespaces/{namespace}/pods"
        self.budgets = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
        self._path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        spread = {"topologyKey": "kubernetes.io/hostname"}
        spread["labelSelector"] = {"matchLabels": {"app": "web"}}
        apart = {"requiredDuringSchedulingIgnoredDuringExecution": [spread]}
        spec = {"nodeSelector": {"agentpool": pool.name}, "affinity": {"podAntiAffinity": apart}}
        self._kube.create(self._path, deployment("web", replicas, **spec))
        self._kube.until(lambda: len(self.ready()) == replicas)

    def allow(self, **limits):
        """A budget for it, once it counts."""
        self._kube.create(self.budgets, budget("web", "web", **limits))
        path = f"{self.budgets}/web"
        self._kube.until(lambda: self._kube.get(path).get("status", {}).get("expectedPods"))

    def widen(self, **limits):
        self._kube.patch(f"{self.budgets}/web", {"spec": limits})

    def ready(self) -> dict[str, str]:
        """The node of each ready pod."""
        pods = self._kube.items(self._pods, labelSelector="app=web")
        return {
            pod["metadata"]["uid"]: pod["spec"]["nodeName"]
            for pod in pods
            if is_ready(pod) and not pod["metadata"].get("deletionTimestamp")
        }


def components(world, nodes) -> dict[str, list[str]]:
    """On which of the nodes each component's pods run."""
    found = {}
    for name in COMPONENTS:
        pods = world.kube.items("/api/v1/pods", labelSelector=f"app.kubernetes.io/name={name}")
        on = [pod["spec"].get("nodeName") for pod in pods if pod["status"]["phase"] == "Running"]
        found[name] = sorted(node for node in on if node in nodes)
    return found


def test_a_managed_gpu_pool_is_made_and_deleted(pool, world):
    made = pool.put(
        count=2,
        vmSize=GPU,
        nodeLabels={"team": "one"},
        nodeTaints=["sku=gpu:NoSchedule"],
        gpuProfile={"nvidia": {"managementMode": "Managed"}},
    )["properties"]
    assert (made["provisioningState"], made["count"]) == ("Succeeded", 2)
    nodes = pool.nodes()
    assert pool.ready() == pool.machines() == sorted(nodes)
    for node in nodes.values():
        assert node["metadata"]["labels"]["team"] == "one"
        assert taints(node) == [("sku", "NoSchedule")]
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "1"
        assert not node["spec"].get("unschedulable")
    assert versions(pool) == {f"v{NEW}"}
    assert components(world, nodes) == dict.fromkeys(COMPONENTS, sorted(nodes))
    pool.delete()
    assert pool.name not in world.pools()
    assert pool.nodes() == {}
    pool.until(lambda: components(world, nodes) == {name: [] for name in COMPONENTS})
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    for name in nodes:
        world.kube.until_gone(f"{leases}/{name}")


def test_scaled_up_and_down(pool, namespace):
    pool.put(count=1)
    (first,) = pool.ready()
    pool.put(count=3)
    three = pool.ready()
    assert len(three) == 3
    assert first in three
    service = Service(pool, namespace, 2)
    pool.put(count=2)
    assert pool.ready() == pool.machines() == sorted(pool.nodes())
    assert set(pool.ready()) < set(three)
    pool.until(lambda: sorted(service.ready().values()) == pool.ready())


def test_an_upgrade_with_a_surge_keeps_the_capacity(pool, namespace, world):
    pool.put(count=2, orchestratorVersion=OLD, upgradeSettings={"maxSurge": "1"})
    assert versions(pool) == {f"v{OLD}"}
    before = uids(pool)
    service = Service(pool, namespace, 2)
    service.allow(minAvailable=1)
    pool.put(orchestratorVersion=NEW, wait=False)
    most, fewest = 0, 2
    while pool.state() not in {"Succeeded", "Failed"}:
        nodes = pool.nodes()
        most = max(most, len(nodes))
        fewest = min(fewest, len(service.ready()))
    shown = pool.show()
    assert (shown["provisioningState"], shown["currentOrchestratorVersion"]) == ("Succeeded", NEW)
    assert most == 3, "one more than before, and never two"
    assert fewest >= 1, "the budget held"
    after = uids(pool)
    assert len(after) == 2
    assert not set(after.values()) & set(before.values()), "every machine is another"
    assert versions(pool) == {f"v{NEW}"}
    assert pool.machines() == pool.ready() == sorted(after)
    assert not any(node["spec"].get("unschedulable") for node in pool.nodes().values())
    pool.until(lambda: sorted(service.ready().values()) == pool.ready())


def test_a_drain_waits_for_the_budget(pool, namespace):
    pool.put(count=1, orchestratorVersion=OLD, upgradeSettings={"maxSurge": "1"})
    (node,) = pool.ready()
    service = Service(pool, namespace, 1)
    (pod,) = service.ready()
    service.allow(maxUnavailable=0)
    pool.put(orchestratorVersion=NEW, wait=False)
    pool.until(lambda: pool.nodes()[node]["spec"].get("unschedulable"))
    pool.until(lambda: len(pool.ready()) == 2)
    end = time.monotonic() + 3  # a cordoned node is drained at once, if the budget lets it
    while time.monotonic() < end:
        assert list(service.ready()) == [pod], "nobody was evicted"
    assert pool.state() == "Upgrading"
    service.widen(maxUnavailable=1)
    assert pool.settled() == "Succeeded"
    pool.until(lambda: list(service.ready()) not in ([pod], []))
    assert versions(pool) == {f"v{NEW}"}


def test_a_node_image_upgrade(pool, world):
    old = {"creationData": {"sourceResourceId": world.snapshot}, "orchestratorVersion": OLD}
    pool.put(count=1, **old)
    assert pool.show()["nodeImageVersion"] == OLD_IMAGE
    (node,) = pool.nodes().values()
    assert node["metadata"]["labels"]["kubernetes.azure.com/node-image-version"] == OLD_IMAGE
    before = uids(pool)
    pool.post("upgradeNodeImageVersion")
    image = pool.show()["nodeImageVersion"]
    assert image != OLD_IMAGE
    (node,) = pool.nodes().values()
    assert node["metadata"]["labels"]["kubernetes.azure.com/node-image-version"] == image
    assert versions(pool) == {f"v{OLD}"}
    assert not set(uids(pool).values()) & set(before.values())


def test_chosen_machines_are_deleted(pool):
    pool.put(count=3)
    first, second, third = pool.machines()
    pool.post("deleteMachines", {"machineNames": [second]})
    assert pool.show()["count"] == 2
    assert pool.machines() == pool.ready() == sorted(pool.nodes()) == [first, third]


def test_aborted_in_the_middle(pool):
    pool.put(count=1)
    pool.put(count=3, wait=False)
    pool.post("abort")
    assert pool.state() == "Canceled"
    pool.put(count=2)
    assert pool.state() == "Succeeded"
    pool.until(lambda: pool.machines() == sorted(pool.nodes()))
    assert len(pool.ready()) == 2


def test_stopped_and_started(pool):
    pool.put(count=2)
    two = pool.ready()
    pool.put(powerState={"code": "Stopped"})
    assert pool.show()["powerState"] == {"code": "Stopped"}
    assert pool.ready() == []
    pool.put(powerState={"code": "Running"})
    assert pool.show()["powerState"] == {"code": "Running"}
    assert len(pool.ready()) == len(two)
    assert pool.machines() == pool.ready()


KILLS = {
    "when it is accepted": lambda pool: True,
    "when machines are made": lambda pool: pool.machines(),
    "when a node is there": lambda pool: pool.nodes(),
}


@pytest.mark.parametrize("moment", KILLS)
def test_killed_while_a_pool_is_made(pool, world, moment):
    pool.put(count=3, wait=False)
    pool.until(lambda: KILLS[moment](pool))
    world.restart()
    assert pool.settled() == "Succeeded"
    assert len(pool.ready()) == 3
    assert pool.machines() == sorted(pool.nodes())


def test_killed_while_a_pool_is_upgraded(pool, world):
    pool.put(count=2, orchestratorVersion=OLD, upgradeSettings={"maxSurge": "1"})
    pool.put(orchestratorVersion=NEW, wait=False)
    cordoned = lambda: any(n["spec"].get("unschedulable") for n in pool.nodes().values())  # noqa: E731
    pool.until(cordoned)
    world.restart()
    assert pool.settled() == "Succeeded"
    assert versions(pool) == {f"v{NEW}"}
    assert pool.machines() == pool.ready() == sorted(pool.nodes())
    assert len(pool.ready()) == 2
    assert not cordoned()


def test_killed_while_a_pool_is_deleted(pool, world):
    pool.put(count=2)
    pool._operate("DELETE", "", None, wait=False)
    world.restart()
    pool.until(lambda: pool.name not in world.pools())
    assert pool.nodes() == {}


def test_what_cannot_be(pool):
    with pytest.raises(CliError):
        pool.put(count=1, vmSize="Standard_None")
    assert pool.nodes() == {}
