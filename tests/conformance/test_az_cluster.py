"""The real az: what it prints and exits with, for the life of a cluster."""

from __future__ import annotations

import pytest
import yaml

CLUSTER = "-g clusters -n main"
ID = (
    "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/clusters"
    "/providers/Microsoft.ContainerService/managedClusters/main"
)
LIST = "Name    Location    ResourceGroup    KubernetesVersion    CurrentKubernetesVersion    \
ProvisioningState    Fqdn"


@pytest.fixture(scope="module", autouse=True)
def created(az):
    az("group create -n clusters -l eastus")
    yield az(
        f"aks create {CLUSTER} --node-count 2 -k 1.34.2 -s Standard_DS2_v2 --nodepool-name first "
        "--no-ssh-key --tags team=ml --nodepool-labels tier=gold --max-pods 50 "
        "--node-osdisk-size 64"
    ).json
    az("group delete -n clusters --yes --no-wait")


def test_what_create_prints(created):
    assert created["id"].lower() == ID.lower()
    assert created["provisioningState"] == "Succeeded"
    assert created["powerState"] == {"code": "Running"}
    assert created["kubernetesVersion"] == created["currentKubernetesVersion"] == "1.34.2"
    assert created["nodeResourceGroup"] == "MC_clusters_main_eastus"
    assert created["tags"] == {"team": "ml"}
    assert created["identity"]["type"] == "SystemAssigned"
    assert created["fqdn"].endswith(".hcp.eastus.azmk8s.io")
    (pool,) = created["agentPoolProfiles"]
    assert (pool["name"], pool["count"], pool["mode"]) == ("first", 2, "System")
    assert (pool["maxPods"], pool["osDiskSizeGb"], pool["osType"]) == (50, 64, "Linux")
    assert pool["nodeLabels"] == {"tier": "gold"}


def test_show_and_list(az, created):
    assert az("aks show -g CLUSTERS -n MAIN").json["fqdn"] == created["fqdn"]
    assert az("aks list -g clusters --query [].name -o tsv").out == "main\n"
    shown = az(f"aks show {CLUSTER} -o table")
    assert shown.out.splitlines()[0].rstrip() == LIST
    assert az("aks list -o table").table["main"] == {
        "Name": "main",
        "Location": "eastus",
        "ResourceGroup": "clusters",
        "KubernetesVersion": "1.34.2",
        "CurrentKubernetesVersion": "1.34.2",
        "ProvisioningState": "Succeeded",
        "Fqdn": created["fqdn"],
    }
    shown = yaml.safe_load(az(f"aks show {CLUSTER} -o yaml").out)
    assert shown["agentPoolProfiles"][0]["name"] == "first"


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (
            "aks show -g clusters -n nothere",
            3,
            "(ResourceNotFound) The Resource 'Microsoft.ContainerService/managedClusters/nothere' "
            "under resource group 'clusters' was not found.",
        ),
        ("aks show -g nogroup -n main", 3, "(ResourceGroupNotFound)"),
        ("aks list -g nogroup", 3, "(ResourceGroupNotFound)"),
        ("aks get-credentials -g clusters -n nothere", 3, "(ResourceNotFound)"),
        ("aks stop -g clusters -n nothere", 3, "(ResourceNotFound)"),
        (f"aks upgrade {CLUSTER} -k 1.34.1 --yes", 1, "(K8sVersionNotSupported)"),
        (f"aks upgrade {CLUSTER} -k 9.9.9 --yes", 1, "(K8sVersionNotSupported)"),
        (f"aks upgrade {CLUSTER} -k 1.33.7 --yes", 1, "Downgrading Kubernetes version"),
        (f"aks upgrade {CLUSTER} -k 1.36.1 --yes", 1, "multiple minor versions in one step"),
        (f"aks operation-abort {CLUSTER}", 1, "(OperationNotAllowed)"),
        (f"aks create {CLUSTER} --no-ssh-key", 1, "already exists"),
        (
            "aks create -g clusters -n bad -k 1.20.6 --no-ssh-key",
            1,
            "(K8sVersionNotSupported) Version 1.20.6 is not supported in this region.",
        ),
        ("aks create -g clusters -n bad -c 0 --no-ssh-key", 1, "(InvalidParameter)"),
        ("aks create -g clusters -n bad -c 5000 --no-ssh-key", 1, "maxCount:1000"),
        ("aks create -g clusters -n bad -s Standard_Nope --no-ssh-key", 1, "Standard_Nope"),
        ("aks create -g nogroup -n bad --no-ssh-key", 3, "(ResourceGroupNotFound)"),
        (f"aks scale {CLUSTER} -c 0", 1, "(InvalidParameter)"),
        (f"aks scale {CLUSTER} -c 2 --nodepool-name nope", 1, "nope"),
    ],
)
def test_refusals(az, command, code, message):
    refused = az(command, check=False)
    assert (refused.code, message in refused.err) == (code, True), str(refused)
    if "-n bad" in command:
        assert az("aks show -g clusters -n bad", check=False).code == 3


def test_versions_on_offer(az):
    versions = az("aks get-versions -l eastus -o table").table
    assert versions["1.35.4"]["Upgrades"] == "1.36.1, 1.36.3"
    assert versions["1.36.3"]["Upgrades"] == "None available"
    assert az("aks get-versions -l eastus --query", "values[?isDefault].version").json == ["1.35"]
    upgrades = az(f"aks get-upgrades {CLUSTER} -o table").table["default"]
    assert upgrades["MasterVersion"] == "1.34.2"
    assert upgrades["Upgrades"] == "1.34.4, 1.35.1, 1.35.4"
    profile = az(f"aks get-upgrades {CLUSTER}").json["controlPlaneProfile"]
    assert profile["upgrades"][0]["kubernetesVersion"] == "1.34.4"


def test_credentials(az, kubectl_of, server, tmp_path):
    assert "Ready" in kubectl_of("clusters", "main")("get nodes").out
    file = tmp_path / "config"
    merged = az(f"aks get-credentials {CLUSTER} --file {file}")
    assert f'Merged "main" as current context in {file}' in merged.err
    az(f"aks get-credentials {CLUSTER} --file {file} --overwrite-existing")
    admin = az(f"aks get-credentials {CLUSTER} --file {file} --admin")
    assert f'Merged "main-admin" as current context in {file}' in admin.err
    az(f"aks get-credentials {CLUSTER} --file {file} --admin --context boss")
    config = yaml.safe_load(file.read_text())
    assert [context["name"] for context in config["contexts"]] == [
        "main",
        "main-admin",
        "boss-admin",
    ]
    assert {user["name"] for user in config["users"]} == {
        "clusterUser_clusters_main",
        "clusterAdmin_clusters_main",
    }
    assert config["clusters"][0]["cluster"]["server"].startswith(server.endpoint)
    assert yaml.safe_load(az(f"aks get-credentials {CLUSTER} -a -f -").out)["kind"] == "Config"


def test_update(az):
    assert az(f"aks update {CLUSTER} --tags a=b --query tags").json == {"a": "b"}
    channel = az(f"aks update {CLUSTER} --auto-upgrade-channel stable --query autoUpgradeProfile")
    assert channel.json["upgradeChannel"] == "stable"
    tier = az(f"aks update {CLUSTER} --tier standard --query sku.tier -o tsv")
    assert tier.out == "Standard\n"
    profile = az(
        f"aks update {CLUSTER} --cluster-autoscaler-profile scan-interval=30s expander=priority "
        "--query autoScalerProfile"
    ).json
    assert (profile["scanInterval"], profile["expander"]) == ("30s", "priority")
    labels = az(
        f"aks update {CLUSTER} --nodepool-labels x=y --query agentPoolProfiles[].nodeLabels"
    )
    assert labels.json == [{"x": "y"}]
    query = "--query agentPoolProfiles[0].[enableAutoScaling,minCount,maxCount]"
    on = az(f"aks update {CLUSTER} --enable-cluster-autoscaler --min-count 2 --max-count 4 {query}")
    assert on.json == [True, 2, 4]
    assert az(f"aks update {CLUSTER} --disable-cluster-autoscaler {query}").json == [
        False,
        None,
        None,
    ]


def test_scale(az):
    assert az(f"aks scale {CLUSTER} -c 3 --query agentPoolProfiles[0].count").out == "3\n"
    assert az(f"aks scale {CLUSTER} -c 2 --nodepool-name first -o none").out == ""
    assert az("aks nodepool show -g clusters --cluster-name main -n first").json["count"] == 2


def test_as_a_resource(az):
    kind = "--resource-type Microsoft.ContainerService/managedClusters"
    assert az("resource list -g clusters -o table").table["main"]["Status"] == "Succeeded"
    assert az(f"resource list -g clusters {kind} --query [].name -o tsv").out == "main\n"
    assert az("resource list -n main --query [].location").json == ["eastus"]
    assert az(f"resource show -g clusters -n main {kind} --query name").json == "main"
    assert az(f"resource show --ids {ID} --query properties.dnsPrefix").json.startswith("main-")
    assert az(f"resource tag --tags team=ops --ids {ID} --query tags").json == {"team": "ops"}
    assert az("resource list --tag team=ops --query [].name -o tsv").out == "main\n"
    tags = az(f"tag update --resource-id {ID} --operation Merge --tags c=d").json
    assert tags["properties"]["tags"] == {"team": "ops", "c": "d"}
    assert az(f"aks show {CLUSTER} --query tags").json == {"team": "ops", "c": "d"}


def test_maintenance_windows(az):
    config = "-g clusters --cluster-name main"
    added = az(
        f"aks maintenanceconfiguration add {config} -n default --weekday Monday --start-hour 1"
    )
    assert added.json["timeInWeek"] == [{"day": "Monday", "hourSlots": [1]}]
    table = az(f"aks maintenanceconfiguration list {config} -o table").table
    assert table["default"]["ResourceGroup"] == "clusters"
    az(f"aks maintenanceconfiguration delete {config} -n default")
    assert az(f"aks maintenanceconfiguration list {config}").json == []


def test_upgrade(az):
    query = "--query [kubernetesVersion,agentPoolProfiles[0].currentOrchestratorVersion]"
    only = az(f"aks upgrade {CLUSTER} -k 1.34.4 --control-plane-only --yes {query}")
    assert only.json == ["1.34.4", "1.34.2"]
    assert az(f"aks upgrade {CLUSTER} -k 1.35.1 --yes {query}").json == ["1.35.1", "1.35.1"]
    image = az(f"aks upgrade {CLUSTER} --node-image-only --yes --query provisioningState")
    assert image.json == "Succeeded"


def test_stop_and_start(az, kubectl_of):
    kubectl = kubectl_of("clusters", "main")
    query = "--query [powerState.code,provisioningState]"
    assert az(f"aks stop {CLUSTER}").out == ""
    assert az(f"aks show {CLUSTER} {query}").json == ["Stopped", "Succeeded"]
    assert "control plane is stopped" in kubectl("get nodes", check=False).err
    refused = az("aks nodepool add -g clusters --cluster-name main -n late", check=False)
    assert "(OperationNotAllowed)" in refused.err
    assert az(f"aks start {CLUSTER}").out == ""
    assert az(f"aks show {CLUSTER} {query}").json == ["Running", "Succeeded"]
    assert kubectl("get nodes").out.count(" Ready ") == 2


def test_delete_and_wait(az):
    other = "-g clusters -n other"
    az(f"aks create {other} -c 1 --no-ssh-key --no-wait")
    az(f"aks wait {other} --created --interval 1")
    assert az(f"aks show {other} --query provisioningState").json == "Succeeded"
    az(f"aks delete {other} --yes --no-wait")
    az(f"aks wait {other} --deleted --interval 1")
    assert az(f"aks show {other}", check=False).code == 3
    assert az(f"aks delete {other} --yes").code == 0  # as on Azure: 204, nothing to do


def test_a_process_of_its_own_prints_the_same(az):
    inside, outside = az(f"aks show {CLUSTER} -o table"), az.process(f"aks show {CLUSTER} -o table")
    assert outside == inside
    missing = az.process("aks show -g clusters -n nothere")
    assert missing.code == 3
    assert missing.err.startswith("ERROR: (ResourceNotFound) The Resource ")
