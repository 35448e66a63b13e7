"""What the real az shows while something happens: on a server whose time runs slowly enough."""

from __future__ import annotations

import pytest

from conformance.conftest import FAST, log_in
from server_process import ServerProcess

CLUSTER = "-g rg --cluster-name c"
POOL = f"{CLUSTER} -n work"
WAIT = "--interval 1"


@pytest.fixture(scope="module")
def az(tmp_path_factory):
    slow = ServerProcess(tmp_path_factory.mktemp("slow") / "data", speed=40, config=FAST)
    slow.start()
    try:
        client = log_in(slow)
        client("group create -n rg -l eastus")
        yield client
        client.close()
    finally:
        slow.stop()


def states(az):
    pools = az(f"aks nodepool list {CLUSTER} -o table").table
    return {name: row["ProvisioningState"] for name, row in pools.items()}


def cluster_state(az):
    return az("aks list -o table").table["c"]["ProvisioningState"]


def test_states_on_the_way(az):
    az("aks create -g rg -n c -c 1 -k 1.35.1 --no-ssh-key --no-wait")
    assert cluster_state(az) == "Creating"
    early = az(f"aks nodepool add {POOL} -c 1", check=False)
    assert (early.code, "(OperationNotAllowed)" in early.err) == (1, True), str(early)
    az(f"aks wait -g rg -n c --created {WAIT}")
    assert cluster_state(az) == "Succeeded"

    az(f"aks nodepool add {POOL} -c 2 --no-wait")
    assert states(az) == {"nodepool1": "Succeeded", "work": "Creating"}
    busy = az(f"aks nodepool scale {POOL} -c 5", check=False)
    assert (busy.code, "(OperationNotAllowed)" in busy.err) == (1, True), str(busy)
    az(f"aks nodepool wait {POOL} --created {WAIT}")

    az(f"aks nodepool scale {POOL} -c 4 --no-wait")
    assert states(az)["work"] == "Scaling"
    assert az(f"aks nodepool list {CLUSTER} -o table").table["work"]["Count"] == "4"
    az(f"aks nodepool operation-abort {POOL}")
    assert states(az)["work"] == "Canceled"
    az(f"aks nodepool scale {POOL} -c 2")

    az("aks upgrade -g rg -n c -k 1.35.4 --control-plane-only --yes --no-wait")
    assert cluster_state(az) == "Upgrading"
    az(f"aks wait -g rg -n c --updated {WAIT}")
    az(f"aks nodepool upgrade {POOL} -k 1.35.4 --yes --no-wait")
    assert states(az)["work"] == "Upgrading"
    az(f"aks nodepool wait {POOL} --updated {WAIT}")
    table = az(f"aks nodepool list {CLUSTER} -o table").table
    assert table["work"]["KubernetesVersion"] == "1.35.4"

    az(f"aks nodepool stop {POOL} --no-wait")
    assert states(az)["work"] == "Stopping"
    az(f"aks nodepool wait {POOL} --updated {WAIT}")
    az(f"aks nodepool start {POOL} --no-wait")
    assert states(az)["work"] == "Starting"
    az(f"aks nodepool wait {POOL} --updated {WAIT}")

    az("aks stop -g rg -n c --no-wait")
    assert cluster_state(az) == "Stopping"
    az(f"aks wait -g rg -n c --updated {WAIT}")
    az("aks start -g rg -n c --no-wait")
    assert cluster_state(az) == "Starting"
    az(f"aks wait -g rg -n c --updated {WAIT}")

    az(f"aks nodepool delete {POOL} --no-wait")
    assert states(az)["work"] == "Deleting"
    az(f"aks nodepool wait {POOL} --deleted {WAIT}")
    az("aks delete -g rg -n c --yes --no-wait")
    assert cluster_state(az) == "Deleting"
    az("group delete -n rg --yes --no-wait")
    assert az("group list -o table").table["rg"]["Status"] == "Deleting"
    az(f"group wait -n rg --deleted {WAIT}")
