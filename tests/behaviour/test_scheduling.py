"""Where pods go, and what they are told when there is no place."""

from __future__ import annotations

import pytest

from behaviour.manifests import IMAGE, deployment, pod


@pytest.fixture
def pods(namespace):
    return f"/api/v1/namespaces/{namespace}/pods"


@pytest.fixture
def tainted(world):
    """A node that refuses, and is itself again afterwards."""
    node = world.nodes()[0]
    path = f"/api/v1/nodes/{node}"
    taint = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
    world.patch(path, {"spec": {"taints": [taint]}})
    yield node
    world.patch(path, {"spec": {"taints": None}})


def condition(found, kind):
    conditions = found.get("status", {}).get("conditions", [])
    return next((item for item in conditions if item["type"] == kind), {})


def placed(world, path):
    return world.until(lambda: world.get(path)["spec"].get("nodeName"))


def refused(world, path):
    def message():
        found = condition(world.get(path), "PodScheduled")
        return found.get("reason") == "Unschedulable" and found["message"]

    return world.until(message)


def test_a_pod_runs(world, pods):
    world.create(pods, pod("one"))

    def running():
        found = world.get(f"{pods}/one")
        return found["status"].get("phase") == "Running" and found

    found = world.until(running)
    assert condition(found, "PodScheduled")["status"] == "True"
    assert condition(found, "Ready")["status"] == "True"
    assert found["status"]["qosClass"] == "Burstable"
    assert found["status"]["podIP"] == found["status"]["podIPs"][0]["ip"]
    assert found["status"]["containerStatuses"][0]["state"].keys() == {"running"}


def test_a_taint_keeps_pods_away(world, pods, tainted):
    here = {"nodeSelector": {"kubernetes.io/hostname": tainted}}
    world.create(pods, pod("barred", **here))
    others = len(world.nodes()) - 1
    message = refused(world, f"{pods}/barred")
    assert message.startswith(f"0/{others + 1} nodes are available: ")
    assert "1 node(s) had untolerated taint(s)" in message
    assert f"{others} node(s) didn't match Pod's node affinity/selector" in message
    toleration = {"key": "dedicated", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
    world.create(pods, pod("let-in", **here, tolerations=[toleration]))
    assert placed(world, f"{pods}/let-in") == tainted


def test_a_lifted_taint_lets_the_waiting_in(world, pods, tainted):
    world.create(pods, pod("waiting", nodeSelector={"kubernetes.io/hostname": tainted}))
    refused(world, f"{pods}/waiting")
    world.patch(f"/api/v1/nodes/{tainted}", {"spec": {"taints": None}})
    assert placed(world, f"{pods}/waiting") == tainted


def test_too_much_is_said_by_resource(world, pods):
    container = {"name": "c", "image": IMAGE, "resources": {"requests": {"cpu": "1000"}}}
    world.create(pods, pod("huge", containers=[container]))
    count = len(world.nodes())
    assert refused(world, f"{pods}/huge").startswith(
        f"0/{count} nodes are available: {count} Insufficient cpu."
    )


def test_an_unknown_resource_is_insufficient(world, pods):
    limits = {"example.com/fpga": "1"}
    container = {"name": "c", "image": IMAGE, "resources": {"limits": limits}}
    world.create(pods, pod("special", containers=[container]))
    count = len(world.nodes())
    assert f"{count} Insufficient example.com/fpga." in refused(world, f"{pods}/special")


def test_replicas_that_avoid_each_other(world, namespace, pods):
    term = {
        "labelSelector": {"matchLabels": {"app": "apart"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    count = len(world.nodes())
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    world.create(path, deployment("apart", count + 1, affinity=affinity))

    def homes():
        found = [item["spec"].get("nodeName") for item in world.items(pods)]
        return len(found) == count + 1 and found.count(None) == 1 and found

    assert len(set(world.until(homes))) == count + 1
    left = [item for item in world.items(pods) if not item["spec"].get("nodeName")]
    message = refused(world, f"{pods}/{left[0]['metadata']['name']}")
    assert f"{count} node(s) didn't match pod anti-affinity rules" in message


def test_replicas_spread(world, namespace, pods):
    constraint = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "even"}},
    }
    count = 2 * len(world.nodes())
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    world.create(path, deployment("even", count, topologySpreadConstraints=[constraint]))

    def homes():
        found = [item["spec"].get("nodeName") for item in world.items(pods)]
        return len(found) == count and all(found) and found

    found = world.until(homes)
    assert sorted(map(found.count, set(found))) == [2] * len(world.nodes())


def test_a_gate_holds_a_pod_back(world, pods):
    world.create(pods, pod("gated", schedulingGates=[{"name": "example.com/wait"}]))

    def waits():
        return condition(world.get(f"{pods}/gated"), "PodScheduled").get("reason")

    assert world.until(waits) == "SchedulingGated"
    world.patch(f"{pods}/gated", {"spec": {"schedulingGates": None}})
    assert placed(world, f"{pods}/gated")


def test_an_important_pod_takes_a_place(world, pods, namespace):
    name = f"{namespace}-high"
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    world.create(classes, {"metadata": {"name": name}, "value": 1000})
    node = world.nodes()[0]
    here = {"nodeSelector": {"kubernetes.io/hostname": node}}
    free = {"name": "c", "image": IMAGE, "resources": {"requests": {"cpu": "20"}}}
    world.create(pods, pod("low", containers=[free], **here))
    world.until(lambda: world.get(f"{pods}/low")["status"].get("phase") == "Running")
    world.create(pods, pod("high", containers=[free], priorityClassName=name, **here))
    assert placed(world, f"{pods}/high") == node
    world.until_gone(f"{pods}/low")
    world.delete(f"{classes}/{name}")


def test_a_node_is_cordoned(world, pods):
    node = world.nodes()[0]
    try:
        assert world.kubectl("cordon", node).out == f"node/{node} cordoned\n"
        taints = world.until(lambda: world.get(f"/api/v1/nodes/{node}")["spec"].get("taints"))
        assert [item["key"] for item in taints] == ["node.kubernetes.io/unschedulable"]
        world.create(pods, pod("late", nodeSelector={"kubernetes.io/hostname": node}))
        assert "1 node(s) were unschedulable" in refused(world, f"{pods}/late")
    finally:
        world.kubectl("uncordon", node)
    assert placed(world, f"{pods}/late") == node


def test_a_pod_waits_for_its_volume(world, pods, namespace):
    name = f"story-{namespace}"
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "storageClassName": name,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    volume = {
        "metadata": {"name": name},
        "spec": {
            "storageClassName": name,
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "2Gi"},
            "hostPath": {"path": "/tmp/story"},
        },
    }
    data = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    world.create(pods, pod("waits", volumes=[data]))
    words = 'are available: persistentvolumeclaim "data" not found. not found'
    assert refused(world, f"{pods}/waits").endswith(words)
    claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    world.create(claims, claim)
    words = "are available: pod has unbound immediate PersistentVolumeClaims. not found"
    world.until(lambda: refused(world, f"{pods}/waits").endswith(words))
    world.create("/api/v1/persistentvolumes", volume)
    try:
        assert placed(world, f"{pods}/waits")
        found = world.get(f"{claims}/data")
        assert found["spec"]["volumeName"] == name
        assert found["status"] == {
            "phase": "Bound",
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "2Gi"},
        }
        kept = world.get(f"/api/v1/persistentvolumes/{name}")
        assert kept["status"]["phase"] == "Bound"
        assert kept["spec"]["claimRef"]["name"] == "data"
    finally:
        world.delete(f"/api/v1/persistentvolumes/{name}")


def test_devices_are_claimed_by_template(world, pods, namespace):
    claimed = [{"name": "gpu", "resourceClaimTemplateName": "one"}]
    world.create(pods, pod("wants", resourceClaims=claimed))
    request = {"name": "r", "exactly": {"deviceClassName": f"story-{namespace}"}}
    template = {"metadata": {"name": "one"}, "spec": {"spec": {"devices": {"requests": [request]}}}}
    groups = f"/apis/resource.k8s.io/v1/namespaces/{namespace}"
    world.create(f"{groups}/resourceclaimtemplates", template)
    (made,) = world.until(lambda: world.get(f"{groups}/resourceclaims")["items"])
    assert made["metadata"]["generateName"] == "wants-gpu-"
    assert made["metadata"]["annotations"] == {"resource.kubernetes.io/pod-claim-name": "gpu"}
    assert made["metadata"]["ownerReferences"][0]["name"] == "wants"
    told = world.until(lambda: world.get(f"{pods}/wants")["status"].get("resourceClaimStatuses"))
    assert told == [{"name": "gpu", "resourceClaimName": made["metadata"]["name"]}]
    assert "nodeName" not in world.get(f"{pods}/wants")["spec"]
