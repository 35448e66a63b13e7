"""Workloads: rolled out, rolled back, ordered, indexed."""

from __future__ import annotations

import pytest

from behaviour.manifests import IMAGE, deployment, template


@pytest.fixture
def pods(namespace):
    return f"/api/v1/namespaces/{namespace}/pods"


@pytest.fixture
def apps(namespace):
    return f"/apis/apps/v1/namespaces/{namespace}"


def status_of(world, path):
    return world.get(path).get("status", {})


def test_a_rollout_and_its_way_back(world, namespace, apps):
    path = f"{apps}/deployments/web"
    world.create(f"{apps}/deployments", deployment("web", 2))
    world.until(lambda: status_of(world, path).get("readyReplicas") == 2)
    world.patch(path, {"spec": {"template": {"metadata": {"annotations": {"v": "2"}}}}})
    said = world.kubectl("rollout status deployment/web --timeout=60s", namespace=namespace)
    assert said.out.splitlines()[-1] == 'deployment "web" successfully rolled out'
    sets = world.items(f"{apps}/replicasets")
    revisions = {
        item["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: item for item in sets
    }
    assert sorted(revisions) == ["1", "2"]
    assert revisions["1"]["spec"]["replicas"] == 0
    said = world.kubectl("rollout undo deployment/web", namespace=namespace)
    assert said.out == "deployment.apps/web rolled back\n"

    def back():
        found = world.items(f"{apps}/replicasets")
        return {
            item["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: item["spec"][
                "replicas"
            ]
            for item in found
        } == {"2": 0, "3": 2}

    world.until(back)


def test_a_paused_deployment_waits(world, apps):
    path = f"{apps}/deployments/web"
    body = deployment("web", 1)
    body["spec"]["paused"] = True
    world.create(f"{apps}/deployments", body)

    def paused():
        conditions = status_of(world, path).get("conditions", [])
        return [item["reason"] for item in conditions if item["type"] == "Progressing"]

    assert world.until(paused) == ["DeploymentPaused"]
    assert world.items(f"{apps}/replicasets") == []
    world.patch(path, {"spec": {"paused": False}})
    world.until(lambda: status_of(world, path).get("readyReplicas") == 1)


def test_scale_is_a_resource_of_its_own(world, apps):
    path = f"{apps}/deployments/web"
    world.create(f"{apps}/deployments", deployment("web", 1))
    scale = world.get(f"{path}/scale")
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["spec"] == {"replicas": 1}
    scale["spec"]["replicas"] = 3
    del scale["metadata"]["resourceVersion"]  # the controller writes at the same time
    assert world.replace(f"{path}/scale", scale)["spec"] == {"replicas": 3}
    world.until(lambda: status_of(world, path).get("readyReplicas") == 3)
    assert world.get(f"{path}/scale")["status"] == {"replicas": 3, "selector": "app=web"}


def test_a_stateful_set_goes_in_order(world, apps, pods):
    path = f"{apps}/statefulsets/db"
    body = {
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db",
            "replicas": 3,
            "selector": {"matchLabels": {"app": "db"}},
            "template": template("db"),
        },
    }
    world.create(f"{apps}/statefulsets", body)
    world.until(lambda: status_of(world, path).get("readyReplicas") == 3)
    found = {item["metadata"]["name"]: item for item in world.items(pods)}
    assert sorted(found) == ["db-0", "db-1", "db-2"]
    assert found["db-1"]["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "1"
    assert found["db-1"]["spec"]["hostname"] == "db-1"
    uid = found["db-1"]["metadata"]["uid"]
    world.delete(f"{pods}/db-1")

    def replaced():
        response = world.ask("GET", f"{pods}/db-1")
        return response.status_code == 200 and response.json()["metadata"]["uid"] != uid

    world.until(replaced)
    world.patch(path, {"spec": {"replicas": 1}})
    world.until(lambda: [item["metadata"]["name"] for item in world.items(pods)] == ["db-0"])


def test_a_daemon_set_is_on_every_node(world, apps, pods):
    path = f"{apps}/daemonsets/agent"
    body = {
        "metadata": {"name": "agent"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template("agent")},
    }
    world.create(f"{apps}/daemonsets", body)
    count = len(world.nodes())
    world.until(lambda: status_of(world, path).get("numberReady") == count)
    found = world.items(pods)
    assert sorted(item["spec"]["nodeName"] for item in found) == world.nodes()
    keys = {item["key"] for item in found[0]["spec"]["tolerations"]}
    assert "node.kubernetes.io/unschedulable" in keys
    world.patch(path, {"spec": {"template": {"metadata": {"annotations": {"v": "2"}}}}})

    def rolled():
        status = status_of(world, path)
        return status["observedGeneration"] == 2 and (
            status.get("updatedNumberScheduled") == status.get("numberAvailable") == count
        )

    world.until(rolled, 120)
    revisions = world.items(f"{apps}/controllerrevisions")
    assert sorted(item["revision"] for item in revisions) == [1, 2]


def test_an_indexed_job_completes(world, namespace, pods):
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    container = {"name": "c", "image": IMAGE, "command": ["true"]}
    body = {
        "metadata": {"name": "sums"},
        "spec": {
            "completions": 3,
            "parallelism": 2,
            "completionMode": "Indexed",
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }
    world.create(jobs, body)

    def done():
        conditions = status_of(world, f"{jobs}/sums").get("conditions", [])
        return "Complete" in [item["type"] for item in conditions if item["status"] == "True"]

    world.until(done)
    status = status_of(world, f"{jobs}/sums")
    assert (status["succeeded"], status["completedIndexes"]) == (3, "0-2")
    key = "batch.kubernetes.io/job-completion-index"
    indexes = [item["metadata"]["annotations"][key] for item in world.items(pods)]
    assert sorted(indexes) == ["0", "1", "2"]


def test_a_suspended_job_has_no_pods(world, namespace, pods):
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    container = {"name": "c", "image": IMAGE, "command": ["true"]}
    spec = {
        "suspend": True,
        "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
    }
    world.create(jobs, {"metadata": {"name": "later"}, "spec": spec})

    def suspended():
        conditions = status_of(world, f"{jobs}/later").get("conditions", [])
        return [item["type"] for item in conditions]

    assert world.until(suspended) == ["Suspended"]
    assert world.items(pods) == []
