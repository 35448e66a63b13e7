"""Deployments: what kubectl rollout and kubectl scale rely on."""

# pyright: basic, reportAttributeAccessIssue=false
from __future__ import annotations

import pytest

from poolwright.plan.kubernetes.deployment import plan_deployment

from .perfect import Cluster
from .test_workload import converge, deployment, step

REVISION = "deployment.kubernetes.io/revision"


def made(**spec):
    cluster = Cluster()
    cluster.add("Deployment", deployment(**spec))
    converge(cluster)
    return cluster


def change(cluster, image=None, **spec):
    (wire,) = cluster.of("Deployment")
    if image:
        spec["template"] = deployment(image)["spec"]["template"]
    wire["spec"].update(spec)
    wire["metadata"]["generation"] += 1


def sizes(cluster):
    return {
        s["spec"]["template"]["spec"]["containers"][0]["image"]: s["spec"]["replicas"]
        for s in cluster.of("ReplicaSet")
    }


def notes(cluster):
    return {
        s["spec"]["template"]["spec"]["containers"][0]["image"]: s["metadata"]["annotations"]
        for s in cluster.of("ReplicaSet")
    }


def test_going_back_gives_the_old_set_a_new_revision_and_remembers_the_old_one():
    cluster = made(replicas=1)
    (wire,) = cluster.of("Deployment")
    wire["metadata"].setdefault("annotations", {})["kubernetes.io/change-cause"] = "a new image"
    change(cluster, "web:2")
    converge(cluster)
    assert notes(cluster)["web:2"]["kubernetes.io/change-cause"] == "a new image"
    change(cluster, "web:1")
    converge(cluster)
    assert sizes(cluster) == {"web:1": 1, "web:2": 0}
    found = notes(cluster)
    assert {image: note[REVISION] for image, note in found.items()} == {"web:1": "3", "web:2": "2"}
    assert found["web:1"]["deployment.kubernetes.io/revision-history"] == "1"
    assert cluster.of("Deployment")[0]["metadata"]["annotations"][REVISION] == "3"


def test_a_paused_one_scales_but_does_not_roll():
    cluster = made(replicas=2)
    change(cluster, "web:2", paused=True)
    converge(cluster)
    assert sizes(cluster) == {"web:1": 2}
    change(cluster, replicas=4)
    converge(cluster)
    assert sizes(cluster) == {"web:1": 4}
    said = {c["type"]: c for c in cluster.of("Deployment")[0]["status"]["conditions"]}
    assert said["Progressing"]["reason"] == "DeploymentPaused"
    change(cluster, paused=False)
    converge(cluster)
    assert sizes(cluster) == {"web:1": 0, "web:2": 4}


@pytest.mark.parametrize(
    ("wanted", "old", "new"),
    # The example of the documentation ("Proportional scaling") and its way back.
    [(15, 11, 7), (5, 5, 3)],
)
def test_scaling_in_the_midst_of_a_rollout_keeps_the_proportions(wanted, old, new):
    cluster = made(
        replicas=10,
        strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}},
    )
    change(cluster, "web:missing")
    for _ in range(4):
        step(cluster)
        for pod in cluster.of("Pod"):
            up = pod["spec"]["containers"][0]["image"] == "web:1"
            pod["status"] = {
                "phase": "Running" if up else "Pending",
                "conditions": [{"type": "Ready", "status": str(up)}],
            }
    assert sizes(cluster) == {"web:1": 8, "web:missing": 5}
    change(cluster, replicas=wanted)
    (wire,) = cluster.of("Deployment")
    cluster.apply(plan_deployment(wire, cluster.of("ReplicaSet"), cluster.now))
    assert sizes(cluster) == {"web:1": old, "web:missing": new}


def test_recreate_waits_for_pods_that_are_leaving():
    cluster = made(replicas=1, strategy={"type": "Recreate"})
    change(cluster, "web:2")
    (wire,) = cluster.of("Deployment")
    cluster.apply(plan_deployment(wire, cluster.of("ReplicaSet"), cluster.now))
    (first,) = cluster.of("ReplicaSet")
    first["status"] = {"replicas": 0, "terminatingReplicas": 1}
    cluster.apply(plan_deployment(wire, [first], cluster.now))
    assert sizes(cluster) == {"web:1": 0}
    first["status"]["terminatingReplicas"] = 0
    cluster.apply(plan_deployment(wire, [first], cluster.now))
    assert sizes(cluster) == {"web:1": 0, "web:2": 1}


def test_what_keeps_the_set_from_making_pods_is_said():
    cluster = made(replicas=1)
    (replica_set,) = cluster.of("ReplicaSet")
    failure = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "exceeded quota",
    }
    replica_set["status"]["conditions"] = [failure]
    (wire,) = cluster.of("Deployment")
    cluster.apply(plan_deployment(wire, [replica_set], cluster.now))
    said = cluster.of("Deployment")[0]["status"]["conditions"]
    assert [c["message"] for c in said if c["type"] == "ReplicaFailure"] == ["exceeded quota"]
