"""One cluster on virtual time: registry, controllers, and a kubelet that does the least it can."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from random import Random

from poolwright.kubesim.account_token import Tokens
from poolwright.kubesim.controllers import ControllerSettings, run_controllers
from poolwright.kubesim.kinds import KINDS
from poolwright.kubesim.registry import Registry, store_kind
from poolwright.kubesim.status import StatusError
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import Expired
from poolwright.model.instant import wall_text
from poolwright.model.kubernetes import (
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    RENDERED_ANNOTATION,
)
from poolwright.sim.clock import SimClock
from poolwright.sim.identity import SeededIdentity
from poolwright.sim.loop import run
from poolwright.store import SqlStore

KEY = ClusterKey("sub", "rg", "one")
RUN_SECONDS = "test/run-seconds"
EXIT = "test/exit"


def play(story, **settings):
    """Run ``story(world)`` to its end on virtual time."""

    async def main():
        async with world(**settings) as w:
            await story(w)

    run(main())


@asynccontextmanager
async def world(*, speed=60.0, system_pods=False):
    clock, identity = SimClock(speed=speed), SeededIdentity(Random(7))
    store = Hearing(SqlStore.open(None, clock=clock, kinds=[store_kind(k) for k in KINDS]))
    async with asyncio.TaskGroup() as group:
        tasks = []
        if hasattr(store, "run"):
            tasks.append(group.create_task(store.run()))
        registry = await Registry.load(KEY, store, clock, identity)
        for name in ("default", "kube-system", "kube-node-lease"):
            await registry.create(NAMESPACES, {"metadata": {"name": name}})
        made = World(registry, clock, identity)
        made.store = store
        settings = ControllerSettings(
            partial(Tokens(registry).issue_for_secret, key="k" * 32),
            system_pods=system_pods,
            raise_bugs=True,
        )
        tasks.append(group.create_task(registry.follow()))
        tasks.append(group.create_task(run_controllers(registry, clock, identity, settings)))
        tasks.append(group.create_task(made.kubelet()))
        await asyncio.sleep(0)
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()


class Hearing:
    """A store whose change stream can be closed to one, as a log compacted past a follower is."""

    def __init__(self, store):
        self.store, self.is_deaf, self.missed = store, False, False

    def __getattr__(self, name):
        return getattr(self.store, name)

    async def watch(self, scope, after):
        async for change in self.store.watch(scope, after):
            if self.is_deaf:
                self.missed = True
            elif self.missed:
                self.missed = False
                raise Expired("the log was compacted")
            else:
                yield change


class World:
    def __init__(self, registry, clock, identity):
        self.registry, self.clock, self.identity = registry, clock, identity

    async def add_node(self, name, *, labels=None, taints=(), ready=True, lease=True, **resources):
        size = {"cpu": "4", "memory": "16Gi", "pods": "110", **resources}
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **(labels or {})}
        node = await self.registry.create(
            NODES,
            {
                "metadata": {"name": name, "labels": labels},
                "spec": {"taints": list(taints)},
            },
        )
        if lease:
            await self.registry.create(
                LEASES,
                {"metadata": {"name": name, "annotations": {RENDERED_ANNOTATION: "true"}}},
                namespace="kube-node-lease",
            )
        await self.set_ready(name, ready, size)
        return node

    async def set_ready(self, name, ready, size=None):
        def mutate(node):
            status = node.setdefault("status", {})
            if size:
                status["capacity"] = status["allocatable"] = size
            status["conditions"] = [{"type": "Ready", "status": "True" if ready else "False"}]

        await self.registry.update(NODES, name, mutate, subresource="status")

    async def create(self, resource, body, namespace="default"):
        return await self.registry.create(resource, body, namespace=namespace)

    def get(self, resource, name, namespace="default"):
        return self.registry.get(resource, name, namespace)

    def pods(self, namespace="default"):
        return [e.object() for e in self.registry.list(PODS, namespace)]

    def events(self, reason, namespace="default"):
        found = [e.object() for e in self.registry.list(EVENTS, namespace)]
        return [e["message"] for e in found if e["reason"] == reason]

    async def settle(self, minutes=1):
        """Let so many world minutes pass."""
        await self.clock.sleep_until(self.clock.now().world.after(timedelta(minutes=minutes)))
        await asyncio.sleep(0.5)

    async def kubelet(self):
        async with self.registry.changes((PODS,)) as queue, asyncio.TaskGroup() as group:
            while True:
                change = await queue.get()
                if change.type != "DELETED":
                    group.create_task(self._tend(change.new.object()))

    async def _tend(self, pod):
        meta, status = pod["metadata"], pod.get("status") or {}
        if not pod["spec"].get("nodeName"):
            return
        try:
            if "deletionTimestamp" in meta:
                if status.get("phase") not in {"Succeeded", "Failed"}:
                    await self._phase(meta, "Failed", ready=False)
                await self.registry.delete(
                    PODS, meta["name"], namespace=meta["namespace"], grace_seconds=0
                )
            elif status.get("phase") in {None, "Pending"}:
                await self._phase(meta, "Running", ready=True)
                seconds = (meta.get("annotations") or {}).get(RUN_SECONDS)
                if seconds:
                    end = self.clock.now().world.after(timedelta(seconds=int(seconds)))
                    await self.clock.sleep_until(end)
                    failed = (meta.get("annotations") or {}).get(EXIT, "0") != "0"
                    await self._phase(meta, "Failed" if failed else "Succeeded", ready=False)
        except StatusError:
            pass

    async def _phase(self, meta, phase, *, ready):
        def mutate(pod):
            status = pod.setdefault("status", {})
            if status.get("phase") in {"Succeeded", "Failed"}:
                return
            status["phase"] = phase
            rest = [c for c in status.get("conditions") or () if c["type"] != "Ready"]
            since = wall_text(self.clock.now().wall)
            said = {"type": "Ready", "status": str(ready), "lastTransitionTime": since}
            status["conditions"] = [*rest, said]

        await self.registry.update(
            PODS, meta["name"], mutate, namespace=meta["namespace"], subresource="status"
        )


def template(app="web", **spec):
    container = {"name": "main", "image": "registry/web:1"}
    container.update(spec.pop("container", {}))
    annotations = spec.pop("annotations", {})
    return {
        "metadata": {"labels": {"app": app}, "annotations": annotations},
        "spec": {"containers": [container], **spec},
    }


def workload(name, *, app="web", pod=None, **spec):
    return {
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": app}},
            "template": pod or template(app),
            **spec,
        },
    }
