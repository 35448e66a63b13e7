"""The product on a Kubernetes that it did not make: `poolwright up --kubeconfig`."""

from __future__ import annotations

import json

import pytest

from adopted import OURS, Kubectl, Served, essence, ready, up
from live_stack import live_tools
from waiting import until

pytestmark = pytest.mark.live

CLUSTER = ("-g", "rg1", "--cluster-name", "live")
FOREIGN = [
    {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "foreign", "labels": {"agentpool": "gpunp", "mine": "1"}},
        "spec": {"taints": [{"key": "mine", "effect": "NoSchedule"}]},
    },
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "mine", "namespace": "default"},
        "spec": {
            "nodeName": "node-0",
            "containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10"}],
        },
    },
]


@pytest.fixture
def cluster(shared_cluster):
    return shared_cluster


@pytest.fixture
def kubectl(cluster):
    return Kubectl(cluster.kubeconfig)


@pytest.fixture
def served(cluster, tmp_path):
    server = Served(cluster.kubeconfig, tmp_path / "data")
    yield server
    if server.process.poll() is None:
        errors = server.stop()
        assert "Traceback" not in errors


@pytest.fixture
def foreign(kubectl):
    """What others have there, as it is when one looks; gone after the test."""
    theirs = "\n---\n".join(map(json.dumps, FOREIGN))
    kubectl("create", "-f", "-", stdin=theirs)

    def seen():
        shown = [json.loads(kubectl("get", *w, "-o", "json", "--show-managed-fields"))
                 for w in (("node", "foreign"), ("pod", "mine"))]  # fmt: skip
        return [essence(thing) for thing in shown]

    yield seen
    kubectl("delete", "-f", "-", stdin=theirs)


def test_gpu_pool_on_a_cluster_that_somebody_else_made(served, cluster, kubectl, foreign, tmp_path):
    until(lambda: kubectl("get", "pod", "mine", "-o", "jsonpath={.status.phase}") == "Running")
    before = foreign()
    assert not any(seen[-1] for seen in before)

    shown = served("aks", "show", "-g", "rg1", "-n", "live")
    assert shown["provisioningState"] == "Succeeded"
    assert shown["kubernetesVersion"] == live_tools.kubernetes_version()

    served("feature", "register", "--namespace", "Microsoft.ContainerService", "-n",
           "ManagedGPUExperiencePreview")  # fmt: skip
    added = served(
        "aks", "nodepool", "add", *CLUSTER, "-n", "gpunp", "--node-count", "2",
        "--node-vm-size", "Standard_NC24ads_A100_v4", "--enable-managed-gpu",
        "--labels", "team=one", "--node-taints", "sku=gpu:NoSchedule",
    )  # fmt: skip
    assert (added["provisioningState"], added["count"]) == ("Succeeded", 2)
    nodes = kubectl.items(*OURS)
    assert len(ready(nodes)) == 2
    for node in nodes:
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "1"
        assert node["metadata"]["labels"]["team"] == "one"
        assert node["spec"]["providerID"].startswith("kwok://live/")
        taints = [(taint["key"], taint["effect"]) for taint in node["spec"]["taints"]]
        assert taints == [("sku", "NoSchedule")]
        kubectl("get", "lease", "-n", "kube-node-lease", node["metadata"]["name"])
    names = [node["metadata"]["name"] for node in nodes]
    for component in ("nvidia-device-plugin", "nvidia-dcgm-exporter"):
        pods = kubectl.items("pods", "-A", "-l", f"app.kubernetes.io/name={component}")
        assert sorted(pod["spec"]["nodeName"] for pod in pods) == names
        assert {pod["status"]["phase"] for pod in pods} == {"Running"}

    served("aks", "nodepool", "scale", *CLUSTER, "-n", "gpunp", "--node-count", "3")
    assert len(ready(kubectl.items(*OURS))) == 3

    served.stop()
    served.start()  # nodes outlive the server, and the next one knows them
    assert len(ready(kubectl.items(*OURS))) == 3
    cluster.restart()  # the API is away for a moment
    served("aks", "nodepool", "scale", *CLUSTER, "-n", "gpunp", "--node-count", "1")
    assert ready(kubectl.items(*OURS)) == names[:1]

    served("aks", "get-credentials", "-g", "rg1", "-n", "live", "-f", str(tmp_path / "theirs"))
    theirs = Kubectl(tmp_path / "theirs")
    assert names[0] in theirs("get", "nodes", "-o", "name")

    served("aks", "nodepool", "delete", *CLUSTER, "-n", "gpunp")
    assert kubectl.items(*OURS) == []
    until(lambda: kubectl.items("daemonsets", "-A") == [])
    assert foreign() == before


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("aks", "stop", "-g", "rg1", "-n", "live"), "was not made by this service"),
        (("aks", "create", "-g", "rg1", "-n", "two"), "and makes none"),
    ],
)
def test_what_is_refused(served, command, said):
    done = served.run(*command)
    assert done.returncode != 0
    assert said in done.stderr


def refusal(kubeconfig, folder, *words):
    """The one line that a server which cannot start says."""
    process = up(kubeconfig, folder, *words)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.count("\n") == 1, errors
    return errors


def test_speed_is_that_of_the_real_world(cluster, tmp_path):
    said = refusal(cluster.kubeconfig, tmp_path / "data", "--speed", "60")
    assert "world.speed: must be 1" in said


def with_user(cluster, tmp_path, user):
    document = json.loads(cluster.kubeconfig.read_text())
    document["users"][0]["user"] = user
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(document))
    return path


def test_a_user_whom_the_cluster_does_not_know(cluster, tmp_path):
    path = with_user(cluster, tmp_path, {"token": "nobody"})
    assert f"{cluster.endpoint}: Unauthorized" in refusal(path, tmp_path / "data")


def test_a_user_without_rights(cluster, tmp_path):
    cluster.authority.issue("guest", "guest")
    user = {
        "client-certificate": str(cluster.folder / "guest.crt"),
        "client-key": str(cluster.folder / "guest.key"),
    }
    said = refusal(with_user(cluster, tmp_path, user), tmp_path / "data")
    assert 'User "guest" cannot list resource "nodes"' in said
