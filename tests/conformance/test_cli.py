"""Our own command line, in az's grammar, against a running server."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.conformance


@pytest.fixture(scope="module")
def poolwright(server):
    def run(*words, code=0):
        arguments = words[0].split() + list(words[1:])
        done = subprocess.run(
            [sys.executable, "-m", "poolwright", *arguments],
            env=server.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    run("group create -n clirg -l eastus -o table")
    run("aks create -g clirg -n c1 -c 1 -o table")
    yield run
    run("group delete -n clirg --yes")


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
    assert "argument --query" in poolwright("aks list --query", "[", code=2)


def test_scarcity(poolwright):
    poolwright("scarcity fail -l eastus --code AllocationFailed --nodepool-name gpunp")
    add = f"aks nodepool add {POOL} -c 1 -s Standard_NC6s_v3"
    assert "AllocationFailed" in poolwright(add, code=1)
    show = poolwright(f"aks nodepool show {POOL} --query provisioningState -o tsv")
    assert show == "Failed\n"
    poolwright("scarcity clear -l eastus")
    poolwright(f"aks nodepool delete {POOL}")
