"""Workload planners: they converge under a perfect executor, and then want nothing more."""

# pyright: basic, reportAttributeAccessIssue=false
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.action import DeleteObject, merged
from poolwright.plan.kubernetes.budget import plan_budget
from poolwright.plan.kubernetes.deployment import plan_deployment
from poolwright.plan.kubernetes.job import FINALIZER, plan_job
from poolwright.plan.kubernetes.job_count import JobPod
from poolwright.plan.kubernetes.replica_set import (
    leaving_first,
    plan_replica_set,
    plan_replica_status,
)

from .perfect import Cluster


def deployment(image="web:1", **spec):
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"image": image}]}}
    return {
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def step(cluster):
    """One round of both controllers; whether anything was wanted."""
    (wire,) = cluster.of("Deployment")
    plan = plan_deployment(wire, cluster.of("ReplicaSet"), cluster.now)
    cluster.apply(plan)
    wanted = bool(plan.actions)
    for replica_set in cluster.of("ReplicaSet"):
        uid = replica_set["metadata"]["uid"]
        pods = [p for p in cluster.pods() if p.controller and p.controller.uid == uid]
        plan = plan_replica_set(replica_set, pods, {}, cluster.now)
        cluster.apply(plan)
        wanted = wanted or bool(plan.actions)
    return wanted


def converge(cluster, check=lambda: None):
    for _ in range(200):
        wanted = step(cluster)
        check()
        cluster.run_pods()
        if not wanted and not step(cluster):
            return
    raise AssertionError("it never comes to rest")


strategies = st.one_of(
    st.just({"type": "Recreate"}),
    st.tuples(st.sampled_from([0, 1, 3, "25%", "100%"]), st.sampled_from([0, 1, 2, "25%"])).map(
        lambda s: {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": s[0], "maxUnavailable": s[1]},
        }
    ),
)


@given(st.integers(0, 7), st.integers(0, 7), strategies)
@settings(max_examples=150, deadline=None)
def test_a_rollout_converges_within_its_bounds(before, after, strategy):
    cluster = Cluster()
    cluster.add("Deployment", deployment(replicas=before, strategy=strategy))
    converge(cluster)
    assert len(cluster.pods()) == before
    wire = cluster.objects["Deployment", "web"]
    wire["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"
    wire["spec"]["replicas"] = after
    rolling = strategy.get("rollingUpdate")

    def within_bounds():
        surge = rolling["maxSurge"]
        surge = surge if isinstance(surge, int) else -(-int(surge[:-1]) * after // 100)
        assert len(cluster.pods()) <= max(before, after) + max(surge, 0)
        low = rolling["maxUnavailable"]
        low = low if isinstance(low, int) else int(low[:-1]) * after // 100
        ready = sum(p.is_ready for p in cluster.pods())
        assert ready >= min(before, after - max(low, 1 if not surge else low))

    converge(cluster, within_bounds if rolling and before == after else lambda: None)
    images = [p["spec"]["containers"][0]["image"] for p in cluster.of("Pod")]
    assert images == ["web:2"] * after
    note = cluster.objects["Deployment", "web"]["metadata"]["annotations"]
    assert note["deployment.kubernetes.io/revision"] == "2"


def test_a_rollback_takes_the_old_set_again():
    cluster = Cluster()
    cluster.add("Deployment", deployment(replicas=2))
    converge(cluster)
    (first,) = [s["metadata"]["name"] for s in cluster.of("ReplicaSet")]
    for image in ("web:2", "web:1"):
        spec = cluster.objects["Deployment", "web"]["spec"]
        spec["template"]["spec"]["containers"][0]["image"] = image
        converge(cluster)
    sizes = {s["metadata"]["name"]: s["spec"]["replicas"] for s in cluster.of("ReplicaSet")}
    assert (sizes[first], len(sizes)) == (2, 2)
    notes = cluster.objects["Deployment", "web"]["metadata"]["annotations"]
    assert notes["deployment.kubernetes.io/revision"] == "3"


def test_a_stuck_rollout_is_called_so_after_its_deadline():
    cluster = Cluster()
    cluster.add("Deployment", deployment(replicas=1, progressDeadlineSeconds=60))
    step(cluster)
    wire = cluster.objects["Deployment", "web"]
    started = cluster.now.world
    plan = plan_deployment(wire, cluster.of("ReplicaSet"), cluster.now, started)
    assert plan.wake_at is not None
    assert plan.wake_at.since(started).total_seconds() == 60
    cluster.micros += 61_000_000
    cluster.apply(plan_deployment(wire, cluster.of("ReplicaSet"), cluster.now, started))
    conditions = cluster.objects["Deployment", "web"]["status"]["conditions"]
    assert "ProgressDeadlineExceeded" in [c["reason"] for c in conditions]


def test_scale_down_takes_the_least_useful_pods_first():
    def pod(name, **changes):
        given = {"phase": "Running", "is_ready": True, "node_name": "n", **changes}
        return Pod("default", name, name, "1", **given)

    cost = {"controller.kubernetes.io/pod-deletion-cost": "-5"}
    pods = [
        pod("settled", created="1"),
        pod("newest", created="9"),
        pod("cheap", annotations=cost),
        pod("unready", is_ready=False),
        pod("pending", phase="Pending", is_ready=False),
        pod("unassigned", phase="Pending", is_ready=False, node_name=""),
    ]
    order = [p.name for p in leaving_first(pods)]
    assert order == ["unassigned", "pending", "unready", "cheap", "newest", "settled"]


def test_a_refusal_is_told_once_however_often_it_is_tried():
    cluster = Cluster()
    wire = {
        "metadata": {"name": "r", "namespace": "ns", "uid": "u", "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {}},
    }
    for attempt in ("r-abc12 is refused", "r-xyz89 is refused"):
        failure = ("FailedCreate", attempt)
        for action in plan_replica_status(wire, [], {}, cluster.now, failure=failure).actions:
            wire = {**wire, "status": merged(wire.get("status"), action.patch["status"])}
        (told,) = wire["status"]["conditions"]
        assert told["message"] == "r-abc12 is refused"
    (last,) = plan_replica_status(wire, [], {}, cluster.now).actions
    assert last.patch == {"status": {"conditions": None}}


def job(**spec):
    template = {"metadata": {}, "spec": {"containers": [{}], "restartPolicy": "Never"}}
    return {"metadata": {"name": "train"}, "spec": {"template": template, **spec}}


def step_job(cluster):
    (wire,) = cluster.of("Job")
    pods = [
        JobPod(p, FINALIZER in p.finalizers, cluster.now.world if p.is_finished else None)
        for p in cluster.pods()
    ]
    plan = plan_job(wire, pods, cluster.now)
    cluster.apply(plan)
    return plan


@given(
    st.integers(1, 6), st.integers(1, 4), st.booleans(),
    st.lists(st.sampled_from(["Running", "Succeeded"]), max_size=12),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_a_job_counts_every_success_once(completions, parallelism, indexed, phases):
    cluster = Cluster()
    mode = {"completionMode": "Indexed"} if indexed else {}
    cluster.add("Job", job(completions=completions, parallelism=parallelism, **mode))
    for phase in [*phases, *["Succeeded"] * 40]:
        step_job(cluster)
        running = [p for p in cluster.pods() if not p.is_finished]
        assert len(running) <= parallelism
        for pod in running:
            cluster.objects["Pod", pod.name]["status"] = {"phase": phase}
    status = cluster.objects["Job", "train"]["status"]
    assert status["succeeded"] == completions
    assert [c["type"] for c in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert len(cluster.pods()) == completions
    assert not any(p.finalizers for p in cluster.pods())
    if indexed:
        expected = {1: "0", 2: "0,1"}.get(completions, f"0-{completions - 1}")
        assert status["completedIndexes"] == expected
    assert step_job(cluster).actions == ()


def test_failures_back_off_and_end_the_job():
    cluster = Cluster()
    cluster.add("Job", job(backoffLimit=1))
    step_job(cluster)
    cluster.run_pods(phase="Failed")
    plan = step_job(cluster)
    step_job(cluster)
    plan = step_job(cluster)
    assert plan.wake_at is not None
    assert plan.wake_at.since(cluster.now.world).total_seconds() == 10
    assert len(cluster.pods()) == 1


def test_a_deadline_ends_a_job():
    cluster = Cluster()
    cluster.add("Job", job(activeDeadlineSeconds=60))
    step_job(cluster)
    cluster.run_pods()
    assert step_job(cluster).wake_at is not None
    cluster.micros += 61_000_000
    plan = step_job(cluster)
    assert [a.target.resource.kind for a in plan.actions if isinstance(a, DeleteObject)] == ["Pod"]
    conditions = cluster.objects["Job", "train"]["status"]["conditions"]
    assert [(c["type"], c["reason"]) for c in conditions] == [("FailureTarget", "DeadlineExceeded")]
    step_job(cluster)
    conditions = cluster.objects["Job", "train"]["status"]["conditions"]
    assert [c["type"] for c in conditions] == ["FailureTarget", "Failed"]


def test_a_suspended_job_runs_nothing_until_resumed():
    cluster = Cluster()
    cluster.add("Job", job(suspend=True))
    step_job(cluster)
    assert cluster.pods() == []
    cluster.objects["Job", "train"]["spec"]["suspend"] = False
    step_job(cluster)
    assert len(cluster.pods()) == 1
    assert ("Resumed", "Job resumed") in cluster.events


@pytest.mark.parametrize(
    ("rule", "expected", "desired", "allowed"),
    [
        ({"minAvailable": 2}, 3, 2, 1),
        ({"minAvailable": "50%"}, 4, 2, 1),
        ({"maxUnavailable": 1}, 4, 3, 0),
        ({"maxUnavailable": "50%"}, 4, 2, 1),
        ({"minAvailable": 5}, 3, 5, 0),
    ],
)
def test_budgets(rule, expected, desired, allowed):
    owner = {"kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": True}
    labels = {"app": "web"}
    pods = [
        Pod.from_object(
            {
                "metadata": {
                    "name": f"p{i}", "namespace": "default", "uid": f"u{i}", "labels": labels,
                    "ownerReferences": [owner],
                },
                "spec": {},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            }
        )
        for i in range(3)
    ]  # fmt: skip
    cluster = Cluster()
    wire = cluster.add(
        "PDB", {"metadata": {"name": "b"}, "spec": {**rule, "selector": {"matchLabels": labels}}}
    )
    (action,) = plan_budget(wire, pods, {"rs": 4}, cluster.now).actions
    status = action.patch["status"]
    found = [
        status[n]
        for n in ("expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed")
    ]
    assert found == [expected, desired, 3, allowed]
    wire["status"] = {**status, "disruptedPods": {"p0": "2999-01-01T00:00:00Z"}}
    again = plan_budget(wire, pods, {"rs": 4}, cluster.now)
    assert again.actions[0].patch["status"]["currentHealthy"] == 2


def test_a_budget_that_cannot_know_how_many_pods_there_should_be_lets_none_go():
    owner = {"kind": "DaemonSet", "name": "d", "uid": "ds", "controller": True}
    meta = {"name": "p0", "namespace": "default", "uid": "u0", "ownerReferences": [owner]}
    pods = [Pod.from_object({"metadata": {**meta, "labels": {"app": "d"}}, "spec": {}})]
    cluster = Cluster()
    selector = {"matchLabels": {"app": "d"}}
    spec = {"maxUnavailable": 1, "selector": selector}
    wire = cluster.add("PDB", {"metadata": {"name": "b"}, "spec": spec})
    patched, told = plan_budget(wire, pods, {}, cluster.now).actions
    (said,) = patched.patch["status"]["conditions"]
    assert patched.patch["status"]["disruptionsAllowed"] == 0
    assert (said["reason"], said["message"]) == (
        "SyncFailed",
        'found no controllers for pod "p0"',
    )
    assert told.reason == "CalculateExpectedPodCountFailed"
    wire["status"] = patched.patch["status"]
    assert plan_budget(wire, pods, {}, cluster.now).actions == ()
