"""The ARM front in process: a real store in memory, no machines, and somebody who ends operations
as the control plane does (records.md R3, R4, R5, R7).
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from random import Random

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from poolwright.arm.app import create_app
from poolwright.arm.context import ArmContext
from poolwright.arm.settings import ArmSettings
from poolwright.arm.tokens import TokenKeys
from poolwright.model.agent_pool import (
    AGENT_POOL,
    OPERATION,
    OperationState,
    ProvisioningState,
)
from poolwright.model.errors import ErrorDetail
from poolwright.model.managed_cluster import MANAGED_CLUSTER
from poolwright.model.scarcity import Scarcity
from poolwright.ports.kube import ControlPlane
from poolwright.ports.store import Delete, Update
from poolwright.sim.clock import SimClock
from poolwright.sim.identity import SeededIdentity
from poolwright.store.sql_store import SqlStore

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg1"
CLUSTER = f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/c1"
VERSION = "2026-06-01"
NEWEST = "2026-08-01"
PREVIEW = "2026-08-02-preview"

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)


class Machines:
    """A provider that has what a test gives it."""

    def __init__(self):
        self.machines = []
        self.now = Scarcity()

    async def list_machines(self, cluster, pool=None):
        return [m for m in self.machines if pool is None or m.pool == pool]

    async def scarcity(self, region):
        return self.now

    async def set_scarcity(self, region, scarcity):
        self.now = scarcity

    async def usage(self, region):
        return []


class ControlPlanes:
    """Control planes that are always there."""

    async def get(self, cluster):
        return ControlPlane("v1.35.4", True, f"https://localhost/k8s/{cluster.name}", b"PEM")

    async def token(self, cluster, *, admin):
        return "admin-token" if admin else "user-token"

    async def kubeconfig_user(self, cluster, *, admin):
        return {"token": await self.token(cluster, admin=admin)}


class Answer:
    """Status, headers (names in lower case, repeated ones joined) and body."""

    def __init__(self, status, headers, raw):
        self.status = status
        self.headers = {}
        for raw_name, raw_value in headers:
            name, value = raw_name.decode().lower(), raw_value.decode("latin-1")
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        self.body = json.loads(raw) if raw else None

    @property
    def properties(self):
        return self.body["properties"]

    def __repr__(self):
        return f"{self.status} {json.dumps(self.body)}"


class World:
    """One ARM front."""

    def __init__(self):
        self.clock = SimClock()
        self.store = SqlStore.open(None, clock=self.clock)
        self.machines = Machines()
        self.context = ArmContext(
            store=self.store,
            machine_provider=self.machines,
            clusters=None,
            control_planes=ControlPlanes(),
            clock=self.clock,
            identity=SeededIdentity(Random(1)),
            settings=ArmSettings(development_tokens=("t",)),
        )
        self.app = create_app(self.context, TokenKeys.from_pem(KEY))

    async def call(self, method, path, body=None, *, version=VERSION, headers=None, raw=None):
        """One request, answered."""
        path, _, query = path.partition("?")
        query = f"{query}&" if query else ""
        content = raw if raw is not None else (b"" if body is None else json.dumps(body).encode())
        sent = {"host": "localhost:8443", "authorization": "Bearer t", **(headers or {})}
        if content:
            sent.setdefault("content-type", "application/json")
        scope = {
            "type": "http",
            "method": method,
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": f"{query}api-version={version}".encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in sent.items()],
        }
        got = {}

        async def receive():
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message):
            if message["type"] == "http.response.start":
                got["status"], got["headers"] = message["status"], message["headers"]
            else:
                got["raw"] = got.get("raw", b"") + message.get("body", b"")

        await self.app(scope, receive, send)
        return Answer(got["status"], got["headers"], got["raw"])

    async def get(self, path, **more):
        return await self.call("GET", path, **more)

    async def put(self, path, body, **more):
        return await self.call("PUT", path, body, **more)

    async def post(self, path, body=None, **more):
        return await self.call("POST", path, body, **more)

    async def delete(self, path, **more):
        return await self.call("DELETE", path, **more)

    async def put_pool(self, name, properties, *, settle=True, **more):
        """PUT one pool of c1; its operation ends well if it was accepted."""
        answer = await self.put(f"{CLUSTER}/agentPools/{name}", {"properties": properties}, **more)
        if settle and answer.status < 300:
            await self.settle()
        return answer

    async def get_pool(self, name, **more):
        return await self.get(f"{CLUSTER}/agentPools/{name}", **more)

    async def group(self):
        answer = await self.put(GROUP, {"location": "eastus"}, version="2024-11-01")
        assert answer.status == 201, answer

    async def cluster(self, *, properties=None, pools=None, **more):
        """A resource group with the cluster c1, ready."""
        await self.group()
        body = cluster_body(properties, pools)
        answer = await self.put(CLUSTER, body, **more)
        assert answer.status == 201, answer
        await self.settle()
        return answer

    async def feature(self, name="ManagedGPUExperiencePreview"):
        """Register a preview feature and wait until it counts."""
        path = (
            f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Features/providers/"
            f"Microsoft.ContainerService/features/{name}/register"
        )
        assert (await self.post(path, version="2021-07-01")).status == 200
        self.clock._skew += self.context.settings.feature_registration

    async def settle(self, error=None):
        """Do what the control plane does when everything has gone well (or wrong)."""
        for scope in await self.store.scopes("arm/"):
            pools, _ = await self.store.list(scope, AGENT_POOL)
            for cluster in (await self.store.list(scope, MANAGED_CLUSTER))[0]:
                if cluster.deleted_at:
                    await self._remove(scope, MANAGED_CLUSTER, cluster, pools)
                else:
                    await self._end(
                        scope,
                        MANAGED_CLUSTER,
                        cluster,
                        error,
                        running_kubernetes_version=cluster.spec.current_kubernetes_version,
                    )
            for pool in (await self.store.list(scope, AGENT_POOL))[0]:
                if pool.deleted_at:
                    await self._remove(scope, AGENT_POOL, pool, ())
                else:
                    await self._end(
                        scope,
                        AGENT_POOL,
                        pool,
                        error,
                        current_kubernetes_version=pool.spec.kubernetes_version,
                    )

    async def _end(self, scope, kind, record, error, **more):
        status = record.status
        if status.provisioning_state.is_terminal:
            return
        state = ProvisioningState.FAILED if error else ProvisioningState.SUCCEEDED
        if status.abort_operation_id:
            state = ProvisioningState.CANCELED
        detail = ErrorDetail("NodesNotReady", error) if error else None
        ended = replace(
            status,
            provisioning_state=state,
            operation_id=None,
            abort_operation_id=None,
            error=detail,
            **more,
        )
        writes = [
            Update(kind, record.name, status=ended),
            *await self._end_operation(scope, status.operation_id, state),
            *await self._end_operation(
                scope, status.abort_operation_id, ProvisioningState.SUCCEEDED
            ),
        ]
        await self.store.transact(scope, writes)

    async def _end_operation(self, scope, name, state):
        if name is None:
            return []
        found = await self.store.get(scope, OPERATION, name)
        ended = replace(
            found.status, state=OperationState(state.value), ended_at=self.clock.now().wall
        )
        return [Update(OPERATION, name, status=ended)]

    async def _remove(self, scope, kind, record, pools):
        writes = [Delete(kind, record.name)]
        writes += [Delete(AGENT_POOL, pool.name) for pool in pools]
        done = ProvisioningState.SUCCEEDED
        writes += await self._end_operation(scope, record.status.operation_id, done)
        await self.store.transact(scope, writes)


def cluster_body(properties=None, pools=None):
    """A request for a cluster, as az makes it."""
    pools = pools or [{"name": "nodepool1", "count": 1, "mode": "System", "vmSize": ""}]
    return {
        "location": "eastus",
        "identity": {"type": "SystemAssigned"},
        "sku": {"name": "Base", "tier": "Free"},
        "properties": {
            "dnsPrefix": "c1-rg1",
            "kubernetesVersion": "",
            "agentPoolProfiles": pools,
            **(properties or {}),
        },
    }


def run(story):
    """Run an async test on a loop of its own."""

    async def main():
        world = World()
        try:
            return await story(world)
        finally:
            closed = world.store.close()
            if closed is not None:
                await closed

    return asyncio.run(main())
