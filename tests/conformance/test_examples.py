"""The walk-throughs of ``examples/``, run by bash as a person runs them: what the clients print."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conformance.conftest import AZ_PYTHON, missing
from server_process import ServerProcess

EXAMPLES = Path(__file__).parents[2] / "examples"
STATES = ("Succeeded", "Upgrading", "Updating", "Scaling", "Deleting")


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """Runs a script on a fresh server; gives what each command printed, in order."""
    if not Path(AZ_PYTHON).with_name("az").exists():
        missing("azure-cli (make az)")
    if shutil.which("kubectl") is None:
        missing("kubectl")

    def run(name: str) -> list[tuple[str, str]]:
        server = ServerProcess(tmp_path_factory.mktemp("example") / "data")
        server.start()
        try:
            environment = server.environment()
            environment["PATH"] = f"{Path(AZ_PYTHON).parent}:{environment['PATH']}"
            printed = ""
            for script in ("00_log_in.sh", name):
                done = subprocess.run(
                    ["bash", str(EXAMPLES / script)],
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=600,  # bounds a failure; a hundred seconds on two quiet cores
                    check=False,
                )
                assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
                printed += done.stdout
        finally:
            code = server.stop()
        assert code == 0
        parts = re.split(r"^\$ (.*)\n", printed, flags=re.MULTILINE)
        return list(zip(parts[1::2], parts[2::2], strict=True))

    return run


def pools(table: str) -> dict[str, dict[str, str]]:
    """The rows of ``az aks nodepool list -o table`` by name."""
    lines = table.splitlines()
    header = lines[0].split()
    rows = (dict(zip(header, line.split(), strict=True)) for line in lines[2:])
    return {row["Name"]: row for row in rows}


def printed_by(transcript: list[tuple[str, str]], beginning: str) -> list[str]:
    return [out for command, out in transcript if command.startswith(beginning)]


def test_several_node_pools(example):
    transcript = example("01_multiple_node_pools.sh")
    assert "Poolwright" in printed_by(transcript, "az account show")[0]
    assert re.search(r"MultiAgentpoolPreview +Regist", printed_by(transcript, "az feature list")[0])
    tables = [pools(out) for out in printed_by(transcript, "az aks nodepool list")]
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

    nodes = [line.split() for line in printed_by(transcript, "kubectl get nodes")[0].splitlines()]
    assert nodes[0] == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert [(row[0].split("-")[1], row[1], row[4]) for row in nodes[1:]] == [
        ("gpunodepool", "Ready", "v1.12.6"),
        ("nodepool1", "Ready", "v1.12.6"),
    ]
    gpu_node = nodes[1][0]
    assert printed_by(transcript, "kubectl taint") == [f"node/{gpu_node} tainted\n"]
    assert printed_by(transcript, "kubectl apply") == ["pod/mypod created\n"]
    described = printed_by(transcript, "kubectl describe pod")[0]
    assert "sku=gpu:NoSchedule" in described
    assert f"Successfully assigned default/mypod to {gpu_node}" in described
    events = re.findall(r"^  Normal +(\w+)", described, flags=re.MULTILINE)
    assert events == ["Scheduled", "Pulling", "Pulled", "Created", "Started"]
    assert "Succeeded" in printed_by(transcript, "az deployment group create")[0]


def test_managed_gpu_pool(example):
    transcript = example("02_managed_gpu.sh")
    assert "Registered" in printed_by(transcript, "az feature show")[0]
    pods = printed_by(transcript, "kubectl get pods -n default")[0]
    assert re.search(r"^nvidia-device-plugin-\w+ +1/1 +Running", pods, flags=re.MULTILINE)
    assert re.search(r"^nvidia-dcgm-exporter-\w+ +1/1 +Running", pods, flags=re.MULTILINE)
    first, by_pool = printed_by(transcript, "kubectl get nodes")
    assert first.split()[-1] == "1"
    smi = printed_by(transcript, "kubectl exec")[0]
    assert "NVIDIA-SMI" in smi
    assert "Tesla V100-PCIE-16GB" in smi
    metrics = printed_by(transcript, "kubectl get --raw")[0]
    assert re.search(r"^DCGM_FI_DEV_GPU_UTIL\{.*\} \d+", metrics, flags=re.MULTILINE)
    waited = printed_by(transcript, "kubectl wait")
    assert waited[1] == "job.batch/samples-tf-mnist-demo condition met\n"
    assert printed_by(transcript, "kubectl logs")[0].strip()
    assert dict(line.split() for line in by_pool.splitlines()[1:]) == {
        "byo": "<none>",
        "gpual": "1",
        "gpunp": "1",
        "nodepool1": "<none>",
    }
    table = pools(printed_by(transcript, "az aks nodepool list")[0])
    assert {name: row["ProvisioningState"] for name, row in table.items()} == dict.fromkeys(
        ("byo", "gpual", "gpunp", "nodepool1"), "Succeeded"
    )
