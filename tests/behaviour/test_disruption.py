"""Nodes are emptied: budgets hold, evictions say why, tolerations run out."""

from __future__ import annotations

import pytest

from behaviour.manifests import budget, deployment, eviction, pod


@pytest.fixture
def pods(namespace):
    return f"/api/v1/namespaces/{namespace}/pods"


@pytest.fixture
def budgets(namespace):
    return f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"


def run(world, namespace, name, replicas, **spec):
    """A deployment whose pods are all ready."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    world.create(path, deployment(name, replicas, **spec))

    def ready():
        return world.get(f"{path}/{name}").get("status", {}).get("readyReplicas") == replicas

    world.until(ready)


def names(world, pods, app):
    found = world.items(pods, labelSelector=f"app={app}")
    return [item["metadata"]["name"] for item in found]


def test_a_budget_counts(world, namespace, budgets):
    run(world, namespace, "web", 3)
    world.create(budgets, budget("web", "web", minAvailable=2))

    def counted():
        status = world.get(f"{budgets}/web").get("status", {})
        return status.get("expectedPods") == 3 and status

    status = world.until(counted)
    assert status["disruptionsAllowed"] == 1
    assert (status["currentHealthy"], status["desiredHealthy"]) == (3, 2)
    (allowed,) = status["conditions"]
    assert (allowed["type"], allowed["status"]) == ("DisruptionAllowed", "True")
    assert allowed["reason"] == "SufficientPods"


def test_an_eviction_needs_the_budget(world, namespace, pods, budgets):
    run(world, namespace, "web", 1)
    world.create(budgets, budget("web", "web", minAvailable=1))
    world.until(lambda: world.get(f"{budgets}/web").get("status", {}).get("expectedPods") == 1)
    (name,) = names(world, pods, "web")
    answer = world.ask("POST", f"{pods}/{name}/eviction", eviction(name))
    status = world.refused(answer, 429, "TooManyRequests")
    assert status["message"] == (
        "Cannot evict pod as it would violate the pod's disruption budget."
    )
    assert status["details"]["causes"] == [
        {
            "reason": "DisruptionBudget",
            "message": "The disruption budget web needs 1 healthy pods and has 1 currently",
        }
    ]
    world.delete(f"{budgets}/web")
    assert world.create(f"{pods}/{name}/eviction", eviction(name))["status"] == "Success"
    world.until_gone(f"{pods}/{name}")


def test_a_percentage_is_rounded_up(world, namespace, budgets):
    run(world, namespace, "web", 3)
    world.create(budgets, budget("web", "web", maxUnavailable="50%"))

    def allowed():
        return world.get(f"{budgets}/web").get("status", {}).get("disruptionsAllowed")

    assert world.until(allowed) == 2


def test_an_eviction_of_what_is_not_there(world, pods):
    answer = world.ask("POST", f"{pods}/nobody/eviction", eviction("nobody"))
    assert world.refused(answer, 404, "NotFound")["message"] == 'pods "nobody" not found'


def test_a_drain_waits_for_the_budget(world, namespace, pods, budgets):
    node = world.nodes()[0]
    run(world, namespace, "web", 1, nodeSelector={"kubernetes.io/hostname": node})
    world.create(budgets, budget("web", "web", maxUnavailable=0))
    world.until(lambda: world.get(f"{budgets}/web").get("status", {}).get("expectedPods") == 1)
    (name,) = names(world, pods, "web")
    drain = f"drain {node} --ignore-daemonsets --delete-emptydir-data --pod-selector app=web"
    try:
        said = world.kubectl(drain, "--timeout=3s")
        assert said.code == 1
        assert f"node/{node} cordoned" in said.out
        assert f'error when evicting pods/"{name}" -n "{namespace}" (will retry after 5s): ' in (
            said.err
        )
        assert "global timeout reached: 3s" in said.err
        world.patch(f"{budgets}/web", {"spec": {"maxUnavailable": 1}})
        said = world.kubectl(drain, "--timeout=60s")
        assert said.code == 0, said.err
        assert f"node/{node} drained" in said.out
        assert name not in names(world, pods, "web")
    finally:
        world.kubectl("uncordon", node)


def test_a_taint_evicts_after_its_time(world, pods):
    node = world.nodes()[0]
    path = f"/api/v1/nodes/{node}"
    here = {"nodeName": node}
    toleration = {"key": "broken", "operator": "Exists", "effect": "NoExecute"}
    world.create(pods, pod("flees", **here))
    world.create(pods, pod("stays", **here, tolerations=[toleration]))
    patient = {**toleration, "tolerationSeconds": 4}
    world.create(pods, pod("lingers", **here, tolerations=[patient]))
    for name in ("flees", "stays", "lingers"):
        world.until(lambda name=name: world.get(f"{pods}/{name}")["status"]["phase"] == "Running")
    world.patch(path, {"spec": {"taints": [{"key": "broken", "effect": "NoExecute"}]}})
    try:
        world.until_gone(f"{pods}/flees")
        assert world.get(f"{pods}/lingers")["metadata"].get("deletionTimestamp") is None
        world.until_gone(f"{pods}/lingers")
        assert world.get(f"{pods}/stays")["status"]["phase"] == "Running"
    finally:
        world.patch(path, {"spec": {"taints": None}})
