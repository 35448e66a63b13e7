"""The real az: what it prints and exits with, for the life of a cluster and its pools."""

from __future__ import annotations

import pytest

CLUSTER = "-g azgroup -n azcluster"
POOL = "-g azgroup --cluster-name azcluster"


@pytest.fixture(scope="module")
def cluster(az):
    az("group create -n azgroup -l eastus")
    return az(f"aks create {CLUSTER} --node-count 1 --no-ssh-key").json


def test_a_cluster_is_shown(az, cluster):
    assert cluster["provisioningState"] == "Succeeded"
    assert cluster["agentPoolProfiles"][0]["name"] == "nodepool1"
    assert az(f"aks show {CLUSTER}").json["fqdn"] == cluster["fqdn"]
    assert [each["name"] for each in az("aks list -g azgroup").json] == ["azcluster"]


def test_a_pool_is_added_scaled_and_deleted(az, cluster):
    added = az(f"aks nodepool add {POOL} -n work -c 1 --labels a=b --node-taints k=v:NoSchedule")
    assert added.json["nodeLabels"] == {"a": "b"}
    assert added.json["nodeTaints"] == ["k=v:NoSchedule"]
    assert az(f"aks nodepool scale {POOL} -n work -c 2").json["count"] == 2
    assert len(az(f"aks machine list {POOL} --nodepool-name work").json) == 2
    az(f"aks nodepool delete {POOL} -n work")
    assert [each["name"] for each in az(f"aks nodepool list {POOL}").json] == ["nodepool1"]


def test_a_missing_pool_exits_3(az, cluster):
    result = az(f"aks nodepool show {POOL} -n nothere", check=False)
    assert result.code == 3


def test_the_only_system_pool_stays(az, cluster):
    result = az(f"aks nodepool delete {POOL} -n nodepool1", check=False)
    assert result.code == 1
    assert az(f"aks nodepool show {POOL} -n nodepool1").json["provisioningState"] == "Succeeded"
