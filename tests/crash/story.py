"""What the user does, step by step, and what must then be there."""

from __future__ import annotations

import time
from collections.abc import Callable

from user import DEPLOYMENTS, GROUP, User

OLD, NEW, NEWEST = "1.34.4", "1.35.4", "1.36.3"
SNAPSHOT = "taken-long-ago"
WEB = {"app": "web"}
_PATIENCE = 30.0
_AGENT_POOLS = "Microsoft.ContainerService/managedClusters/agentPools"


def _template(cluster: str, pools: dict[str, dict]) -> dict:
    """A deployment of pools, each after the one before."""
    resources, before = [], []
    for name, properties in pools.items():
        resources.append(
            {
                "type": _AGENT_POOLS,
                "apiVersion": "2026-08-01",
                "name": f"{cluster}/{name}",
                "dependsOn": list(before),
                "properties": properties,
            }
        )
        before = [f"[resourceId('{_AGENT_POOLS}', '{cluster}', '{name}')]"]
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/"
        "deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": resources,
    }
    return {"properties": {"mode": "Incremental", "template": template, "parameters": {}}}


def _service(replicas: int) -> dict:
    container = {"name": "web", "image": "nginx", "resources": {"requests": {"cpu": "100m"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": WEB},
            "template": {
                "metadata": {"labels": WEB},
                "spec": {"nodeSelector": {"agentpool": "plain"}, "containers": [container]},
            },
        },
    }


_BUDGET = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "web"},
    "spec": {"minAvailable": 2, "selector": {"matchLabels": WEB}},
}
_REPLICAS = 4


class Story:
    """The life of one cluster; `steps` are its steps, to be done in order."""

    def __init__(self, user: User, cluster: str) -> None:
        self._user = user
        self._cluster = cluster
        self._path = user.cluster(cluster)
        self.pools: dict[str, int] | None = None
        """The pools that there must be, with their ready nodes; None: no cluster."""
        self._has_service = False
        self._is_stopped = False

    def steps(self) -> dict[str, Callable[[], None]]:
        """By name, what the user does."""
        return {
            "create a cluster": self._create,
            "deploy a template": self._deploy,
            "add a pool from a snapshot": self._add,
            "scale up": lambda: self._scale("gpu", 2),
            "upgrade": lambda: self._change("plain", orchestratorVersion=NEW),
            "abort": self._abort,
            "upgrade the node image": self._upgrade_image,
            "scale down": lambda: self._scale("plain", 2),
            "delete machines": self._delete_machine,
            "stop a pool": lambda: self._power("Stopped", 0),
            "start a pool": lambda: self._power("Running", 1),
            "stop the cluster": self._stop,
            "start the cluster": self._start,
            "upgrade the cluster": self._upgrade_cluster,
            "delete a pool": self._remove,
            "delete the cluster": self._end,
        }

    # -- how ------------------------------------------------------------------------------------

    def _pool(self, name: str) -> str:
        return self._user.pool(self._cluster, name)

    def _wait(self, *urls: str, paths: tuple[str, ...]) -> None:
        self._user.finish(*urls)
        for path in paths:
            self._user.settle(path)

    def _begin(self, name: str, **properties: object) -> str:
        here = self._user.ask("GET", self._pool(name)).json()["properties"]
        return self._user.send("PUT", self._pool(name), {"properties": here | properties})

    def _change(self, name: str, **properties: object) -> None:
        self._wait(self._begin(name, **properties), paths=(self._pool(name),))

    # -- steps ----------------------------------------------------------------------------------

    def _create(self) -> None:
        first = {"name": "system", "count": 1, "vmSize": "Standard_DS2_v2", "mode": "System"}
        properties = {
            "kubernetesVersion": NEW,
            "dnsPrefix": self._cluster,
            "agentPoolProfiles": [first],
        }
        body = {
            "location": "eastus",
            "identity": {"type": "SystemAssigned"},
            "properties": properties,
        }
        self._wait(self._user.send("PUT", self._path, body), paths=(self._path,))
        self.pools = {"system": 1}

    def _deploy(self) -> None:
        gpu = {
            "count": 1,
            "vmSize": "Standard_NC24ads_A100_v4",
            "orchestratorVersion": OLD,
            "mode": "User",
            "gpuProfile": {"nvidia": {"managementMode": "Managed"}},
        }
        plain = {
            "count": 3,
            "vmSize": "Standard_DS2_v2",
            "orchestratorVersion": OLD,
            "mode": "User",
        }
        path = f"{self._user.group}/providers/Microsoft.Resources/deployments/{self._cluster}"
        body = _template(self._cluster, {"gpu": gpu, "plain": plain})
        self._wait(
            self._user.send("PUT", path, body, DEPLOYMENTS),
            paths=(self._pool("gpu"), self._pool("plain")),
        )
        self.pools |= {"gpu": 1, "plain": 3}
        self._user.create(
            self._cluster, "/apis/apps/v1/namespaces/default/deployments", _service(_REPLICAS)
        )
        self._user.create(
            self._cluster, "/apis/policy/v1/namespaces/default/poddisruptionbudgets", _BUDGET
        )
        self._has_service = True

    def _add(self) -> None:
        source = (
            f"/subscriptions/{self._user.subscription}/resourceGroups/{GROUP}/providers/"
            f"Microsoft.ContainerService/snapshots/{SNAPSHOT}"
        )
        properties = {
            "count": 1,
            "vmSize": "Standard_DS2_v2",
            "mode": "User",
            "orchestratorVersion": NEW,
            "creationData": {"sourceResourceId": source},
        }
        path = self._pool("aged")
        self._wait(self._user.send("PUT", path, {"properties": properties}), paths=(path,))
        self.pools["aged"] = 1

    def _scale(self, name: str, count: int) -> None:
        self._change(name, count=count)
        self.pools[name] = count

    def _abort(self) -> None:
        """An upgrade is aborted half-way, and then asked for again."""
        path = self._pool("gpu")
        url = self._begin("gpu", orchestratorVersion=NEW)
        # Either it was aborted, or it ended before the (perhaps repeated) request came.
        abort = self._user.send("POST", f"{path}/abort", done="no operation in progress")
        self._user.finish(abort)
        self._user.finish(url, ends=frozenset({"Canceled", "Succeeded"}))
        self._user.settle(path)
        self._change("gpu", orchestratorVersion=NEW)

    def _upgrade_image(self) -> None:
        path = self._pool("aged")
        self._wait(self._user.send("POST", f"{path}/upgradeNodeImageVersion"), paths=(path,))

    def _delete_machine(self) -> None:
        path = self._pool("gpu")
        machines = self._user.ask("GET", f"{path}/machines").json()["value"]
        body = {"machineNames": [machines[0]["name"]]}
        url = self._user.send(
            "POST", f"{path}/deleteMachines", body, done="Cannot find any valid machines"
        )
        self._wait(url, paths=(path,))
        self.pools["gpu"] -= 1

    def _power(self, code: str, running: int) -> None:
        # A stopped pool shows no nodes: that must not be sent back when the answer was lost.
        self._change("gpu", powerState={"code": code}, count=1)
        self.pools["gpu"] = running

    def _stop(self) -> None:
        url = self._user.send("POST", f"{self._path}/stop", done="is already stopped")
        self._wait(url, paths=(self._path,))
        self._is_stopped = True

    def _start(self) -> None:
        url = self._user.send("POST", f"{self._path}/start", done="is already running")
        self._wait(url, paths=(self._path,))
        self._is_stopped = False

    def _upgrade_cluster(self) -> None:
        body = self._user.ask("GET", self._path).json()
        body["properties"]["kubernetesVersion"] = NEWEST
        for profile in body["properties"]["agentPoolProfiles"]:
            profile["orchestratorVersion"] = NEWEST
        paths = (self._path, *(self._pool(name) for name in self.pools))
        self._wait(self._user.send("PUT", self._path, body), paths=paths)

    def _remove(self) -> None:
        path = self._pool("plain")
        self._wait(self._user.send("DELETE", path), paths=(path,))
        del self.pools["plain"]
        self._has_service = False
        assert self._user.ask("GET", path).status_code == 404

    def _end(self) -> None:
        self._wait(self._user.send("DELETE", self._path), paths=(self._path,))
        self.pools = None
        assert self._user.ask("GET", self._path).status_code == 404

    # -- what must be there ---------------------------------------------------------------------

    def check(self) -> list[str]:
        """What the API and Kubernetes say of the cluster as it should be; names of the nodes."""
        if self.pools is None:
            return []
        listed = self._user.ask("GET", f"{self._path}/agentPools").json()["value"]
        assert sorted(self.pools) == sorted(each["name"] for each in listed)
        for each in listed:
            assert each["properties"]["provisioningState"] == "Succeeded", each
        if self._is_stopped:
            return []
        here = self._user.nodes(self._cluster)
        counted = {pool: len(here.get(pool, [])) for pool in self.pools}
        assert counted == self.pools, f"nodes ready: {counted}; there must be {self.pools}"
        assert here.keys() <= self.pools.keys()
        if self._has_service:
            deadline = time.monotonic() + _PATIENCE
            while (running := self._user.running(self._cluster, "web")) != _REPLICAS:
                assert time.monotonic() < deadline, f"{running} of {_REPLICAS} pods run"
                time.sleep(0.05)
        return sorted(name for names in here.values() for name in names)
