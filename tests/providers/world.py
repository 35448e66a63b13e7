"""A small world around the simulated cloud, on the virtual loop."""

import asyncio
import contextlib
from datetime import timedelta
from random import Random

from poolwright.model.cluster_key import ClusterKey
from poolwright.model.gpu import InstallProfile
from poolwright.model.machine import Bootstrap, MachineRequest
from poolwright.providers.simulated.cloud import SimulatedCloud
from poolwright.providers.simulated.ledger import KINDS
from poolwright.providers.simulated.settings import SimulatedCloudSettings
from poolwright.sim.clock import SimClock
from poolwright.sim.identity import SeededIdentity
from poolwright.sim.loop import run
from poolwright.store import SqlStore
from providers.fake_kube import FakeClusters

CLUSTER = ClusterKey("sub-1", "rg1", "aks1")
IMAGE = "AKSUbuntu-2204gen2containerd-202607.09.0"
GPU_SIZE = "Standard_NC24ads_A100_v4"


def machine_name(index, pool="gpunp"):
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    for _ in range(6):
        index, rest = divmod(index, 36)
        text = digits[rest] + text
    return f"aks-{pool}-28993262-vmss{text}"


def bootstrap(**changes):
    return Bootstrap(
        **{"kubernetes_version": "1.35.4", "node_image_version": IMAGE, "max_pods": 110} | changes
    )


def gpu_bootstrap(**changes):
    return bootstrap(install_profile=InstallProfile.EVERYTHING, **changes)


def request(index=0, *, pool="gpunp", vm_size="Standard_DS2_v2", setup=None, **changes):
    given = {
        "cluster": CLUSTER,
        "pool": pool,
        "name": machine_name(index, pool),
        "region": "eastus",
        "vm_size": vm_size,
        "generation": 1,
        "bootstrap": setup or bootstrap(),
    }
    return MachineRequest(**given | changes)


class World:
    """A store, a cluster and a cloud; `restarted` is a new process on the same store."""

    def __init__(self, settings=None, *, speed=60.0, seed=7):
        self.clock = self._new_clock(speed)
        self.store = SqlStore.open(None, clock=self.clock, kinds=KINDS)
        self.clusters = self._new_clusters()
        self.settings = settings or SimulatedCloudSettings()
        self.seed = seed
        self.identity = SeededIdentity(Random(f"{seed}/identity"))
        self.cloud = self._new_cloud()

    @staticmethod
    def play(story):
        """Run an async story (a function of no arguments) in virtual time."""
        return run(story())

    def _new_clock(self, speed):
        return SimClock(speed=speed)

    def _new_clusters(self):
        return FakeClusters(self.clock)

    def _new_cloud(self):
        return SimulatedCloud(
            self.store,
            self.clusters,
            self.clock,
            self.identity,
            Random(f"{self.seed}/cloud"),
            self.settings,
        )

    @property
    def kube(self):
        return self.clusters.kube(CLUSTER)

    @contextlib.asynccontextmanager
    async def running(self):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part.run()) for part in (self.clusters, self.cloud)]
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()

    def restart(self):
        self.cloud = self._new_cloud()

    async def passes(self, **duration):
        """World time passes, and what fell due is done."""
        await self.clock.sleep_until(self.clock.now().world.after(timedelta(**duration)))
        for _ in range(200):
            await asyncio.sleep(0)

    async def machine(self, name):
        return next((m for m in await self.cloud.list_machines(CLUSTER) if m.name == name), None)


play = World.play


def pod(name, image="nginx:1.15.9", *, owner="", labels=None, annotations=None, **spec):
    container = {"name": "main", "image": image}
    for key in ("command", "args", "resources", "readinessProbe"):
        if key in spec:
            container[key] = spec.pop(key)
    meta = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
    if owner:
        meta["ownerReferences"] = [
            {"kind": owner, "name": name, "uid": f"owner-{name}", "controller": True}
        ]
    return {"metadata": meta, "spec": {"containers": [container], **spec}}


def component(name):
    return pod(
        f"{name}-x",
        f"mcr.microsoft.com/aks/{name}:1",
        owner="DaemonSet",
        labels={"app.kubernetes.io/name": name},
    )


PLUGIN = component("nvidia-device-plugin")
EXPORTER = component("nvidia-dcgm-exporter")


def gpu_pod(name, count=1, resource="nvidia.com/gpu", **more):
    return pod(name, "mine:1", resources={"limits": {resource: str(count)}}, **more)
