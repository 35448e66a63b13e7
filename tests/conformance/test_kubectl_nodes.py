"""The real kubectl on the nodes of a cluster: every way to look at them and to change them."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import yaml

HEADER = ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]


@pytest.fixture(scope="module")
def kubectl(az, kubectl_of):
    az("group create -n kubenodes -l eastus")
    az("aks create -g kubenodes -n c -c 1 -k 1.35.4 --no-ssh-key")
    az("aks nodepool add -g kubenodes --cluster-name c -n work -c 2 --labels tier=gold")
    yield kubectl_of("kubenodes", "c")
    az("group delete -n kubenodes --yes --no-wait")


@pytest.fixture(scope="module")
def names(kubectl):
    return kubectl("get nodes -l agentpool=work -o jsonpath={.items[*].metadata.name}").out.split()


@pytest.fixture
def node(names):
    return names[0]


def test_tables(kubectl, names):
    lines = [line.split() for line in kubectl("get nodes").out.splitlines()]
    assert lines[0] == HEADER
    assert [row[1:3] + row[4:] for row in lines[1:]] == [["Ready", "<none>", "v1.35.4"]] * 3
    wide = kubectl("get no -o wide").out
    assert wide.splitlines()[0].split("   ")[0] == "NAME"
    for title in ("INTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION", "CONTAINER-RUNTIME"):
        assert title in wide.splitlines()[0]
    assert "Ubuntu 22.04" in wide
    assert "containerd://" in wide
    labelled = kubectl("get nodes -L agentpool --no-headers -l tier=gold").out.splitlines()
    assert [line.split()[-1] for line in labelled] == ["work", "work"]
    assert "tier=gold" in kubectl("get nodes --show-labels").out


def test_formats(kubectl, names, node):
    assert kubectl("get nodes -l agentpool=work -o name").out.split() == [
        f"node/{name}" for name in names
    ]
    shown = json.loads(kubectl("get node -o json", node).out)
    assert (shown["kind"], shown["metadata"]["name"]) == ("Node", node)
    assert yaml.safe_load(kubectl("get node -o yaml", node).out)["metadata"]["name"] == node
    columns = "custom-columns=N:.metadata.name,V:.status.nodeInfo.kubeletVersion"
    assert kubectl("get nodes --no-headers -l tier=gold -o", columns).out.split() == [
        names[0],
        "v1.35.4",
        names[1],
        "v1.35.4",
    ]
    ready = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    assert kubectl("get node", node, "-o", ready).out == "True"
    template = "go-template={{range .items}}{{.metadata.labels.agentpool}} {{end}}"
    assert kubectl("get nodes --sort-by=.metadata.name -o", template).out == "nodepool1 work work "


def test_selectors(kubectl, names, node):
    def found(*words):
        return kubectl("get nodes -o name", *words).out.split()

    assert found("-l", "tier in (gold, silver),agentpool") == [f"node/{name}" for name in names]
    assert len(found("-l", "tier!=gold")) == 1
    assert len(found("-l", "!tier")) == 1
    assert found("--field-selector", f"metadata.name={node}") == [f"node/{node}"]
    assert found("--field-selector", "spec.unschedulable=true") == []
    bad = kubectl("get nodes -l a==,", check=False)
    assert (bad.code, "expected: identifier after ','" in bad.err) == (1, True)


def test_describe(kubectl, node):
    described = kubectl("describe node", node).out
    for line in (
        rf"^Name: +{node}$",
        r"^Taints: +<none>$",
        r"^Unschedulable: +false$",
        r"^  Ready +True .*KubeletReady",
        r"^  InternalIP: +10\.",
        r"^  Kubelet Version: +v1\.35\.4$",
        r"^  cpu +\d+m? \(\d+%\)",
        r"^Non-terminated Pods: +\(\d+ in total\)",
    ):
        assert re.search(line, described, re.MULTILINE), line
    assert "kube-proxy" in described


def test_labels_and_annotations(kubectl, node):
    assert kubectl("label node", node, "color=red").out == f"node/{node} labeled\n"
    again = kubectl("label node", node, "color=blue", check=False)
    assert (again.code, "--overwrite is false" in again.err) == (1, True)
    kubectl("label node", node, "color=blue", "--overwrite")
    assert kubectl("get nodes -l color=blue -o name").out == f"node/{node}\n"
    assert kubectl("label node", node, "color-").out == f"node/{node} unlabeled\n"
    assert kubectl("get nodes -l color -o name").out == ""
    kubectl("annotate node", node, "note=hello world")
    path = "jsonpath={.metadata.annotations.note}"
    assert kubectl("get node", node, "-o", path).out == "hello world"
    kubectl("annotate node", node, "note-")


def test_taints(kubectl, node):
    assert kubectl("taint node", node, "sku=gpu:NoSchedule").out == f"node/{node} tainted\n"
    again = kubectl("taint node", node, "sku=gpu:NoSchedule", check=False)
    assert (again.code, "already has sku taint(s)" in again.err) == (1, True)
    kubectl("taint node", node, "sku=cpu:NoSchedule", "--overwrite")
    assert "sku=cpu:NoSchedule" in kubectl("describe node", node).out
    assert kubectl("taint node", node, "sku:NoSchedule-").out == f"node/{node} untainted\n"
    assert kubectl("get node", node, "-o", "jsonpath={.spec.taints}").out == ""


def test_cordon_and_patch(kubectl, node):
    assert kubectl("cordon", node).out == f"node/{node} cordoned\n"
    assert kubectl("get nodes").out.count("Ready,SchedulingDisabled") == 1
    assert kubectl("uncordon", node).out == f"node/{node} uncordoned\n"
    assert kubectl("uncordon", node).out == f"node/{node} already uncordoned\n"
    merge = '{"metadata":{"labels":{"p":"merge"}}}'
    assert kubectl("patch node", node, "--type=merge", "-p", merge).out == f"node/{node} patched\n"
    ops = '[{"op":"replace","path":"/metadata/labels/p","value":"json"}]'
    kubectl("patch node", node, "--type=json", "-p", ops)
    path = "jsonpath={.metadata.labels.p}"
    assert kubectl("get node", node, "-o", path).out == "json"
    taint = '{"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]}}'
    kubectl("patch node", node, "--type=strategic", "-p", taint)
    kubectl("patch node", node, "-p", '{"metadata":{"labels":{"p":null}},"spec":{"taints":null}}')
    unchanged = kubectl("patch node", node, "-p", '{"spec":{"taints":null}}')
    assert unchanged.out == f"node/{node} patched (no change)\n"


def test_a_watch_shows_what_changes(kubectl, node):
    watch = subprocess.Popen(
        ["kubectl", "get", "nodes", "--watch", "-l", "agentpool=work", "--no-headers"],
        env=kubectl.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watch.stdout is not None
        first = [watch.stdout.readline().split() for _ in range(2)]
        assert [row[1] for row in first] == ["Ready", "Ready"]
        kubectl("cordon", node)
        seen = (line.split()[:2] for line in watch.stdout)
        assert next(seen) == [node, "Ready,SchedulingDisabled"]
        kubectl("uncordon", node)
        assert next(row for row in seen if row[1] == "Ready") == [node, "Ready"]
    finally:
        watch.kill()
        watch.wait()
        watch.stdout.close()


def test_a_drain_moves_pods_and_respects_a_budget(kubectl, names):
    kubectl("create deployment web --image=nginx --replicas=4")
    kubectl("rollout status deployment/web --timeout=60s")
    kubectl("create poddisruptionbudget web --selector=app=web --min-available=4")
    kubectl("wait --for=jsonpath={.status.currentHealthy}=4 poddisruptionbudget/web --timeout=60s")
    where = kubectl("get pods -l app=web -o jsonpath={.items[*].spec.nodeName}").out.split()
    node = where[0]
    drain = "drain --ignore-daemonsets --delete-emptydir-data"
    refused = kubectl("drain", node, check=False)
    assert "cannot delete DaemonSet-managed Pods" in refused.err
    stuck = kubectl(drain, node, "--timeout=2s", check=False)
    assert stuck.code == 1
    assert "would violate the pod's disruption budget" in stuck.err
    assert kubectl("get pods -l app=web -o jsonpath={.items[*].spec.nodeName}").out.split() == where
    patch = '{"spec":{"minAvailable":1}}'
    kubectl("patch poddisruptionbudget web --type=merge -p", patch)
    done = kubectl(drain, node, "--timeout=60s")
    assert f"node/{node} drained" in done.out
    kubectl("rollout status deployment/web --timeout=60s")
    left = kubectl("get pods -l app=web -o jsonpath={.items[*].spec.nodeName}").out.split()
    assert node not in left
    assert len(left) == 4
    kubectl("uncordon", node)
    kubectl("delete deployment,poddisruptionbudget web")


def test_a_deleted_node_object_is_missed(kubectl, wait_until):
    missing = kubectl("get node nothere", check=False)
    assert missing.err == 'Error from server (NotFound): nodes "nothere" not found\n'
    assert kubectl("delete node nothere", check=False).code == 1


def test_raw_paths_reach_the_cluster_of_the_context(kubectl, node):
    assert f'"name":"{node}"' in kubectl("get --raw", f"/api/v1/nodes/{node}").out
    assert kubectl("get --raw /readyz").out == "ok"
    assert kubectl("get --raw /version").out.startswith("{")


def test_what_the_server_has(kubectl):
    rows = [line.split() for line in kubectl("api-resources --no-headers").out.splitlines()]
    kinds = {row[-1]: row for row in rows}
    assert kinds["Node"][:2] == ["nodes", "no"]
    assert kinds["PodDisruptionBudget"] == [
        "poddisruptionbudgets",
        "pdb",
        "policy/v1",
        "true",
        "PodDisruptionBudget",
    ]
    assert {"nodes", "namespaces"} <= set(
        kubectl("api-resources --namespaced=false -o name").out.split()
    )
    assert {"v1", "apps/v1", "batch/v1"} <= set(kubectl("api-versions").out.split())
    assert "Server Version: v1.35.4" in kubectl("version").out
    assert kubectl("cluster-info").out.startswith("Kubernetes control plane is running at https://")


def test_explain(kubectl):
    limits = kubectl("explain pod.spec.containers.resources.limits").out
    assert "FIELD: limits <map[string]Quantity>" in limits
    recursive = kubectl("explain deployment --recursive").out
    assert "KIND:       Deployment" in recursive
    assert "readinessProbe\t<Probe>" in recursive
    assert "KIND:       Node" in kubectl("explain nodes").out
    unknown = kubectl("explain pod.spec.nonsense", check=False)
    assert (unknown.code, 'field "nonsense" does not exist' in unknown.err) == (1, True)


def test_who_may_what(kubectl):
    assert "Username    clusterUser" in kubectl("auth whoami").out
    assert kubectl("auth can-i delete nodes").out == "yes\n"
    assert "*.*" in kubectl("auth can-i --list").out


def test_metrics_are_not_offered(kubectl):
    top = kubectl("top nodes", check=False)
    assert (top.code, "Metrics API not available" in top.err) == (1, True)
