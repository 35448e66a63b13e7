"""The world of `providers.world` with nodes that KWOK plays; here a few lines play KWOK."""

import asyncio
import contextlib
from random import Random

from poolwright.model.kubernetes import NODES
from poolwright.ports.kube import PatchKind
from poolwright.providers.kwok.fleet import KwokFleet
from poolwright.providers.kwok.node_object import FAKE, KWOK_ANNOTATION, is_ready
from poolwright.providers.simulated.cloud import SimulatedCloud
from providers.world import World

READY = {"type": "Ready", "status": "True", "reason": "KubeletReady"}


class KwokWorld(World):
    plays_all = False

    def _new_cloud(self):
        return SimulatedCloud(
            self.store,
            self.clusters,
            self.clock,
            self.identity,
            Random(f"{self.seed}/cloud"),
            self.settings,
            new_node_side=KwokFleet,
        )

    @contextlib.asynccontextmanager
    async def running(self):
        async with super().running(), asyncio.TaskGroup() as group:
            task = group.create_task(self._play_kwok())
            try:
                yield self
            finally:
                task.cancel()

    async def _play_kwok(self):
        """KWOK's stage node-initialize: a managed node that is not ready becomes ready."""
        for node in self.kube.all(NODES):
            await self._initialize(node)
        async for event in self.kube.watch(NODES, after="0"):
            if event.type != "DELETED":
                await self._initialize(event.object)

    async def _initialize(self, node):
        annotations = node["metadata"].get("annotations") or {}
        is_played = self.plays_all or annotations.get(KWOK_ANNOTATION) == FAKE
        if is_played and not is_ready(node):
            await self.kube.patch(
                NODES,
                node["metadata"]["name"],
                {"status": {"conditions": [READY]}},
                kind=PatchKind.STRATEGIC,
                subresource="status",
            )
