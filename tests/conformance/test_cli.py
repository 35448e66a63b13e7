"""Our own command line, in az's grammar, against a running server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conformance.conftest import Driven

pytestmark = pytest.mark.conformance


@pytest.fixture(scope="module")
def poolwright(server):
    driver = [sys.executable, str(Path(__file__).with_name("cli_driver.py"))]
    client = Driven(driver, server.environment(), "poolwright")

    def run(*words, code=0):
        done = client(*words, check=False)
        assert done.code == code, f"{words}: {done}"
        return done.out if code == 0 else done.err

    run("group create -n clirg -l eastus -o table")
    run("aks create -g clirg -n c1 -c 1 -k 1.34.2 -o table --nodepool-labels tier=gold --zones 1 2")
    yield run
    run("group delete -n clirg --yes --no-wait")
    client.close()


def test_as_a_person_runs_it(server, poolwright):
    done = subprocess.run(
        [sys.executable, "-m", "poolwright", "group", "list", "-o", "table"],
        env=server.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, poolwright("group list -o table"))


POOL = "-g clirg --cluster-name c1 -n gpunp"


def test_a_pool_from_add_to_delete(poolwright):
    register = "feature register --namespace Microsoft.ContainerService"
    poolwright(f"{register} -n ManagedGPUExperiencePreview")
    show = "feature show --namespace Microsoft.ContainerService -n ManagedGPUExperiencePreview"
    while poolwright(f"{show} --query properties.state -o tsv").strip() != "Registered":
        pass
    table = poolwright(
        f"aks nodepool add {POOL} -c 1 -s Standard_NC6s_v3 --node-taints sku=gpu:NoSchedule "
        "--enable-managed-gpu-experience --labels team=ml tier=gold -o table"
    )
    assert table.split("\n")[0].split() == [
        "Name", "OsType", "KubernetesVersion", "VmSize", "OsDiskSizeGB", "Count", "MaxPods",
        "ProvisioningState", "Mode",
    ]  # fmt: skip
    pool = json.loads(poolwright(f"aks nodepool show {POOL}"))
    assert pool["gpuProfile"]["nvidia"]["managementMode"] == "Managed"
    assert pool["nodeLabels"] == {"team": "ml", "tier": "gold"}
    assert pool["resourceGroup"] == "clirg"
    assert poolwright(f"aks nodepool scale {POOL} -c 2 --query count -o tsv") == "2\n"
    machines = poolwright(
        "aks machine list -g clirg --cluster-name c1 --nodepool-name gpunp --query [].name -o tsv"
    )
    assert len(machines.split()) == 2
    poolwright(f"aks nodepool delete {POOL}")
    assert "(NotFound)" in poolwright(f"aks nodepool show {POOL}", code=3)


def test_refusals(poolwright):
    wide = poolwright("aks nodepool show", "--resource\u2010group", "clirg", code=2)
    assert "typographic hyphen (U+2010)" in wide
    text = poolwright(
        f"aks nodepool add {POOL} -c 1 -s Standard_NC6s_v3 --gpu-driver None --managed-gpu", code=1
    )
    assert "gpuProfile" in text
    absent = "aks nodepool delete -g clirg --cluster-name c1 -n absent"
    assert "Node pool absent doesnt exist" in poolwright(absent, code=1)
    assert "argument --query" in poolwright("aks list --query", "[", code=2)


def test_scarcity(poolwright):
    poolwright("scarcity fail -l eastus --code AllocationFailed --nodepool-name gpunp")
    add = f"aks nodepool add {POOL} -c 1 -s Standard_NC6s_v3"
    assert "AllocationFailed" in poolwright(add, code=1)
    show = poolwright(f"aks nodepool show {POOL} --query provisioningState -o tsv")
    assert show == "Failed\n"
    poolwright("scarcity clear -l eastus")
    poolwright(f"aks nodepool delete {POOL}")


SAME_AS_AZ = (
    "aks nodepool list -g clirg --cluster-name c1 -o table",
    "aks nodepool show -g clirg --cluster-name c1 -n nodepool1 -o table",
    "aks show -g clirg -n c1 -o table",
    "aks list -g clirg -o table",
    "aks get-versions -l eastus -o table",
    "aks list -g clirg --query [].name -o tsv",
    "aks nodepool list -g clirg --cluster-name c1 --query [].[name,count,nodeLabels.tier] -o tsv",
    "aks nodepool list -g clirg --cluster-name c1 --query [].{name:name,ready:provisioningState}",
    "aks nodepool list -g clirg --cluster-name c1 --query [0].availabilityZones -o yaml",
    "aks show -g clirg -n c1 --query agentPoolProfiles[].name -o json",
    "group exists -n clirg",
    "group exists -n nothere",
    "group show -n clirg --query location -o tsv",
    "feature show --namespace Microsoft.ContainerService -n ManagedGPU -o table",
    "provider show -n Microsoft.ContainerService -o table",
    "account show --query [id,name,state] -o tsv",
)


@pytest.mark.parametrize("command", SAME_AS_AZ)
def test_the_same_as_az(poolwright, az, command):
    ours = [line.rstrip() for line in poolwright(command).splitlines()]
    theirs = [line.rstrip() for line in az(command).out.splitlines()]
    if "OsDiskSizeGB" in ours[0]:  # az 2.91 looks for a name that its own SDK does not have
        column = ours[0].index("OsDiskSizeGB"), ours[0].index("Count")
        ours = [line[: column[0]] + line[column[1] :] for line in ours]
    assert ours == theirs


def test_a_pool_through_all_verbs(poolwright):
    pool = "-g clirg --cluster-name c1 -n verbs"
    query = "--query [count,enableAutoScaling,minCount,maxCount] -o tsv"
    assert poolwright(f"aks nodepool add {pool} -c 1 --zones 1 3 --no-wait") == ""
    poolwright(f"aks nodepool wait {pool} --created")
    shown = json.loads(poolwright(f"aks nodepool show {pool}"))
    assert shown["availabilityZones"] == ["1", "3"]
    on = "--enable-cluster-autoscaler --min-count 2 --max-count 3"
    assert poolwright(f"aks nodepool update {pool} {on} {query}") == "2\ntrue\n2\n3\n"
    assert "Cannot scale" in poolwright(f"aks nodepool scale {pool} -c 3", code=1)
    poolwright(f"aks nodepool update {pool} --disable-cluster-autoscaler -o none")
    assert "(PreConditionFailed)" in poolwright(
        f"aks nodepool update {pool} --labels a=b --if-match stale", code=1
    )
    poolwright(f"aks nodepool update {pool} --labels a=b --node-taints k=v:NoSchedule -o none")
    poolwright("aks upgrade -g clirg -n c1 -k 1.34.4 --control-plane-only --yes -o none")
    upgraded = poolwright(
        f"aks nodepool upgrade {pool} -k 1.34.4 --yes --query orchestratorVersion"
    )
    assert upgraded == '"1.34.4"\n'
    poolwright(f"aks nodepool upgrade {pool} --node-image-only --yes -o none")
    offered = poolwright(f"aks nodepool get-upgrades {pool} -o table")
    assert "KubernetesVersion" in offered
    state = "--query powerState.code -o tsv"
    assert poolwright(f"aks nodepool stop {pool} {state}") == "Stopped\n"
    assert poolwright(f"aks nodepool start {pool} {state}") == "Running\n"
    machines = poolwright(
        "aks machine list -g clirg --cluster-name c1 --nodepool-name verbs --query [].name -o tsv"
    ).split()
    poolwright(f"aks nodepool delete-machines {pool} --machine-names {machines[0]}")
    assert poolwright(f"aks nodepool show {pool} --query count") == "1\n"
    assert "(OperationNotAllowed)" in poolwright(f"aks nodepool operation-abort {pool}", code=1)
    poolwright(f"aks nodepool delete {pool} --no-wait")
    poolwright(f"aks nodepool wait {pool} --deleted")
    assert "(NotFound)" in poolwright(f"aks nodepool wait {pool} --updated", code=3)
    assert "--created" in poolwright(f"aks nodepool wait {pool}", code=2)


@pytest.mark.parametrize(
    ("flags", "declared"),
    [
        ("--enable-managed-gpu", {"nvidia": {"managementMode": "Managed"}}),
        ("--managed-gpu", {"nvidia": {"managementMode": "Managed"}}),
        ("--enable-managed-gpu-experience", {"nvidia": {"managementMode": "Managed"}}),
        (
            "--enable-managed-gpu=false --gpu-driver Install",
            {"driver": "Install", "nvidia": {"managementMode": "Unmanaged"}},
        ),
        ("--gpu-driver none", {"driver": "None"}),
        (
            "--enable-managed-gpu --mig-profile MIG1g --mig-strategy mixed",
            {"nvidia": {"managementMode": "Managed", "migStrategy": "Mixed"}},
        ),
        (
            "--managed-gpu --gpu-instance-profile MIG1g --gpu-mig-strategy Single",
            {"nvidia": {"managementMode": "Managed", "migStrategy": "Single"}},
        ),
    ],
)
def test_the_flags_of_every_generation(poolwright, flags, declared):
    poolwright(
        "feature register --namespace Microsoft.ContainerService -n ManagedGPUExperiencePreview"
    )
    show = "feature show --namespace Microsoft.ContainerService -n ManagedGPUExperiencePreview"
    while poolwright(f"{show} --query properties.state -o tsv").strip() != "Registered":
        pass
    pool = "-g clirg --cluster-name c1 -n flags"
    size = (
        "Standard_NC24ads_A100_v4" if "mig-" in flags or "instance" in flags else "Standard_NC6s_v3"
    )
    added = json.loads(poolwright(f"aks nodepool add {pool} -c 0 -s {size} {flags}"))
    poolwright(f"aks nodepool delete {pool}")
    profile = {k: v for k, v in added["gpuProfile"].items() if v is not None}
    if profile.get("nvidia"):
        profile["nvidia"] = {k: v for k, v in profile["nvidia"].items() if v is not None}
    assert profile == declared
    assert added.get("gpuInstanceProfile") == ("MIG1g" if "MIG1g" in flags else None)


def test_a_cluster_through_all_verbs(poolwright):
    cluster = "-g clirg -n c2"
    made = json.loads(
        poolwright(
            f"aks create {cluster} -c 1 --node-osdisk-size 64 --enable-cluster-autoscaler "
            "--min-count 1 --max-count 3 --nodepool-taints CriticalAddonsOnly=true:NoSchedule "
            "--auto-upgrade-channel patch --dns-name-prefix mine --tags a=b c=d --tier standard"
        )
    )
    (pool,) = made["agentPoolProfiles"]
    assert (pool["osDiskSizeGB"], pool["minCount"], pool["maxCount"]) == (64, 1, 3)
    assert pool["nodeTaints"] == ["CriticalAddonsOnly=true:NoSchedule"]
    assert made["autoUpgradeProfile"]["upgradeChannel"] == "patch"
    assert made["dnsPrefix"] == "mine"
    assert made["sku"]["tier"] == "Standard"
    count = "--query agentPoolProfiles[0].count -o tsv"
    assert "Cannot scale" in poolwright(f"aks scale {cluster} -c 2", code=1)
    poolwright(f"aks update {cluster} --disable-cluster-autoscaler --tags x=y -o none")
    assert poolwright(f"aks scale {cluster} -c 2 {count}") == "2\n"
    assert poolwright(f"aks show {cluster} --query tags.x -o tsv") == "y\n"
    poolwright(f"aks upgrade {cluster} --node-image-only --yes -o none")
    poolwright(f"aks stop {cluster}")
    assert poolwright(f"aks show {cluster} --query powerState.code -o tsv") == "Stopped\n"
    poolwright(f"aks start {cluster}")
    assert "(OperationNotAllowed)" in poolwright(f"aks operation-abort {cluster}", code=1)
    poolwright(f"aks delete {cluster} --yes --no-wait")
    poolwright(f"aks wait {cluster} --deleted")
    assert poolwright("group update -n clirg --tags a=b --query tags.a -o tsv") == "b\n"


def test_credentials(poolwright, tmp_path):
    file = tmp_path / "config"
    poolwright(f"aks get-credentials -g clirg -n c1 --file {file}")
    poolwright(f"aks get-credentials -g clirg -n c1 --file {file} --admin")
    contexts = yaml.safe_load(file.read_text())["contexts"]
    assert [context["name"] for context in contexts] == ["c1", "c1-admin"]
    printed = yaml.safe_load(poolwright("aks get-credentials -g clirg -n c1 -f -"))
    assert printed["current-context"] == "c1"


def test_a_template_with_comments(poolwright, tmp_path):
    file = tmp_path / "pool.json"
    file.write_text(
        """{ // as az takes it
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "parameters": {"pool": {"type": "string"}},
  "resources": [{
    "type": "Microsoft.ContainerService/managedClusters/agentPools", "apiVersion": "2025-03-01",
    "name": "[concat('c1/', parameters('pool'))]", "properties": {"count": 1, "mode": "User"},
  }],
}"""
    )
    words = f"-g clirg --template-file {file} --parameters pool=bytpl"
    poolwright(f"deployment group validate {words}")
    table = poolwright(f"deployment group create -n d {words} -o table")
    assert table.splitlines()[2].split()[:2] == ["d", "Succeeded"]
    poolwright("aks nodepool delete -g clirg --cluster-name c1 -n bytpl")
    file.write_text("{")
    assert str(file) in poolwright(f"deployment group create -n d {words}", code=1)
