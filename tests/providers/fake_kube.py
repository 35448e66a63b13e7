"""A cluster in a few dictionaries: enough of `ports.Kube` to see what the machine's side asks."""

import asyncio
import copy
import random
from collections import Counter
from random import Random

from poolwright.kube.view import InformerView
from poolwright.model.errors import Conflict, InvalidRequest, NotFound, Precondition, Transient
from poolwright.model.kubernetes import NODES, PODS
from poolwright.ports.kube import ObjectList, PatchKind, WatchEvent


def merge(target, change):
    if not isinstance(change, dict) or not isinstance(target, dict):
        return copy.deepcopy(change)
    result = dict(target)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key, {}), value)
    return result


def merge_strategic(target, change):
    result = merge(target, change)
    before = {c["type"]: c for c in target.get("status", {}).get("conditions", [])}
    after = {c["type"]: c for c in change.get("status", {}).get("conditions", [])}
    if before or after:
        merged = {type_: merge(before.get(type_, {}), c) for type_, c in after.items()}
        result["status"]["conditions"] = list({**before, **merged}.values())
    return result


class FakeKube:
    def __init__(self):
        self.objects = {}
        self.revision = 0
        self.watchers = []
        self.requests = Counter()
        self.is_reachable = True
        self._ids = random.Random(1)

    def _called(self, verb, resource):
        if not self.is_reachable:
            raise Transient("the cluster cannot be reached")
        self.requests[verb, resource.kind] += 1

    def _key(self, resource, namespace, name):
        return (resource.plural, namespace, name)

    def _publish(self, kind, resource, obj):
        for plural, queue in self.watchers:
            if plural == resource.plural:
                queue.put_nowait(WatchEvent(kind, copy.deepcopy(obj)))

    def _store(self, resource, key, obj, kind):
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        self.objects[key] = obj
        self._publish(kind, resource, obj)
        return copy.deepcopy(obj)

    def all(self, resource):
        return [
            o for (plural, _, _), o in sorted(self.objects.items()) if plural == resource.plural
        ]

    def node(self, name):
        return self.objects.get(("nodes", "", name))

    def pod(self, name, namespace="default"):
        return self.objects.get(("pods", namespace, name))

    async def version(self):
        return "v1.35.4"

    async def get(self, resource, name, *, namespace=""):
        self._called("get", resource)
        try:
            return copy.deepcopy(self.objects[self._key(resource, namespace, name)])
        except KeyError:
            raise NotFound(name) from None

    async def list(self, resource, *, namespace="", label_selector="", field_selector=""):
        self._called("list", resource)
        return ObjectList(copy.deepcopy(self.all(resource)), str(self.revision))

    async def watch(self, resource, *, after, namespace="", label_selector="", field_selector=""):
        self._called("watch", resource)
        queue = asyncio.Queue()
        entry = (resource.plural, queue)
        self.watchers.append(entry)
        try:
            while True:
                yield await queue.get()
        finally:
            self.watchers.remove(entry)

    async def create(self, resource, body, *, namespace=""):
        self._called("create", resource)
        obj = copy.deepcopy(dict(body))
        name = obj["metadata"]["name"]
        key = self._key(resource, namespace, name)
        if key in self.objects:
            raise Conflict(name, code="AlreadyExists")
        uid = f"{self._ids.getrandbits(64):016x}"
        obj["metadata"] = {**obj["metadata"], "uid": uid}
        if namespace:
            obj["metadata"]["namespace"] = namespace
        return self._store(resource, key, obj, "ADDED")

    async def replace(self, resource, name, body, *, namespace="", subresource=""):
        raise AssertionError("the machine's side patches")

    async def patch(
        self,
        resource,
        name,
        body,
        *,
        kind=PatchKind.MERGE,
        namespace="",
        subresource="",
        force=False,
    ):
        self._called("patch", resource)
        key = self._key(resource, namespace, name)
        if key not in self.objects:
            raise NotFound(name)
        before = self.objects[key]
        guard = body.get("metadata", {}).get("uid")
        if guard and guard != before["metadata"]["uid"]:
            raise Precondition(name)
        mend = merge_strategic if kind is PatchKind.STRATEGIC else merge
        return self._store(resource, key, mend(before, body), "MODIFIED")

    async def delete(self, resource, name, *, namespace="", uid=None, grace_seconds=None):
        self._called("delete", resource)
        key = self._key(resource, namespace, name)
        obj = self.objects.get(key)
        if obj is None:
            return
        if uid is not None and uid != obj["metadata"]["uid"]:
            raise Precondition(name)
        graceful = resource is PODS and obj["spec"].get("nodeName") and grace_seconds != 0
        if graceful and obj.get("status", {}).get("phase") not in {"Succeeded", "Failed"}:
            obj["metadata"]["deletionTimestamp"] = "2026-06-01T00:00:00Z"
            obj["metadata"]["deletionGracePeriodSeconds"] = (
                30 if grace_seconds is None else grace_seconds
            )
            self._store(resource, key, obj, "MODIFIED")
            return
        del self.objects[key]
        self.revision += 1
        self._publish("DELETED", resource, obj)

    async def evict(self, namespace, pod, *, uid):
        raise InvalidRequest("not here")

    async def bind(self, pod, node, *, namespace="default"):
        """A pod that is bound already, as the scheduler or the DaemonSet controller leaves it."""
        pod = copy.deepcopy(pod)
        pod["spec"]["nodeName"] = node
        return await self.create(PODS, pod, namespace=namespace)

    def ready(self, name):
        node = self.objects.get((NODES.plural, "", name))
        conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]} if node else {}
        return conditions.get("Ready")


class FakeClusters:
    def __init__(self, clock):
        self.clock = clock
        self.kubes = {}
        self.views = {}
        self.wanted = asyncio.Event()

    async def run(self):
        self.views.clear()
        running = set()
        async with asyncio.TaskGroup() as group:
            while True:
                for cluster in self.views.keys() - running:
                    group.create_task(self.views[cluster].run())
                    running.add(cluster)
                self.wanted.clear()
                await self.wanted.wait()

    def kube(self, cluster):
        return self.kubes.setdefault(cluster, FakeKube())

    def view(self, cluster):
        if cluster not in self.views:
            self.views[cluster] = InformerView(self.kube(cluster), self.clock, Random("view"))
            self.wanted.set()
        return self.views[cluster]

    def wake(self, cluster):
        pass

    def forget(self, cluster):
        self.kubes.pop(cluster, None)
