"""ARM templates through the real az, the article's own template first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).parents[2] / "examples/files/aks-agentpools.json"
WORDS = f"-g templates --template-file {TEMPLATE} --parameters clusterName=old location=eastus"


@pytest.fixture(scope="module", autouse=True)
def cluster(az):
    az("group create -n templates -l eastus")
    az("aks create -g templates -n old -c 1 -k 1.12.8 --no-ssh-key")
    yield
    az("group delete -n templates --yes --no-wait")


def test_validate(az):
    valid = az(f"deployment group validate {WORDS}").json
    assert valid["error"] is None
    assert valid["properties"]["provisioningState"] == "Succeeded"
    assert valid["properties"]["parameters"]["agentPoolName"]["value"] == "myagentpool"


def test_what_if(az):
    changes = az(f"deployment group what-if {WORDS} --no-pretty-print").json["changes"]
    kinds = {change["resourceId"].rpartition("/")[2]: change["changeType"] for change in changes}
    assert kinds["myagentpool"] == "Create"


def test_create_and_show(az):
    table = az(f"deployment group create -n first {WORDS} -o table").table
    assert table["first"]["State"] == "Succeeded"
    pool = az("aks nodepool show -g templates --cluster-name old -n myagentpool").json
    assert (pool["count"], pool["maxPods"], pool["vmSize"]) == (3, 30, "Standard_DS2_v2")
    assert pool["currentOrchestratorVersion"] == "1.12.8"
    shown = az("deployment group show -g templates -n first").json
    (made,) = shown["properties"]["outputResources"]
    assert made["id"].endswith("/agentPools/myagentpool")
    assert az("deployment group list -g templates --query [].name -o tsv").out == "first\n"
    operations = az("deployment operation group list -g templates -n first").json
    assert {each["properties"]["provisioningState"] for each in operations} == {"Succeeded"}
    exported = az("deployment group export -g templates -n first").json
    assert exported["parameters"]["clusterName"]["type"] == "string"
    again = az(f"deployment group create -n second {WORDS} --query properties.provisioningState")
    assert again.json == "Succeeded"
    az(f"deployment group create -n third {WORDS} --no-wait")
    az("deployment group wait -g templates -n third --created --interval 1")
    az("deployment group delete -g templates -n third")
    assert az("deployment group show -g templates -n third", check=False).code == 3


def test_a_template_with_a_cluster_pools_and_outputs(az, tmp_path):
    file = tmp_path / "main.json"
    kind = "Microsoft.ContainerService/managedClusters"
    file.write_text(
        json.dumps(
            {
                "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
                "contentVersion": "1.0.0.0",
                "parameters": {"count": {"type": "int", "defaultValue": 1}},
                "variables": {"name": "[concat('k', 'ube')]"},
                "resources": [
                    {
                        "type": kind,
                        "apiVersion": "2025-03-01",
                        "name": "[variables('name')]",
                        "location": "[resourceGroup().location]",
                        "identity": {"type": "SystemAssigned"},
                        "properties": {
                            "dnsPrefix": "[uniqueString(resourceGroup().id)]",
                            "agentPoolProfiles": [
                                {"name": "sys", "count": 1, "mode": "System"},
                            ],
                        },
                    },
                    {
                        "type": f"{kind}/agentPools",
                        "apiVersion": "2025-03-01",
                        "name": "[format('{0}/{1}', variables('name'), 'gpu')]",
                        "dependsOn": [f"[resourceId('{kind}', variables('name'))]"],
                        "properties": {
                            "count": "[parameters('count')]",
                            "vmSize": "Standard_NC6s_v3",
                            "mode": "User",
                        },
                    },
                ],
                "outputs": {
                    "fqdn": {
                        "type": "string",
                        "value": f"[reference(resourceId('{kind}', variables('name'))).fqdn]",
                    }
                },
            }
        )
    )
    done = az(
        f"deployment group create -g templates -n both --template-file {file} -p count=2"
    ).json
    assert done["properties"]["outputs"]["fqdn"]["value"].endswith(".azmk8s.io")
    pools = az("aks nodepool list -g templates --cluster-name kube -o table").table
    assert (pools["gpu"]["Count"], pools["gpu"]["ProvisioningState"]) == ("2", "Succeeded")
    assert pools["sys"]["Mode"] == "System"


def test_deployments_that_fail(az, tmp_path):
    other = WORDS.replace("clusterName=old", "clusterName=nope")
    failed = az(f"deployment group create -n bad {other}", check=False)
    assert failed.code == 1
    assert '"code":"DeploymentFailed"' in failed.err
    assert '"code":"ParentResourceNotFound"' in failed.err
    shown = az("deployment group show -g templates -n bad -o table").table
    assert shown["bad"]["State"] == "Failed"
    file = tmp_path / "unknown.json"
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [
            {
                "type": "Microsoft.ContainerService/managedClusters",
                "apiVersion": "2025-03-01",
                "name": "[nosuchfunction('a')]",
                "location": "eastus",
            }
        ],
    }
    file.write_text(json.dumps(template))
    words = f"deployment group create -g templates -n odd --template-file {file}"
    odd = az(words, check=False)
    assert odd.code == 1
    assert "InvalidTemplate" in odd.err
    assert "The template function 'nosuchfunction' is not valid." in odd.err
    missing = az("deployment group show -g templates -n nothere", check=False)
    assert (missing.code, "(DeploymentNotFound)" in missing.err) == (3, True)
