"""The real kubectl on the nodes and pods of a real pool."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def node(az, kubectl):
    az("group create -n kubegroup -l eastus")
    az("aks create -g kubegroup -n kubecluster --node-count 1 --no-ssh-key")
    az("aks get-credentials -g kubegroup -n kubecluster --overwrite-existing")
    return kubectl("get nodes -o name").out.strip().removeprefix("node/")


def test_a_node_is_described(kubectl, node):
    described = kubectl("describe node", node).out
    assert f"Name:               {node}" in described
    assert "agentpool=nodepool1" in described


def test_labels_and_cordons(kubectl, node):
    assert kubectl("label node", node, "color=red").out == f"node/{node} labeled\n"
    assert kubectl("get nodes -l color=red -o name").out == f"node/{node}\n"
    assert kubectl("cordon", node).out == f"node/{node} cordoned\n"
    assert "SchedulingDisabled" in kubectl("get nodes").out
    assert kubectl("uncordon", node).out == f"node/{node} uncordoned\n"


def test_what_the_server_has(kubectl, node):
    resources = kubectl("api-resources -o name").out.split()
    assert {"nodes", "pods", "jobs.batch", "daemonsets.apps"} <= set(resources)
    assert "Server Version: v" in kubectl("version").out
    assert "KIND:       Pod" in kubectl("explain pod").out


def test_raw_paths_reach_the_cluster_of_the_context(kubectl, node):
    assert f'"name":"{node}"' in kubectl("get --raw", f"/api/v1/nodes/{node}").out


def test_a_missing_pod_is_an_error(kubectl, node):
    result = kubectl("get pod nothere", check=False)
    assert result.code == 1
    assert result.err == 'Error from server (NotFound): pods "nothere" not found\n'
