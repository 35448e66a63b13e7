"""The product as a guest on somebody else's Kubernetes: with the rights of deploy/kubernetes and no
more, and without touching what is not its own.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml

from adopted import OURS, Kubectl, Served, essence, ready
from waiting import until

pytestmark = [pytest.mark.live, pytest.mark.slow]

ACCESS = Path(__file__).parents[2] / "deploy/kubernetes/access.yaml"
CLUSTER = ("-g", "rg1", "--cluster-name", "live")
LABELS = {"app": "mine"}
CONTAINER = {"name": "c", "image": "registry.k8s.io/pause:3.10"}
FOREIGN = [
    {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": "theirs",
            # As if it were of the pool; nobody speaks for it, and no machine has its name.
            "labels": {"kubernetes.azure.com/agentpool": "apool", "agentpool": "apool"},
        },
        "spec": {"taints": [{"key": "mine", "effect": "NoSchedule"}]},
    },
    {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "mine", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {"containers": [CONTAINER], "tolerations": [{"operator": "Exists"}]},
            },
        },
    },
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cluster-autoscaler-priority-expander", "namespace": "kube-system"},
        "data": {"priorities": "10:\n- .*\n"},
    },
]
WEB = {"app": "web"}
WORKLOAD = [
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": WEB},
            "template": {
                "metadata": {"labels": WEB},
                "spec": {
                    "containers": [{**CONTAINER, "resources": {"requests": {"cpu": "1"}}}],
                    "nodeSelector": {"agentpool": "apool", "lent": "yes"},
                    "tolerations": [{"key": "lent", "operator": "Exists"}],
                },
            },
        },
    },
    {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": WEB}},
    },
]


class Life:
    """What was seen while pools lived and died."""

    def __init__(self):
        self.foreign = []
        self.nodes = {}
        self.idle = []
        self.audit = []


def apply(kubectl, *objects):
    kubectl("create", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))


def foreign(kubectl):
    names = [("node", "theirs"), ("daemonset", "mine"), ("node", "node-0")]
    shown = [kubectl("get", *name, "-o", "json", "--show-managed-fields") for name in names]
    return [essence(json.loads(text)) for text in shown]


def login(stack, kubectl, folder):
    """As the guide says: the account's token in a kubeconfig."""
    kubectl("apply", "-f", str(ACCESS))
    document = json.loads(stack.kubeconfig.read_text())
    token = kubectl("create", "token", "poolwright", "-n", "poolwright", "--duration", "1h")
    document["users"][0]["user"] = {"token": token.strip()}
    path = folder / "kubeconfig"
    path.write_text(json.dumps(document))
    return path


def lend(kubectl, names):
    """Somebody labels and taints our nodes."""
    kubectl("label", "node", *names, "lent=yes")
    kubectl("taint", "node", *names, "lent=yes:NoSchedule")


def heard(audit, seconds):
    """What is asked for in so many seconds."""
    before = len(audit())
    time.sleep(seconds)
    return audit()[before:]


def live(served, kubectl, life, audit):
    """Create, scale, change, drain behind a budget, upgrade, grow by need, and delete."""
    served("feature", "register", "--namespace", "Microsoft.ContainerService", "-n",
           "ManagedGPUExperiencePreview")  # fmt: skip
    served("aks", "nodepool", "add", *CLUSTER, "-n", "apool", "--node-count", "2",
           "--node-vm-size", "Standard_D4s_v5", "--kubernetes-version", "1.35.4",
           "--labels", "team=one")  # fmt: skip
    names = ready(kubectl.items(*OURS))
    lend(kubectl, names)
    apply(kubectl, *WORKLOAD)
    kubectl("rollout", "status", "deployment", "web", "--timeout=30s")

    served("aks", "nodepool", "scale", *CLUSTER, "-n", "apool", "--node-count", "3")
    served("aks", "nodepool", "update", *CLUSTER, "-n", "apool", "--labels", "team=two",
           "--node-taints", "ours=x:PreferNoSchedule")  # fmt: skip
    life.nodes = {node["metadata"]["name"]: node for node in kubectl.items(*OURS)}
    fresh = [name for name in life.nodes if name not in names]
    lend(kubectl, fresh)

    until(lambda: not heard(audit, 1))
    life.idle = heard(audit, 4)

    # The new nodes come without the loan: pods would have nowhere to go.
    kubectl("patch", "deployment", "web", "--type=json", "-p",
            '[{"op": "remove", "path": "/spec/template/spec/nodeSelector/lent"}]')  # fmt: skip
    kubectl("rollout", "status", "deployment", "web", "--timeout=30s")
    served("aks", "nodepool", "upgrade", *CLUSTER, "-n", "apool", "-k", "1.36.3", "-y",
           "--max-surge", "3")  # fmt: skip
    versions = {n["status"]["nodeInfo"]["kubeletVersion"] for n in kubectl.items(*OURS)}
    assert versions == {"v1.36.3"}

    served("aks", "update", "-g", "rg1", "-n", "live", "--ca-profile", "expander=priority")
    served("aks", "nodepool", "update", *CLUSTER, "-n", "apool", "-e", "--min-count", "3",
           "--max-count", "5")  # fmt: skip
    kubectl("scale", "deployment", "web", "--replicas=14")
    until(lambda: len(ready(kubectl.items(*OURS))) > 3)
    kubectl("delete", "deployment", "web")

    served("aks", "nodepool", "add", *CLUSTER, "-n", "gpunp", "--node-count", "1",
           "--node-vm-size", "Standard_NC24ads_A100_v4", "--enable-managed-gpu")  # fmt: skip
    for pool in ("gpunp", "apool"):
        served("aks", "nodepool", "delete", *CLUSTER, "-n", pool)
    assert kubectl.items(*OURS) == []
    until(lambda: [d["metadata"]["name"] for d in kubectl.items("daemonsets", "-A")] == ["mine"])
    served("aks", "delete", "-g", "rg1", "-n", "live", "-y")  # and gives the cluster up


@pytest.fixture(scope="module")
def life(shared_cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("citizen")
    kubectl = Kubectl(shared_cluster.kubeconfig)
    apply(kubectl, *FOREIGN)
    seen = Life()
    seen.foreign.append(foreign(kubectl))
    server = Served(login(shared_cluster, kubectl, folder), folder / "data")
    try:
        live(server, kubectl, seen, shared_cluster.audit)
        assert "Traceback" not in server.stop()
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()
    seen.foreign.append(foreign(kubectl))
    seen.audit = shared_cluster.audit()
    kubectl("delete", "-f", "-", stdin="\n---\n".join(map(json.dumps, FOREIGN)))
    return seen


def test_what_is_not_ours_is_not_touched(life):
    before, after = life.foreign
    assert after == before
    assert not any(thing[-1] for thing in after), "a field manager of ours is on it"


def test_what_others_put_on_our_nodes_stays(life):
    lent = [node for node in life.nodes.values() if "lent" in node["metadata"]["labels"]]
    assert len(lent) == 2, "the first two nodes, over a scaling and a change of the pool"
    for node in lent:
        taints = {taint["key"]: taint for taint in node["spec"]["taints"]}
        assert taints.keys() == {"lent", "ours"}
    assert {node["metadata"]["labels"]["team"] for node in life.nodes.values()} == {"two"}


# -- rights


def rights():
    """Group, resource, verb and namespace of every right that the account is given."""
    found = set()
    for manifest in yaml.safe_load_all(ACCESS.read_text()):
        if manifest["kind"] in {"Role", "ClusterRole"}:
            namespace = manifest["metadata"].get("namespace", "")
            found |= {
                (group, resource, verb, namespace)
                for rule in manifest["rules"]
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
            }
    return found


def used(audit, given):
    """The rights that requests took, each as it was given: in its namespace, or everywhere."""
    found = set()
    for entry in audit:
        about = entry.get("objectRef")
        if about is None or "resource" not in about:
            continue  # /version, which everybody may ask for
        resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
        verbs = [entry["verb"]]
        if entry["verb"] == "patch" and entry["responseStatus"]["code"] == 201:
            verbs.append("create")  # server-side apply of what was not there
        for verb in verbs:
            right = (about.get("apiGroup", ""), resource, verb)
            namespace = about.get("namespace", "")
            found.add((*right, "" if (*right, "") in given else namespace))
    return found


def test_every_right_is_needed_and_none_is_missing(life):
    given = rights()
    assert [e["requestURI"] for e in life.audit if e["responseStatus"]["code"] == 403] == []
    assert used(life.audit, given) == given
    extra = given | {("", "secrets", "get", "")}
    assert used(life.audit, extra) != extra


def test_nothing_is_asked_while_nothing_happens(life):
    asked = {(e["verb"], e["requestURI"].partition("?")[0]) for e in life.idle}
    assert {(verb, uri) for verb, uri in asked if verb != "watch"} == set()
