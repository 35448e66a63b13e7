"""The world of `providers.world` on a real Kubernetes, whose KWOK plays the nodes. Its time is
real, but runs fast while nothing is to be done.
"""

import asyncio
import contextlib
import time
from datetime import timedelta

import httpx

from poolwright.app.idle_loop import run
from poolwright.app.real_clock import RealClock
from poolwright.kube.client import Endpoint, HttpKube
from poolwright.kube.kubeconfig import read_kubeconfig
from poolwright.model.kubernetes import NODES
from poolwright.model.machine import MachinePhase
from poolwright.providers.kwok.node_object import OWNED, is_ready
from poolwright.providers.simulated.node_object import system_uuid
from providers.kwok_world import KwokWorld
from providers.world import CLUSTER, World

# ruff: noqa: ASYNC110  (conditions of another process can only be polled)
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64)
SPEED = 600
PATIENCE = 20
"""Real seconds within which the cluster has followed the machines."""
SETTLED = {MachinePhase.RUNNING, MachinePhase.STOPPED, MachinePhase.FAILED}


class LiveKube:
    """The client, and the nodes as they were at the last look."""

    def __init__(self, kube):
        self._kube = kube
        self._nodes = {}

    def __getattr__(self, name):
        return getattr(self._kube, name)

    async def look(self):
        listed = await self._kube.list(NODES, label_selector=OWNED)
        self._nodes = {node["metadata"]["name"]: node for node in listed.items}
        return self._nodes

    def node(self, name):
        return self._nodes.get(name)

    def ready(self, name):
        conditions = self._nodes.get(name, {}).get("status", {}).get("conditions", ())
        return next((c["status"] for c in conditions if c["type"] == "Ready"), None)


class LiveClusters:
    def __init__(self, kubeconfig):
        self._access = read_kubeconfig(kubeconfig)
        self._transport = None
        self._kube = LiveKube(HttpKube(self._connect))

    async def _connect(self):
        if self._transport is None:
            context = self._access.ssl_context()
            self._transport = httpx.AsyncHTTPTransport(verify=context, limits=LIMITS)
        return Endpoint(self._transport, self._access.server_url, self._access.token)

    async def connected(self):
        """Nothing is being connected: what is cancelled amid that is left open by httpcore."""
        while self._transport is not None and any(
            "CONNECTING" in connection.info() for connection in self._transport._pool.connections
        ):
            await asyncio.sleep(0.01)

    async def close(self):
        if self._transport is not None:
            await self._transport.aclose()

    def kube(self, cluster):
        return self._kube

    async def run(self):
        pass  # nobody asks for a view

    def wake(self, cluster):
        pass


class LiveWorld(World):
    kubeconfig = None
    play = staticmethod(lambda story: run(story()))
    _new_cloud = KwokWorld._new_cloud

    def _new_clock(self, speed):
        return RealClock(SPEED)

    def _new_clusters(self):
        return LiveClusters(self.kubeconfig)

    @contextlib.asynccontextmanager
    async def running(self):
        try:
            async with super().running():
                yield self
                await self.clusters.connected()
        finally:
            await self.clusters.close()
            self.clusters = self._new_clusters()

    async def passes(self, **duration):
        """World time passes, at most until nothing more would happen, and the cluster follows."""
        until = self.clock.now().world.after(timedelta(**duration))
        while self.clock.now().world < until and not await self._is_settled():
            await asyncio.sleep(0.01)
        deadline = time.monotonic() + PATIENCE
        while not await self._has_followed() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)

    async def _is_settled(self):
        return all(m.phase in SETTLED and not m.step for m in await self._machines())

    async def _has_followed(self):
        nodes = await self.kube.look()
        machines = {machine.name: machine for machine in await self._machines()}
        return nodes.keys() <= machines.keys() and all(
            _agrees(machine, nodes.get(machine.name)) for machine in machines.values()
        )

    async def _machines(self):
        return await self.cloud.list_machines(CLUSTER)


def _agrees(machine, node):
    """Whether the Node is what the machine's phase calls for."""
    if machine.phase is MachinePhase.DELETING:
        return True
    if machine.phase is MachinePhase.RUNNING:
        return node is not None and is_ready(node) and system_uuid(node) == machine.uid
    return node is None or not is_ready(node)


def live_world(stack):
    """The world on that cluster."""
    return type("LiveWorldHere", (LiveWorld,), {"kubeconfig": stack.kubeconfig})
