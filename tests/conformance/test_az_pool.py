"""The real az: what it prints and exits with, for the life of a node pool."""

from __future__ import annotations

import pytest

CLUSTER = "-g pools --cluster-name c"
POOL = f"{CLUSTER} -n work"
TABLE = [
    "Name       OsType    KubernetesVersion    VmSize           Count    MaxPods    "
    "ProvisioningState    Mode",
    "---------  --------  -------------------  ---------------  -------  ---------  "
    "-------------------  ------",
    "nodepool1  Linux     1.34.2               Standard_DS2_v2  1        250        "
    "Succeeded            System",
    "work       Linux     1.34.2               Standard_DS3_v2  2        50         "
    "Succeeded            User",
]


@pytest.fixture(scope="module", autouse=True)
def added(az):
    az("group create -n pools -l eastus")
    az("aks create -g pools -n c -c 1 -k 1.34.2 --no-ssh-key")
    yield az(
        f"aks nodepool add {POOL} -c 2 -s Standard_DS3_v2 --labels a=b c=d --tags t=u "
        "--max-pods 50 --node-taints k=v:NoSchedule --node-osdisk-size 60 --mode User --max-surge 1"
    ).json
    az("group delete -n pools --yes --no-wait")


@pytest.fixture(scope="module")
def kubectl(kubectl_of):
    return kubectl_of("pools", "c")


def nodes(kubectl, columns, pool="work"):
    found = kubectl(f"get nodes -l agentpool={pool} --no-headers -o custom-columns={columns}")
    return [line.split() for line in found.out.splitlines()]


def test_what_add_prints(added, kubectl):
    assert added["id"].endswith("/managedClusters/c/agentPools/work")
    assert added["provisioningState"] == "Succeeded"
    assert added["nodeLabels"] == {"a": "b", "c": "d"}
    assert added["nodeTaints"] == ["k=v:NoSchedule"]
    assert added["tags"] == {"t": "u"}
    assert (added["count"], added["maxPods"], added["osDiskSizeGb"]) == (2, 50, 60)
    assert added["upgradeSettings"]["maxSurge"] == "1"
    assert added["powerState"] == {"code": "Running"}
    assert added["gpuProfile"] is None
    columns = "A:.metadata.labels.a,T:.spec.taints[0].key,P:.status.allocatable.pods"
    assert nodes(kubectl, columns) == [["b", "k", "50"], ["b", "k", "50"]]


def test_tables(az):
    listed = az(f"aks nodepool list {CLUSTER} -o table")
    assert [line.rstrip() for line in listed.out.splitlines()] == TABLE
    shown = az(f"aks nodepool show {POOL} -o table").table
    assert shown == {"work": listed.table["work"]}
    assert az.process(f"aks nodepool list {CLUSTER} -o table") == listed
    query = "[].{name:name,count:count}"
    assert (
        az(f"aks nodepool list {CLUSTER} -o tsv --query {query}").out == "nodepool1\t1\nwork\t2\n"
    )
    shown = az("aks nodepool show -g POOLS --cluster-name C -n WORK --query", "[name, vmSize]").json
    assert shown == ["work", "Standard_DS3_v2"]


def test_scale(az, kubectl):
    assert az(f"aks nodepool scale {POOL} -c 3 --query count").json == 3
    assert len(nodes(kubectl, "N:.metadata.name")) == 3
    same = az(f"aks nodepool scale {POOL} -c 3", check=False)
    assert "The new node count is the same as the current node count." in same.err
    assert az(f"aks nodepool scale {POOL} -c 0 --query count").json == 0
    assert nodes(kubectl, "N:.metadata.name") == []
    az(f"aks nodepool scale {POOL} -c 2 --no-wait")
    az(f"aks nodepool wait {POOL} --updated --interval 1")
    assert len(nodes(kubectl, "N:.metadata.name")) == 2


def test_update(az, kubectl):
    labels = az(f"aks nodepool update {POOL} --labels x=y --query nodeLabels")
    assert labels.json == {"x": "y"}
    assert nodes(kubectl, "X:.metadata.labels.x,A:.metadata.labels.a")[0] == ["y", "<none>"]
    taints = az(f"aks nodepool update {POOL} --node-taints a=b:NoExecute,c=d:PreferNoSchedule")
    assert taints.json["nodeTaints"] == ["a=b:NoExecute", "c=d:PreferNoSchedule"]
    assert nodes(kubectl, "T:.spec.taints[*].key")[0] == ["a,c"]
    assert az(f"aks nodepool update {POOL} --query nodeTaints --node-taints", "").out == ""
    assert az(f"aks nodepool update {POOL} --query tags --tags", "").out == ""
    settings = az(
        f"aks nodepool update {POOL} --max-surge 33% --drain-timeout 45 --node-soak-duration 2 "
        "--query upgradeSettings"
    ).json
    assert settings["maxSurge"] == "33%"
    assert settings["drainTimeoutInMinutes"] == 45
    assert settings["nodeSoakDurationInMinutes"] == 2
    assert az(f"aks nodepool update {POOL} --mode System --query mode").json == "System"
    assert az(f"aks nodepool update {POOL} --mode User --query mode").json == "User"


def test_autoscaler(az):
    query = "--query [enableAutoScaling,minCount,maxCount]"
    on = "--enable-cluster-autoscaler --min-count 2 --max-count 4"
    assert az(f"aks nodepool update {POOL} {on} {query}").json == [True, 2, 4]
    scaled = az(f"aks nodepool scale {POOL} -c 3", check=False)
    assert "Cannot scale cluster autoscaler enabled node pool." in scaled.err
    other = f"aks nodepool update {POOL} --update-cluster-autoscaler --min-count 3 --max-count 6"
    assert az(f"{other} {query}").json == [True, 3, 6]
    assert az(f"aks nodepool show {POOL} --query count").json == 3
    off = az(f"aks nodepool update {POOL} --disable-cluster-autoscaler {query}")
    assert off.json == [False, None, None]


def test_upgrade(az, kubectl):
    table = az(f"aks nodepool get-upgrades {CLUSTER} --nodepool-name work -o table").table
    assert "Standard" not in str(table)
    az("aks upgrade -g pools -n c -k 1.35.1 --control-plane-only --yes -o none")
    offered = az(f"aks nodepool get-upgrades {CLUSTER} --nodepool-name work").json
    assert offered["kubernetesVersion"] == "1.34.2"
    assert "1.35.1" in [each["kubernetesVersion"] for each in offered["upgrades"]]
    beyond = az(f"aks nodepool upgrade {POOL} -k 1.35.4 --yes", check=False)
    assert (beyond.code, "(NodePoolMcVersionIncompatible)" in beyond.err) == (1, True), str(beyond)
    far = az(f"aks nodepool upgrade {POOL} -k 1.36.1 --yes", check=False)
    assert (far.code, "(AgentPoolUpgradeVersionNotAllowed)" in far.err) == (1, True), str(far)
    upgraded = az(f"aks nodepool upgrade {POOL} -k 1.35.1 --yes").json
    assert upgraded["orchestratorVersion"] == upgraded["currentOrchestratorVersion"] == "1.35.1"
    versions = nodes(kubectl, "V:.status.nodeInfo.kubeletVersion")
    assert versions == [["v1.35.1"]] * upgraded["count"]
    back = az(f"aks nodepool upgrade {POOL} -k 1.34.2 --yes", check=False)
    assert "Downgrading agent pool version" in back.err
    az(f"aks nodepool upgrade {POOL} --node-image-only")
    table = az(f"aks nodepool list {CLUSTER} -o table").table
    assert table["work"]["KubernetesVersion"] == "1.35.1"
    assert table["nodepool1"]["KubernetesVersion"] == "1.34.2"


def test_stop_and_start(az, kubectl):
    query = "--query [powerState.code,count,provisioningState]"
    before = az(f"aks nodepool show {POOL} --query count").json
    assert az(f"aks nodepool stop {POOL} {query}").json == ["Stopped", 0, "Succeeded"]
    assert [
        row for row in nodes(kubectl, "N:.status.conditions[-1:].status") if row == ["True"]
    ] == []
    assert az(f"aks nodepool start {POOL} {query}").json == ["Running", before, "Succeeded"]
    assert len(nodes(kubectl, "N:.metadata.name")) == before
    system = az(f"aks nodepool stop {CLUSTER} -n nodepool1", check=False)
    assert system.code == 1


def test_machines(az, kubectl):
    pool = f"{CLUSTER} --nodepool-name work"
    machines = az(f"aks machine list {pool}").json
    names = [machine["name"] for machine in machines]
    assert sorted(names) == sorted(row[0] for row in nodes(kubectl, "N:.metadata.name"))
    shown = az(f"aks machine show {pool} --machine-name", names[0]).json
    assert shown["id"].endswith(f"/agentPools/work/machines/{names[0]}")
    assert shown["properties"]["network"]["ipAddresses"][0]["family"] == "IPv4"
    table = az(f"aks machine list {pool} -o table").out
    assert [line.split()[0] for line in table.splitlines()[2:]] == names
    missing = az(f"aks machine show {pool} --machine-name nothere", check=False)
    assert (missing.code, "(NotFound)" in missing.err) == (3, True)
    az(f"aks nodepool delete-machines {POOL} --machine-names", names[0])
    left = az(f"aks machine list {pool} --query [].name").json
    assert left == names[1:]
    assert az(f"aks nodepool show {POOL} --query count").json == len(left)
    foreign = az(f"aks nodepool delete-machines {POOL} --machine-names", "nothere", check=False)
    assert foreign.code != 0


def test_nothing_to_abort(az):
    aborted = az(f"aks nodepool operation-abort {POOL}", check=False)
    assert aborted.code == 1
    assert "(OperationNotAllowed)" in aborted.err


def test_snapshot(az):
    pool = az(f"aks nodepool show {POOL} --query id").json
    made = az(f"aks nodepool snapshot create -g pools -n snap --nodepool-id {pool}").json
    assert made["creationData"]["sourceResourceId"] == pool
    assert az("aks nodepool snapshot list -g pools -o table").table["snap"]["OsType"] == "Linux"
    added = az(f"aks nodepool add {CLUSTER} -n fromsnap -c 1 --snapshot-id {made['id']}").json
    assert added["creationData"]["sourceResourceId"] == made["id"]
    assert added["currentOrchestratorVersion"] == made["kubernetesVersion"]
    az(f"resource delete --ids {added['id']}")
    az("aks nodepool snapshot delete -g pools -n snap --yes")
    assert az("aks nodepool snapshot show -g pools -n snap", check=False).code == 3


def test_if_match(az):
    etag = az(f"aks nodepool show {POOL} --query eTag").json
    command = f"aks nodepool update {POOL} --labels e=f --query nodeLabels"
    stale = az(f"{command} --if-match stale", check=False)
    assert (stale.code, "(PreConditionFailed)" in stale.err) == (1, True), str(stale)
    assert az(f"{command} --if-match {etag}").json == {"e": "f"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-n Bad_Name", "should contain only alphanumeric characters"),
        ("-n toolongname123", "can contain at most 12 characters"),
        ("-n nodepool1", "Node pool nodepool1 already exists"),
        ("-n 1bad", "(InvalidParameter)"),
        ("-n bad -s Standard_Nope", "(VMSizeNotSupported) Virtual Machine size: 'Standard_Nope'"),
        ("-n bad -c 2000", "(InvalidParameter) agentPoolProfile.count was 2000."),
        ("-n bad -k 1.12.6", "(AgentPoolK8sVersionNotSupported) Version 1.12.6 is not supported"),
        ("-n bad -k 1.36.3", "(NodePoolMcVersionIncompatible)"),
        ("-n bad --node-taints nonsense", "Invalid node taint: nonsense"),
        ("-n bad --labels kubernetes.azure.com/x=c", "reserved prefix 'kubernetes.azure.com'"),
        ("-n bad --max-pods 5", "agentPoolProfile.maxPods"),
        ("-n bad --zones 9", "agentPoolProfile.availabilityZones"),
        ("-n bad --mode System --os-type Windows", "System agent pools must be Linux"),
        ("-n toolongwin --os-type Windows", "6 characters"),
        (
            "-n bad --enable-cluster-autoscaler --min-count 5 --max-count 2",
            "Value of min-count should be less than or equal to value of max-count",
        ),
        ("-n bad --max-surge 200%", "(InvalidParameter)"),
        ("-n bad --node-osdisk-size 10", "agentPoolProfile.osDiskSizeGB"),
        ("-n bad --priority Spot --mode System", "(InvalidParameter)"),
    ],
)
def test_pools_that_cannot_be(az, words, message):
    refused = az(f"aks nodepool add {CLUSTER} {words}", check=False)
    assert (refused.code, message in refused.err) == (1, True), str(refused)
    if "-n bad" in words:
        assert az(f"aks nodepool show {CLUSTER} -n bad", check=False).code == 3


def test_unknown_places(az):
    refused = az("aks nodepool add -g pools --cluster-name nope -n bad", check=False)
    assert (refused.code, "(ParentResourceNotFound)" in refused.err) == (3, True)
    refused = az("aks nodepool list -g nogroup --cluster-name c", check=False)
    assert (refused.code, "(ResourceGroupNotFound)" in refused.err) == (3, True)
    refused = az(f"aks nodepool upgrade {CLUSTER} -n nope -k 1.35.1 --yes", check=False)
    assert (refused.code, "(NotFound) Could not find agent pool resource" in refused.err) == (
        3,
        True,
    )


def test_delete(az):
    az(f"aks nodepool delete {POOL} --no-wait")
    az(f"aks nodepool wait {POOL} --deleted --interval 1")
    gone = az(f"aks nodepool show {POOL}", check=False)
    assert (gone.code, "(NotFound)" in gone.err) == (3, True)
    again = az(f"aks nodepool delete {POOL}", check=False)
    assert "Node pool work doesnt exist" in again.err
    last = az(f"aks nodepool delete {CLUSTER} -n nodepool1", check=False)
    assert (last.code, "(OperationNotAllowed)" in last.err) == (1, True)
