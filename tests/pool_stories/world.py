"""A managed cluster as the owner of its pools meets it: ARM, the cluster's own API, kubectl."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from behaviour.world import World
from ledger import add_snapshot, check_books
from live_stack import LiveStack
from poolwright.app.cli.arm_client import AKS_PREVIEW_API_VERSION, ArmClient
from server_process import ServerProcess
from waiting import until

GROUP, CLUSTER, SNAPSHOT = "stories", "cluster", "taken-long-ago"
OLD, NEW = "1.35.4", "1.36.3"
CPU, GPU = "Standard_DS2_v2", "Standard_NC24ads_A100_v4"
CONFIG = """
[arm]
retry_after_ms = 50
[cloud]
delay_factor = 0.01
{more}
"""
"""Real time in both worlds; a machine that takes minutes takes seconds."""
_ADOPT = """
[adopt]
kubeconfig = "{kubeconfig}"
resource_group = "stories"
cluster_name = "cluster"
"""
_ENDED = {"Succeeded", "Failed", "Canceled"}


class PoolWorld:
    """A server with one managed cluster. ``name`` says which Kubernetes that is: ``embedded`` or
    ``live``. ``kube`` speaks its API.
    """

    def __init__(self, name: str, folder: Path, kubectl: Path):
        self.name = name
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self._live: LiveStack | None = None
        more = ""
        if name == "live":
            self._live = LiveStack(folder / "live", nodes=1, by_annotation=True)
            more = _ADOPT.format(kubeconfig=self._live.kubeconfig)
        self.server = ServerProcess(folder / "data", speed=1, config=CONFIG.format(more=more))
        self._kubectl = kubectl

    def start(self) -> None:
        if self._live is not None:
            self._live.start()
        else:
            self.server.speed = 600  # a cluster takes minutes to make
        self.server.start()
        self.arm = ArmClient(self.server.variables())
        subscription = self.arm.subscription
        self.group = f"/subscriptions/{subscription}/resourceGroups/{GROUP}"
        managed = "providers/Microsoft.ContainerService/managedClusters"
        self.cluster = f"{self.group}/{managed}/{CLUSTER}"
        if self._live is None:
            self._make_cluster()
        answer = self.arm.operate("POST", f"{self.cluster}/listClusterAdminCredential")
        self.kubeconfig.write_bytes(base64.b64decode(answer["kubeconfigs"][0]["value"]))
        assert self.server.stop() == 0
        add_snapshot(self.server.data_dir, subscription, GROUP, SNAPSHOT, version=OLD)
        self.server.speed = 1
        self.arm.close()
        self.server.start()
        self._connect()

    def stop(self) -> None:
        """End everything, and look at the books."""
        nodes = sorted(
            node["metadata"]["name"]
            for node in self.kube.items("/api/v1/nodes", labelSelector="agentpool")
        )
        self.kube.close()
        self.arm.close()
        assert self.server.stop() == 0
        if self._live is not None:
            self._live.stop()
        assert "Traceback" not in self.server.log()
        check_books(self.server.data_dir, nodes)

    def kill(self) -> None:
        """End everything at once."""
        if self.server.process is not None:
            self.server.kill()
        if self._live is not None:
            self._live.stop()

    def restart(self) -> None:
        """kill -9, and start again on the same data and port."""
        self.server.kill()
        self.arm.close()
        self.kube.close()
        self.server.start()
        self._connect()

    def _connect(self) -> None:
        self.arm = ArmClient(self.server.variables())
        self.kube = World(self.name, self, self._kubectl)  # type: ignore[arg-type]

    def _make_cluster(self) -> None:
        version = "2024-11-01"
        self.arm.send("PUT", self.group, api_version=version, body={"location": "eastus"})
        pool = {"name": "system", "mode": "System", "count": 1, "vmSize": CPU}
        properties = {
            "dnsPrefix": "stories",
            "kubernetesVersion": NEW,
            "agentPoolProfiles": [pool],
        }
        body = {
            "location": "eastus",
            "identity": {"type": "SystemAssigned"},
            "properties": properties,
        }
        self.arm.operate("PUT", self.cluster, body=body)

    @property
    def snapshot(self) -> str:
        return f"{self.group}/providers/Microsoft.ContainerService/snapshots/{SNAPSHOT}"

    def pools(self) -> list[str]:
        return [pool["name"] for pool in self.arm.pages(f"{self.cluster}/agentPools")]


class Pool:
    """One agent pool of a world, through both of its APIs."""

    def __init__(self, world: PoolWorld, name: str):
        self.world = world
        self.name = name
        self.path = f"{world.cluster}/agentPools/{name}"

    # ARM

    def put(self, *, wait: bool = True, **properties: Any) -> Any:
        """Create it, or change some of its properties."""
        here = self.show() if self.name in self.world.pools() else {"mode": "User", "vmSize": CPU}
        return self._operate("PUT", "", {"properties": {**here, **properties}}, wait=wait)

    def post(self, action: str, body: Any = None, *, wait: bool = True) -> Any:
        return self._operate("POST", f"/{action}", body, wait=wait)

    def delete(self) -> None:
        self._operate("DELETE", "", None, wait=True)

    def _operate(self, method: str, more: str, body: Any, *, wait: bool) -> Any:
        return self.world.arm.operate(
            method, self.path + more, body=body, wait=wait, api_version=AKS_PREVIEW_API_VERSION
        )

    def show(self) -> dict[str, Any]:
        return self.world.arm.get(self.path, api_version=AKS_PREVIEW_API_VERSION)["properties"]

    def state(self) -> str:
        return self.show()["provisioningState"]

    def settled(self, seconds: float = 60) -> str:
        """The state that its operation ended in."""
        return self.until(lambda: (state := self.state()) in _ENDED and state, seconds)

    def machines(self) -> list[str]:
        return sorted(item["name"] for item in self.world.arm.pages(f"{self.path}/machines"))

    # The cluster's own API

    def nodes(self) -> dict[str, Any]:
        """By name."""
        label = f"agentpool={self.name}"
        found = self.world.kube.items("/api/v1/nodes", labelSelector=label)
        return {node["metadata"]["name"]: node for node in found}

    def ready(self) -> list[str]:
        return sorted(name for name, node in self.nodes().items() if is_ready(node))

    def until(self, question, seconds: float = 60) -> Any:
        """Ask again until it holds; the deadline only bounds a failure."""
        return until(question, seconds, every=0.05, told=lambda: str(self.show()))


def is_ready(thing: Any) -> bool:
    """Of a node or a pod."""
    conditions = thing["status"].get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
