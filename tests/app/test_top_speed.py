"""A world so fast that its deadlines are milliseconds waits for the process that carries it."""

from contextlib import closing

import pytest

from poolwright.app.cli.arm_client import ArmClient
from server_process import ServerProcess

pytestmark = pytest.mark.slow

PREVIEW = "2026-08-02-preview"
CLUSTER = {
    "location": "eastus",
    "identity": {"type": "SystemAssigned"},
    "properties": {
        "dnsPrefix": "fast",
        "kubernetesVersion": "1.36.1",
        "agentPoolProfiles": [
            {"name": "system", "mode": "System", "count": 1, "vmSize": "Standard_D4s_v5"}
        ],
    },
}
POOL = {
    "properties": {
        "count": 100,
        "vmSize": "Standard_NC24ads_A100_v4",
        "mode": "User",
        "gpuProfile": {"nvidia": {"managementMode": "Managed"}, "driver": "Install"},
    }
}


def test_a_cluster_and_a_hundred_gpu_nodes_succeed_at_top_speed(tmp_path):
    server = ServerProcess(
        tmp_path / "data",
        speed=100_000,
        config="[arm]\nretry_after_ms = 100\n[cloud.scarcity]\ndefault_quota = 1000000\n",
    )
    server.start()
    try:
        with closing(ArmClient(server.variables())) as client:
            _make_and_remove(client)
    finally:
        server.stop()


def _make_and_remove(client):
    group = f"/subscriptions/{client.subscription}/resourceGroups/fast"
    client.send("PUT", group, api_version="2024-11-01", body={"location": "eastus"})
    cluster = f"{group}/providers/Microsoft.ContainerService/managedClusters/fast"
    client.operate("PUT", cluster, body=CLUSTER)
    made = client.operate("PUT", f"{cluster}/agentPools/gpu", body=POOL, api_version=PREVIEW)
    assert made["properties"]["provisioningState"] == "Succeeded"
    gone = client.operate("DELETE", f"{cluster}/agentPools/gpu")
    assert gone is None
