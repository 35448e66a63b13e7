"""Bad days of a Kubernetes that somebody else made: its API server goes away, machines never join,
a budget lets nobody go. What operations say meanwhile, and how they end.
"""

from __future__ import annotations

import json
import re

import pytest

from absent import live_binaries
from adopted import Kubectl
from live_stack import COMPONENTS, LiveStack
from poolwright.app.cli.arm_client import AKS_API_VERSION, ArmClient, CliError
from server_process import ServerProcess
from waiting import until

pytestmark = pytest.mark.live

CONFIG = """
[[adopt.clusters]]
kubeconfig = "{kubeconfig}"
resource_group = "rg1"
cluster_name = "live"
[arm]
retry_after_ms = 50
[cloud]
delay_factor = 0.01
"""
# Time is real there: what a node, a drain and an API server may take is cut to seconds.
HASTE = """
from datetime import timedelta
from poolwright.plan import readiness
readiness.READY_GRACE = timedelta(seconds=8)
for profile in list(readiness._EXPECTED_BOOT):
    readiness._EXPECTED_BOOT[profile] = timedelta(seconds=4)
from poolwright.plan import contact, upgrade
contact.LOOK_EVERY = contact.LOOK_AGAIN = timedelta(seconds=1)
contact.LOST_AFTER = timedelta(seconds=4)
upgrade.DRAIN_TIMEOUT = timedelta(seconds=6)
from poolwright.plan import repair
repair.REGISTERS_WITHIN = timedelta(seconds=1)
from poolwright.app.cli.main import main
main()
"""
OLD, NEW = "1.35.4", "1.36.3"
SIZE = "Standard_DS2_v2"
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web-1", "namespace": "default", "labels": {"app": "web"}},
    "spec": {
        "nodeSelector": {"agentpool": "held"},
        "containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10"}],
    },
}
BUDGET = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
}


class Adopted:
    """A real cluster, a server that adopted it, and what its owner sees of both."""

    def __init__(self, folder):
        live_binaries(*COMPONENTS, "kubectl")
        self.stack = LiveStack(folder / "live", nodes=1, by_annotation=True)
        self.kubectl = Kubectl(self.stack.kubeconfig)
        config = CONFIG.format(kubeconfig=self.stack.kubeconfig)
        self.server = ServerProcess(folder / "data", speed=1, config=config, command=("-c", HASTE))

    def start(self):
        self.stack.start()
        self.server.start()
        self.arm = ArmClient(self.server.variables())
        group = f"/subscriptions/{self.arm.subscription}/resourceGroups/rg1"
        self.path = f"{group}/providers/Microsoft.ContainerService/managedClusters/live"

    def stop(self):
        if hasattr(self, "arm"):
            self.arm.close()
        self.server.stop()
        self.stack.stop()

    def cluster(self):
        return self.arm.get(self.path)["properties"]

    def trouble(self):
        return (self.cluster().get("status") or {}).get("provisioningError")

    def change(self, pool, **properties):
        """Begin an operation; it can be followed by what is returned."""
        path = f"{self.path}/agentPools/{pool}"
        try:
            known = self.arm.get(path)["properties"]
        except CliError:  # there is none
            known = {"mode": "User", "vmSize": SIZE}
        body = {"properties": {**known, **properties}}
        answer = self.arm.send("PUT", path, api_version=AKS_API_VERSION, body=body)
        return Operation(self.arm, answer.headers["azure-asyncoperation"])

    def reachable(self):
        """What the metric says."""
        url = f"{self.server.endpoint}/metrics"
        text = self.arm.send("GET", url, api_version="").text
        found = re.search(r"^poolwright_cluster_reachable\{.*/live\"\} (\S+)$", text, re.MULTILINE)
        return float(found[1])


class Operation:
    def __init__(self, arm, url):
        self._arm = arm
        self._url = url

    def show(self):
        return self._arm.send("GET", self._url, api_version="").json()

    def said(self, word):
        status = self.show()["status"]
        assert status not in {"Succeeded", "Failed"}, self.show()
        return status if status.startswith(word) else None

    def ended(self):
        shown = self.show()
        return shown if shown["status"] in {"Succeeded", "Failed", "Canceled"} else None


def heard(**waiting):
    """What each operation waits for, by the word that it begins with; in whatever order."""
    said = {}

    def all_said():
        for word, operation in waiting.items():
            if word not in said and (status := operation.said(f"{word}: ")):
                said[word] = status
        return len(said) == len(waiting)

    until(all_said, told=lambda: f"only {said} was said")
    return said


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    adopted = Adopted(tmp_path_factory.mktemp("bad-days"))
    try:
        adopted.start()
        yield adopted
        assert adopted.server.stop() == 0
        assert "Traceback" not in adopted.server.log()
    finally:
        adopted.stop()


def test_the_api_server_goes_away_and_comes_back(world):
    assert world.trouble() is None
    assert world.reachable() == 1
    world.stack.end("kube-apiserver")
    adding = world.change("away", count=1)
    trouble = until(world.trouble)
    assert trouble["code"] == "KubernetesOperationError"
    assert "ConnectError" in trouble["message"]
    assert world.cluster()["provisioningState"] == "Succeeded"
    assert world.reachable() == 0
    until(lambda: adding.said("WaitingForAPIServer: "))

    assert world.server.stop() == 0
    world.server.start()  # down at start, and waited for
    assert world.trouble()["code"] == "KubernetesOperationError"
    assert adding.said("WaitingForAPIServer: ")

    world.stack.resume("kube-apiserver")
    assert until(adding.ended)["status"] == "Succeeded"
    assert until(lambda: world.trouble() is None)
    assert world.reachable() == 1
    assert "ClusterRegained" in world.kubectl("get", "events", "-o", "jsonpath={..reason}")
    log = world.server.log()
    assert "cluster lost" in log
    assert "cluster not reached, waiting for it" in log
    assert "cluster regained" in log


def test_a_machine_that_never_joins(world):
    world.stack.end("kwok")
    try:
        adding = world.change("silent", count=1)
        said = until(lambda: adding.said("WaitingForNodes: "))
        assert re.search(r"0/1 nodes ready; aks-silent-\d+-vmss000000: NodeReady, ", said)
        ended = until(adding.ended)
    finally:
        world.stack.resume("kwok")
    assert ended["status"] == "Failed"
    assert ended["error"]["code"] == "NodesNotReady"
    assert "aks-silent-" in json.dumps(ended["error"])
    path = f"{world.path}/agentPools/silent"
    assert world.arm.get(path)["properties"]["provisioningState"] == "Failed"
    assert until(world.change("silent", count=1).ended)["status"] == "Succeeded", "once it joined"


def test_a_drain_that_never_ends_and_a_node_that_somebody_deleted(world):
    """In two pools at once, for neither is in the other's way."""
    for made in (
        world.change("held", count=1, orchestratorVersion=OLD),
        world.change("lost", count=1),
    ):
        assert until(made.ended)["status"] == "Succeeded"
    world.kubectl("create", "-f", "-", stdin=json.dumps(BUDGET))
    world.kubectl("create", "-f", "-", stdin=json.dumps(POD))
    world.kubectl("wait", "--for=condition=Ready", "pod/web-1", "--timeout=30s")
    node = world.kubectl("get", "nodes", "-l", "agentpool=lost", "-o", "name").strip()
    world.kubectl("delete", node)
    upgrading = world.change("held", orchestratorVersion=NEW)
    growing = world.change("lost", count=2)

    said = heard(WaitingForDrain=upgrading, WaitingForNodes=growing)
    blocked = "still has default/web-1; budget default/web allows none"
    assert said["WaitingForDrain"].endswith(blocked)
    assert f"{node.removeprefix('node/')}: " in said["WaitingForNodes"]
    assert said["WaitingForNodes"].endswith("its Node was deleted, the machine is reimaged")

    error = until(upgrading.ended)["error"]
    assert error["code"] == "PodDrainFailure"
    assert "failed when evicting pod default/web-1" in error["message"]
    assert world.kubectl("get", "pod", "web-1", "-o", "jsonpath={.status.phase}") == "Running"
    assert until(growing.ended)["status"] == "Succeeded"
    there = world.kubectl("get", "nodes", "-l", "agentpool=lost", "-o", "name").split()
    assert len(there) == 2
    assert node in there
    assert "NodeReimageStart" in world.kubectl("get", "events", "-o", "jsonpath={..reason}")
