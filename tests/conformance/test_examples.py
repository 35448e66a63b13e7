"""The walk-throughs of ``examples/`` on the embedded world: what the clients print."""

from __future__ import annotations

import re

import pytest

from server_process import ServerProcess
from walk_through import Transcript, check_managed_gpu, need_clients, pools, walk, with_az

STATES = ("Succeeded", "Upgrading", "Updating", "Scaling", "Deleting")


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """Runs a script on a fresh server."""
    need_clients()

    def run(name: str) -> Transcript:
        server = ServerProcess(tmp_path_factory.mktemp("example") / "data")
        server.start()
        try:
            transcript = walk(name, with_az(server.environment()))
        finally:
            code = server.stop()
        assert code == 0
        return transcript

    return run


def test_several_node_pools(example):
    transcript = example("01_multiple_node_pools.sh")
    assert "Poolwright" in transcript.of("az account show")[0]
    assert re.search(r"MultiAgentpoolPreview +Regist", transcript.of("az feature list")[0])
    tables = [pools(out) for out in transcript.of("az aks nodepool list")]
    added, upgrading, scaling, scaled, deleting, with_template = tables
    assert added["mynodepool"]["Count"] == "3"
    assert added["mynodepool"]["KubernetesVersion"] == "1.12.6"
    assert added["mynodepool"]["ProvisioningState"] == "Succeeded"
    assert added["mynodepool"]["VmSize"] == "Standard_DS2_v2"
    assert added["nodepool1"]["Count"] == "1"
    assert added["nodepool1"]["Mode"] == "System"
    # The operation may be over by the time it is asked about: real time runs 600 times faster.
    assert upgrading["mynodepool"]["ProvisioningState"] in STATES
    assert upgrading["nodepool1"]["KubernetesVersion"] == "1.12.6"
    assert scaling["mynodepool"]["Count"] == "5"
    assert scaled["mynodepool"]["KubernetesVersion"] == "1.12.7"
    assert scaled["mynodepool"]["Count"] == "5"
    assert scaled["mynodepool"]["ProvisioningState"] == "Succeeded"
    assert deleting.get("mynodepool", {"ProvisioningState": "Deleting"})["ProvisioningState"] == (
        "Deleting"
    )
    assert deleting["nodepool1"]["ProvisioningState"] == "Succeeded"
    assert with_template["gpunodepool"]["VmSize"] == "Standard_NC6"
    assert with_template["myagentpool"]["Count"] == "3"
    assert with_template["myagentpool"]["KubernetesVersion"] == "1.12.8"

    nodes = [line.split() for line in transcript.of("kubectl get nodes")[0].splitlines()]
    assert nodes[0] == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert [(row[0].split("-")[1], row[1], row[4]) for row in nodes[1:]] == [
        ("gpunodepool", "Ready", "v1.12.6"),
        ("nodepool1", "Ready", "v1.12.6"),
    ]
    gpu_node = nodes[1][0]
    assert transcript.of("kubectl taint") == [f"node/{gpu_node} tainted\n"]
    assert transcript.of("kubectl apply") == ["pod/mypod created\n"]
    described = transcript.of("kubectl describe pod")[0]
    assert "sku=gpu:NoSchedule" in described
    assert f"Successfully assigned default/mypod to {gpu_node}" in described
    events = re.findall(r"^  Normal +(\w+)", described, flags=re.MULTILINE)
    assert events == ["Scheduled", "Pulling", "Pulled", "Created", "Started"]
    assert "Succeeded" in transcript.of("az deployment group create")[0]


def test_managed_gpu_pool(example):
    transcript = example("02_managed_gpu.sh")
    check_managed_gpu(transcript, ("byo", "gpual", "gpunp", "nodepool1"))
    assert not transcript.left_out
    smi = transcript.of("kubectl exec")[0]
    assert "NVIDIA-SMI" in smi
    assert "Tesla V100-PCIE-16GB" in smi
    metrics = transcript.of("kubectl get --raw")[0]
    assert re.search(r"^DCGM_FI_DEV_GPU_UTIL\{.*\} \d+", metrics, flags=re.MULTILINE)
    assert transcript.of("kubectl logs")[0].strip()
