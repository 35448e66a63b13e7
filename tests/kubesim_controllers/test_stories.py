"""The controllers together, on virtual time: what a user of the cluster would see."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from poolwright.kubesim.registry import Registry
from poolwright.model.kubernetes import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    LEASES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)

from .world import EXIT, KEY, RUN_SECONDS, play, template, workload

HASH = "controller-revision-hash"


def ready_pods(w, **labels):
    return [
        p
        for p in w.pods()
        if any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"]["conditions"])
        and labels.items() <= p["metadata"]["labels"].items()
    ]


def test_a_deployment_comes_up_rolls_over_and_goes():
    async def story(w):
        for index in range(3):
            await w.add_node(f"node{index}")
        await w.create(DEPLOYMENTS, workload("web", replicas=4))
        await w.settle()
        status = w.get(DEPLOYMENTS, "web")["status"]
        assert status["availableReplicas"] == status["updatedReplicas"] == 4
        assert {c["type"]: c["reason"] for c in status["conditions"]} == {
            "Available": "MinimumReplicasAvailable",
            "Progressing": "NewReplicaSetAvailable",
        }
        (first,) = w.registry.list(REPLICA_SETS, "default")
        assert f"Scaled up replica set {first.name} from 0 to 4" in w.events("ScalingReplicaSet")
        pod = w.pods()[0]
        assert pod["metadata"]["name"].startswith(f"{first.name}-")
        spread = [p["spec"]["nodeName"] for p in w.pods()]
        assert max(spread.count(n) for n in spread) == 2
        name = f"default/{pod['metadata']['name']}"
        assert f"Successfully assigned {name} to {pod['spec']['nodeName']}" in w.events("Scheduled")

        def change(body):
            body["spec"]["template"]["spec"]["containers"][0]["image"] = "registry/web:2"

        await w.registry.update(DEPLOYMENTS, "web", change, namespace="default")
        await w.settle(3)
        images = [p["spec"]["containers"][0]["image"] for p in w.pods()]
        assert images == ["registry/web:2"] * 4
        revision = "deployment.kubernetes.io/revision"
        assert w.get(DEPLOYMENTS, "web")["metadata"]["annotations"][revision] == "2"

        await w.registry.delete(DEPLOYMENTS, "web", namespace="default", propagation="Background")
        await w.settle(2)
        assert w.pods() == []
        assert list(w.registry.list(REPLICA_SETS, "default")) == []

    play(story)


def test_a_daemon_set_follows_nodes_and_rolls_one_by_one():
    async def story(w):
        await w.add_node("a", labels={"gpu": "yes"}, taints=[taint("sku", "gpu")])
        await w.add_node("b")
        tolerant = template(
            "plugin", nodeSelector={"gpu": "yes"}, tolerations=[{"operator": "Exists"}]
        )
        await w.create(DAEMON_SETS, workload("nvidia-device-plugin", app="plugin", pod=tolerant))
        await w.settle()
        assert [p["spec"]["nodeName"] for p in w.pods()] == ["a"]
        await w.add_node("c", labels={"gpu": "yes"})
        await w.settle()
        assert sorted(p["spec"]["nodeName"] for p in w.pods()) == ["a", "c"]
        status = w.get(DAEMON_SETS, "nvidia-device-plugin")["status"]
        assert status["desiredNumberScheduled"] == status["numberReady"] == 2
        assert status["updatedNumberScheduled"] == status["numberAvailable"] == 2
        name = w.pods()[0]["metadata"]["name"]
        stem, _, suffix = name.rpartition("-")
        assert (stem, len(suffix)) == ("nvidia-device-plugin", 5)

        def change(body):
            body["spec"]["template"]["spec"]["containers"][0]["image"] = "registry/plugin:2"

        await w.registry.update(DAEMON_SETS, "nvidia-device-plugin", change, namespace="default")
        await w.settle(3)
        assert {p["spec"]["containers"][0]["image"] for p in w.pods()} == {"registry/plugin:2"}
        status = w.get(DAEMON_SETS, "nvidia-device-plugin")["status"]
        assert status["updatedNumberScheduled"] == status["numberAvailable"] == 2

        revisions = [e.object() for e in w.registry.list(CONTROLLER_REVISIONS, "default")]
        hashes = {r["revision"]: r["metadata"]["labels"][HASH] for r in revisions}
        assert {p["metadata"]["labels"][HASH] for p in w.pods()} == {hashes[2]}
        assert sorted(hashes) == [1, 2]

        def unlabel(node):
            del node["metadata"]["labels"]["gpu"]

        await w.registry.update(NODES, "c", unlabel)
        await w.settle()
        assert [p["spec"]["nodeName"] for p in w.pods()] == ["a"]

    play(story)


def test_a_daemon_set_that_surges_has_one_new_pod_too_many_at_a_time():
    seen = []

    async def watch(w):
        async with w.registry.changes((PODS,)) as queue:
            while True:
                await queue.get()
                new = [p for p in w.pods() if is_new(p) and not is_available(w, p)]
                beside = {p["spec"]["nodeName"] for p in w.pods() if not is_new(p)}
                seen.append(sum(p["spec"].get("nodeName") in beside for p in new))

    def is_new(pod):
        return pod["spec"]["containers"][0]["image"] == "registry/plugin:2"

    def ready_since(pod):
        said = {c["type"]: c for c in pod.get("status", {}).get("conditions", ())}.get("Ready", {})
        is_ready = said.get("status") == "True"
        return datetime.fromisoformat(said["lastTransitionTime"]) if is_ready else None

    def is_available(w, pod):
        """As who reads the API counts it."""
        since = ready_since(pod)
        return since is not None and since + timedelta(seconds=10) <= w.clock.now().wall

    async def story(w):
        for name in "abcde":
            await w.add_node(name)
        await asyncio.sleep(0.7)  # conditions tell whole seconds: the rest of one is left out
        update = {"rollingUpdate": {"maxSurge": "20%", "maxUnavailable": 0}}
        plugin = {"updateStrategy": update, "minReadySeconds": 10}
        await w.create(DAEMON_SETS, workload("plugin", app="p", pod=template("p"), **plugin))
        await asyncio.sleep(5)
        available = max(map(ready_since, w.pods())) + timedelta(seconds=10, milliseconds=10)
        await asyncio.sleep((available - w.clock.now().wall).total_seconds())
        assert sum(is_available(w, p) for p in w.pods()) == 5

        def change(body):
            body["spec"]["template"]["spec"]["containers"][0]["image"] = "registry/plugin:2"

        await w.registry.update(DAEMON_SETS, "plugin", change, namespace="default")
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch(w))
            await w.settle(3)
            watching.cancel()
        assert len(w.pods()) == 5
        assert all(is_new(p) for p in w.pods())
        assert max(seen) == 1

    play(story, speed=1.0)


def test_a_daemon_sets_pod_that_always_fails_is_tried_less_and_less():
    async def story(w):
        await w.add_node("a")
        failing = template("p", annotations={RUN_SECONDS: "1", EXIT: "1"})
        await w.create(DAEMON_SETS, workload("plugin", app="p", pod=failing))
        await w.settle(1)
        assert 4 <= len(w.events("FailedDaemonPod")) <= 7
        assert [p["status"]["phase"] for p in w.pods()] == ["Failed"]

    play(story, speed=1.0)


def taint(key, value, effect="NoSchedule"):
    return {"key": key, "value": value, "effect": effect}


def test_a_gpu_pod_waits_with_kubernetes_words_until_its_node_comes():
    async def story(w):
        await w.add_node("cpu")
        await w.add_node("off", taints=[taint("sku", "gpu")], **{"nvidia.com/gpu": "1"})
        limits = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
        spec = template(container=limits)["spec"]
        await w.create(PODS, {"metadata": {"name": "mnist"}, "spec": spec})
        await w.settle()
        words = (
            "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had untolerated"
            " taint(s). no new claims to deallocate, preemption: 0/2 nodes are available:"
            " 2 Preemption is not helpful for scheduling."
        )
        assert w.events("FailedScheduling") == [words]
        (condition,) = [
            c for c in w.get(PODS, "mnist")["status"]["conditions"] if c["type"] == "PodScheduled"
        ]
        assert (condition["reason"], condition["message"]) == ("Unschedulable", words)
        await w.add_node("gpu", **{"nvidia.com/gpu": "1"})
        await w.settle()
        assert w.get(PODS, "mnist")["spec"]["nodeName"] == "gpu"

    play(story)


def test_a_job_completes_once_and_is_removed_after_its_time_to_live():
    async def story(w):
        await w.add_node("a")
        pod = template("job", annotations={RUN_SECONDS: "30"}, restartPolicy="Never")
        spec = {"template": pod, "completions": 3, "parallelism": 2, "ttlSecondsAfterFinished": 600}
        await w.create(JOBS, {"metadata": {"name": "train"}, "spec": spec})
        await w.settle(4)
        job = w.get(JOBS, "train")
        assert job["status"]["succeeded"] == 3
        conditions = [c["type"] for c in job["status"]["conditions"] if c["status"] == "True"]
        assert conditions == ["SuccessCriteriaMet", "Complete"]
        assert len(w.pods()) == 3
        assert w.events("Completed") == ["Job completed"]
        await w.settle(12)
        assert w.get(JOBS, "train") is None
        assert w.pods() == []

    play(story)


def test_a_job_that_is_deleted_holds_its_pods_no_longer():
    async def story(w):
        await w.add_node("a")
        pod = template("job", restartPolicy="Never")
        for name, propagation in (
            ("one", "Background"),
            ("two", "Orphan"),
            ("three", "Foreground"),
        ):
            spec = {"template": pod, "parallelism": 2, "completions": 2}
            await w.create(JOBS, {"metadata": {"name": name}, "spec": spec})
            await w.settle()
            assert all(p["metadata"]["finalizers"] for p in w.pods())
            await w.registry.delete(JOBS, name, namespace="default", propagation=propagation)
            await w.settle()
            assert w.get(JOBS, name) is None
            left = w.pods()
            assert len(left) == (2 if propagation == "Orphan" else 0)
            assert not any(p["metadata"].get("finalizers") for p in left)
            for each in left:
                await w.registry.delete(PODS, each["metadata"]["name"], namespace="default")
            await w.settle()

    play(story)


def test_a_failing_job_gives_up_at_its_backoff_limit():
    async def story(w):
        await w.add_node("a")
        pod = template("job", annotations={RUN_SECONDS: "5", EXIT: "1"}, restartPolicy="Never")
        spec = {"template": pod, "backoffLimit": 2}
        await w.create(JOBS, {"metadata": {"name": "train"}, "spec": spec})
        await w.settle(5)
        status = w.get(JOBS, "train")["status"]
        assert status["failed"] == 3
        assert [c["reason"] for c in status["conditions"]] == ["BackoffLimitExceeded"] * 2
        assert len(w.pods()) == 3

    play(story)


def test_a_silent_node_is_tainted_and_its_pods_move_after_five_minutes():
    async def story(w):
        await w.add_node("a")
        await w.create(DEPLOYMENTS, workload("web", replicas=1))
        await w.settle()
        await w.add_node("b")

        def die(lease):
            lease["metadata"].pop("annotations")

        await w.registry.update(LEASES, "a", die, namespace="kube-node-lease")
        await w.settle(2)
        node = w.get(NODES, "a", "")
        assert {(t["key"], t["effect"]) for t in node["spec"]["taints"]} == {
            ("node.kubernetes.io/unreachable", "NoSchedule"),
            ("node.kubernetes.io/unreachable", "NoExecute"),
        }
        ready = [c for c in node["status"]["conditions"] if c["type"] == "Ready"]
        assert ready[0]["reason"] == "NodeStatusUnknown"
        assert [p["spec"]["nodeName"] for p in w.pods()] == ["a"]
        await w.settle(5)
        assert [p["spec"]["nodeName"] for p in ready_pods(w)] == ["b"]
        assert w.events("TaintManagerEviction")

    play(story)


def test_cordon_taints_and_uncordon_lifts():
    async def story(w):
        await w.add_node("a")
        await w.settle()

        def cordon(node):
            node["spec"]["unschedulable"] = True

        def uncordon(node):
            node["spec"].pop("unschedulable", None)

        await w.registry.update(NODES, "a", cordon)
        await w.settle()
        assert (
            w.get(NODES, "a", "")["spec"]["taints"][0]["key"] == "node.kubernetes.io/unschedulable"
        )
        await w.registry.update(NODES, "a", uncordon)
        await w.settle()
        assert not w.get(NODES, "a", "")["spec"].get("taints")

    play(story)


def test_a_budget_counts_and_pods_of_a_gone_node_are_collected():
    async def story(w):
        await w.add_node("a")
        await w.add_node("b")
        await w.create(DEPLOYMENTS, workload("web", replicas=4))
        budget = {"minAvailable": "50%", "selector": {"matchLabels": {"app": "web"}}}
        await w.create(POD_DISRUPTION_BUDGETS, {"metadata": {"name": "web"}, "spec": budget})
        await w.settle()
        status = w.get(POD_DISRUPTION_BUDGETS, "web")["status"]
        counts = ("expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed")
        assert [status[n] for n in counts] == [4, 2, 4, 2]
        await w.registry.delete(NODES, "b")
        await w.settle(2)
        assert [p["spec"]["nodeName"] for p in ready_pods(w)] == ["a"] * 4

    play(story)


def test_system_pods_and_the_root_certificate_are_there():
    async def story(w):
        await w.add_node("a", labels={"kubernetes.azure.com/mode": "system"})
        await w.settle(2)
        pods = w.pods("kube-system")
        assert len(pods) == 7 + 5
        assert {p["status"]["phase"] for p in pods} == {"Running"}
        assert w.get(CONFIG_MAPS, "kube-root-ca.crt") is not None

    play(story, system_pods=True)


def test_orphaned_and_foreground_deletion():
    async def story(w):
        await w.add_node("a")
        await w.create(REPLICA_SETS, workload("kept", app="kept", pod=template("kept"), replicas=2))
        await w.create(REPLICA_SETS, workload("gone", app="gone", pod=template("gone"), replicas=2))
        await w.settle()
        await w.registry.delete(REPLICA_SETS, "kept", namespace="default", propagation="Orphan")
        await w.registry.delete(REPLICA_SETS, "gone", namespace="default", propagation="Foreground")
        await w.settle(2)
        assert list(w.registry.list(REPLICA_SETS, "default")) == []
        left = w.pods()
        assert [p["metadata"]["labels"]["app"] for p in left] == ["kept", "kept"]
        assert all("ownerReferences" not in p["metadata"] for p in left)

    play(story)


def test_an_owner_that_orphans_goes_once_nothing_is_its_own():
    async def story(w):
        owner = await w.create(CONFIG_MAPS, {"metadata": {"name": "owner"}})
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner"}
        reference["uid"] = owner["metadata"]["uid"]
        meta = {"name": "kept", "ownerReferences": [reference]}
        await w.create(CONFIG_MAPS, {"metadata": meta})
        await w.settle()
        await w.registry.delete(CONFIG_MAPS, "owner", namespace="default", propagation="Orphan")
        await w.settle(2)
        assert w.get(CONFIG_MAPS, "owner") is None
        assert "ownerReferences" not in w.get(CONFIG_MAPS, "kept")["metadata"]

    play(story)


def test_replicas_are_adopted_and_let_go():
    async def story(w):
        await w.add_node("a")
        bare = {"metadata": {"name": "bare", "labels": {"app": "web"}}, **pod_spec()}
        await w.create(PODS, bare)
        controller = workload("web", replicas=2)
        controller["spec"]["selector"] = {"app": "web"}
        await w.create(REPLICATION_CONTROLLERS, controller)
        await w.settle()
        assert len(w.pods()) == 2
        (owner,) = w.get(PODS, "bare")["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["controller"]) == ("ReplicationController", True)

        def relabel(pod):
            pod["metadata"]["labels"]["app"] = "other"

        await w.registry.update(PODS, "bare", relabel, namespace="default")
        await w.settle()
        assert len(w.pods()) == 3
        assert "ownerReferences" not in w.get(PODS, "bare")["metadata"]
        assert w.get(REPLICATION_CONTROLLERS, "web")["status"]["readyReplicas"] == 2

    play(story)


def test_a_stateful_set_comes_up_in_order_and_rolls_down():
    async def story(w):
        await w.add_node("a")
        await w.create(STATEFUL_SETS, workload("db", serviceName="db", replicas=2))
        await w.settle()
        assert [p["metadata"]["name"] for p in w.pods()] == ["db-0", "db-1"]
        assert w.events("SuccessfulCreate") == [
            "create Pod db-0 in StatefulSet db successful",
            "create Pod db-1 in StatefulSet db successful",
        ]

        def change(body):
            body["spec"]["template"]["spec"]["containers"][0]["image"] = "registry/web:2"

        await w.registry.update(STATEFUL_SETS, "db", change, namespace="default")
        await w.settle(2)
        assert {p["spec"]["containers"][0]["image"] for p in w.pods()} == {"registry/web:2"}
        status = w.get(STATEFUL_SETS, "db")["status"]
        assert status["currentRevision"] == status["updateRevision"]
        assert status["updatedReplicas"] == status["availableReplicas"] == 2
        assert len(w.registry.list(CONTROLLER_REVISIONS, "default")) == 2

    play(story)


def test_a_stateful_set_makes_the_claims_that_its_template_mounts():
    async def story(w):
        await w.add_node("a")
        db = workload("db", serviceName="db", replicas=1)
        mount = {"name": "data", "mountPath": "/data"}
        db["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [mount]
        asked = {"requests": {"storage": "1Gi"}}
        claim = {"accessModes": ["ReadWriteOnce"], "resources": asked}
        db["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": claim}]
        await w.create(STATEFUL_SETS, db)
        await w.settle()
        made = w.get(PERSISTENT_VOLUME_CLAIMS, "data-db-0")
        assert made["status"]["phase"] == "Pending"
        assert made["metadata"]["labels"] == db["spec"]["selector"]["matchLabels"]
        (pod,) = w.pods()
        (volume,) = (v for v in pod["spec"]["volumes"] if v["name"] == "data")
        assert volume["persistentVolumeClaim"] == {"claimName": "data-db-0"}
        words = "create Claim data-db-0 Pod db-0 in StatefulSet db success"
        assert words in w.events("SuccessfulCreate")

    play(story)


def test_a_critical_pod_takes_the_place_of_another():
    async def story(w):
        await w.add_node("a")
        await w.create(PODS, {"metadata": {"name": "low"}, **pod_spec(cpu="3")})
        await w.settle()
        vip = {"metadata": {"name": "vip"}, **pod_spec(cpu="3")}
        vip["spec"]["priorityClassName"] = "system-node-critical"
        await w.create(PODS, vip, "kube-system")
        await w.settle(2)
        found = w.get(PODS, "vip", "kube-system")
        assert found["spec"]["nodeName"] == "a"
        assert "nominatedNodeName" not in found["status"]
        assert w.get(PODS, "low") is None
        (told,) = w.events("Preempted")
        assert told == f"Preempted by pod {found['metadata']['uid']} on node a"

    play(story)


def pod_spec(cpu="100m"):
    container = {"name": "main", "image": "registry/web:1", "resources": {"requests": {"cpu": cpu}}}
    return {"spec": {"containers": [container]}}


def test_owners_in_a_circle_go_together():
    async def story(w):
        await w.add_node("a")
        made = [
            await w.create(PODS, {"metadata": {"name": f"pod{i}"}, **pod_spec()}) for i in range(3)
        ]
        for index, pod in enumerate(made):
            owner = made[index - 1]["metadata"]
            reference = {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": owner["name"],
                "uid": owner["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }

            def own(body, reference=reference):
                body["metadata"]["ownerReferences"] = [reference]

            await w.registry.update(PODS, pod["metadata"]["name"], own, namespace="default")
        await w.registry.delete(PODS, "pod0", namespace="default", propagation="Foreground")
        await w.settle(2)
        assert w.pods() == []

    play(story)


def test_controllers_start_over_when_changes_were_missed():
    async def story(w):
        await w.add_node("a")
        await w.create(DEPLOYMENTS, workload("web", replicas=2))
        await w.settle()
        other = await Registry.load(KEY, w.store, w.clock, w.identity)
        w.store.is_deaf = True
        await other.update(
            DEPLOYMENTS, "web", lambda d: d["spec"].update(replicas=3), namespace="default"
        )
        w.store.is_deaf = False
        await other.create(CONFIG_MAPS, {"metadata": {"name": "noise"}}, namespace="default")
        await w.settle()
        assert len(ready_pods(w)) == 3
        assert w.get(DEPLOYMENTS, "web")["status"]["availableReplicas"] == 3

    play(story)


def test_a_quiet_cluster_writes_nothing():
    async def story(w):
        await w.add_node("a")
        await w.create(DEPLOYMENTS, workload("web", replicas=3))
        await w.settle(20)
        before = w.registry.revision
        await w.clock.sleep(timedelta(hours=1))
        assert w.registry.revision == before

    play(story, system_pods=True)
