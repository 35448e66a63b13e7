"""The chart installed on a real Kubernetes by the real helm; KWOK plays its pods.

KWOK starts nothing, so a server is started here with what the cluster has for its pods, as the
chart's account, and goes on when that account's token is renewed.
"""

from __future__ import annotations

import json

import pytest
import yaml

from absent import live_binaries
from adopted import Kubectl
from helm_chart import ACCOUNT, CHART, secret
from live_stack import COMPONENTS, LiveStack
from server_pods import SECRETS, Client, Pod
from waiting import until

pytestmark = [pytest.mark.live, pytest.mark.postgres]

LEAST = CHART / "ci/least.yaml"
NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": "poolwright",
        "labels": {
            "pod-security.kubernetes.io/enforce": "restricted",
            "pod-security.kubernetes.io/enforce-version": "latest",
        },
    },
}
SIMULATED = {"poolwright.dev/machine-provider": "kwok"}
MINE = ("-n", "poolwright")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    live_binaries(*COMPONENTS, "kubectl", "helm")
    stack = LiveStack(tmp_path_factory.mktemp("live"), nodes=3)
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def kubectl(cluster):
    return Kubectl(cluster.kubeconfig)


@pytest.fixture(scope="module")
def prepared(kubectl, store):
    """What the user makes before: a restricted namespace and two Secrets. One of the three nodes
    is a machine that is only simulated.
    """
    label = ",".join(f"{name}={value}" for name, value in SIMULATED.items())
    kubectl("label", "node", "node-1", label)
    kubectl("create", "-f", "-", stdin=json.dumps(NAMESPACE))
    for each in (
        secret("poolwright-store", url=store),
        *(secret(name, **texts) for name, texts in SECRETS.items()),
    ):
        kubectl(*MINE, "create", "-f", "-", stdin=json.dumps(each))


def test_install_upgrade_serve_and_uninstall(helm, kubectl, cluster, prepared, store, tmp_path):
    helm = helm.at(cluster.kubeconfig)
    words = ("pw", CHART, "-f", LEAST, *MINE, "--wait", "--timeout", "120s")
    more = ("--set", f"cluster.server={cluster.endpoint}", "--set", "replicaCount=3")
    helm("install", *words, *more)
    assert hooks(helm) == {"pw-migrate": "Succeeded"}
    pods = kubectl.items("pods", *MINE)
    assert len(pods) == 3
    assert {pod["spec"]["nodeName"] for pod in pods} == {"node-0", "node-2"}
    assert kubectl.items("jobs", *MINE) == []

    new = ("--set-json", "settings.cloud.delay_factor=0.02", "--set", "drainSeconds=1")
    before = {pod["metadata"]["uid"] for pod in pods}
    helm("upgrade", *words, *more, *new)
    assert hooks(helm) == {"pw-migrate": "Succeeded"}
    now = {pod["metadata"]["uid"] for pod in until(lambda: settled(kubectl, 3))}
    assert not now & before

    hook = list(yaml.safe_load_all(helm("get", "hooks", "pw", *MINE)))
    serve(kubectl, cluster, store, hook, tmp_path)

    helm("uninstall", "pw", *MINE, "--wait")
    kinds = "all,cm,sa,pdb,networkpolicy,role,rolebinding,clusterrole,clusterrolebinding"
    ours = (kinds, "-A", "-l", "app.kubernetes.io/instance=pw")
    until(lambda: not kubectl.items(*ours))


def settled(kubectl, count):
    pods = kubectl.items("pods", *MINE)
    return pods if len(pods) == count else None


def hooks(helm):
    status = json.loads(helm("status", "pw", *MINE, "-o", "json"))
    return {hook["name"]: hook["last_run"]["phase"] for hook in status["hooks"]}


def serve(kubectl, cluster, url, hook, folder):
    """Start what a pod would, as its account, and renew the account's token under it."""
    objects = [
        json.loads(kubectl("get", kind, "pw", *MINE, "-o", "json"))
        for kind in ("deployment", "configmap")
    ]
    secrets = {"poolwright-store": {"url": url}, **SECRETS}
    bodies = [pod["metadata"]["name"] for pod in kubectl.items("pods", *MINE)]

    def token(pod):
        bound = ("--bound-object-kind", "Pod", "--bound-object-name", pod)
        return kubectl("create", "token", "pw", *MINE, *bound).strip()

    account = {"ca.crt": cluster.authority.ca.read_text(), "token": token(bodies[0])}
    job = Pod(folder / "job", hook, "migrate", secrets, {})
    assert job.launch().end() == 0, job.log()
    pod = Pod(folder / "server", objects, "server", secrets, account).launch().ready()
    try:
        with Client(pod, pod.ca({})) as client:
            base = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/poolwright"
            base += "/providers/Microsoft.ContainerService/managedClusters/kubernetes"
            form = {"scope": "https://management.azure.com/.default"}
            login = client.token(**form).json()["access_token"]

            def add(name):
                body = {"properties": {"count": 1, "vmSize": "Standard_D2s_v5", "mode": "User"}}
                path = f"{base}/agentPools/{name}?api-version=2025-05-01"
                answer = client("PUT", path, login, json=body)
                assert answer.status_code == 201, answer.text

            def has_node(name):
                return kubectl.items("nodes", "-l", f"agentpool={name}")

            add("one")
            until(lambda: has_node("one"), 120)
            # kubelet writes a new token, and the old one is good no longer.
            (pod.here(ACCOUNT) / "token").write_text(token(bodies[1]))
            kubectl("delete", "pod", bodies[0], *MINE, "--grace-period=0", "--force")
            until(lambda: "no" in can_list_nodes(kubectl, cluster, account["token"]))
            add("two")
            until(lambda: has_node("two"), 120)
    finally:
        assert pod.stop() == 0, pod.log()
    assert "401" not in pod.log()


def can_list_nodes(kubectl, cluster, token):
    """yes, or no: because the token is not accepted any more."""
    said = kubectl(
        "--kubeconfig=/dev/null",
        f"--server={cluster.endpoint}",
        f"--certificate-authority={cluster.authority.ca}",
        f"--token={token}",
        *("auth", "can-i", "list", "nodes"),
        check=False,
    )
    return said or "no"
