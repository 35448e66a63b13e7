"""Objects that an earlier version stored with less filled in, and amounts as they were sent."""

from __future__ import annotations

import asyncio

import pytest

from poolwright.kubesim.entry import decode, encode
from poolwright.kubesim.registry import Registry, key_of, store_kind
from poolwright.model import kubernetes as names
from poolwright.model.cluster_key import ClusterKey
from poolwright.plan.kubernetes.daemon_set import DaemonSet
from poolwright.plan.kubernetes.history import REVISION_LABEL, plan_history
from poolwright.ports.store import Update

from .fake import FakeClock, FakeIdentity, FakeStore

KEY = ClusterKey("sub", "rg", "one")
PROBE = {"httpGet": {"port": 80}}
DIVISOR = {"resourceFieldRef": {"resource": "limits.cpu", "containerName": "a"}}
CONTAINER = {
    "name": "a",
    "image": "b",
    "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
    "readinessProbe": PROBE,
    "env": [{"name": "CPUS", "valueFrom": DIVISOR}],
}
AMOUNTS = ((b'"500m"', b"0.5"), (b'"1Gi"', b'"1024Mi"'))
"""As they are kept, and as they were sent."""
FILLED_IN = (b'"scheme":"HTTP"', b'"divisor":"0"')


async def registry(store):
    made = await Registry.load(KEY, store, FakeClock(), FakeIdentity())
    if made.get(names.NAMESPACES, "default") is None:
        await made.create(names.NAMESPACES, {"metadata": {"name": "default"}})
    return made


def workload(spec=None):
    labels = {"a": "b"}
    template = {"metadata": {"labels": labels}, "spec": spec or {"containers": [CONTAINER]}}
    return {
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def revision(data, **owner):
    metadata = {"name": "r", "labels": {REVISION_LABEL: "ofold"}}
    if owner:
        metadata["ownerReferences"] = [{"name": "web", "apiVersion": "apps/v1", **owner}]
    return {"metadata": metadata, "revision": 1, "data": data}


async def made_earlier(cluster, store, resource, name):
    """Store an object again as it was stored once."""
    entry = cluster.entry(resource, name, "default")
    raw = entry.data
    for member in FILLED_IN:
        raw = raw.replace(b"," + member, b"").replace(member + b",", b"")
    for kept, sent in AMOUNTS:
        raw = raw.replace(kept, sent)
    assert not any(text in raw for text in (*FILLED_IN, *(kept for kept, _ in AMOUNTS)))
    await stored(cluster, store, resource, name, raw)


async def stored(cluster, store, resource, name, raw):
    kind, entry = cluster.catalog.kind_of(resource), cluster.entry(resource, name, "default")
    key = key_of("default", name)
    write = Update(store_kind(kind), key, spec=raw, expect_revision=entry.revision)
    await store.transact(KEY.kube_scope, (write,))


@pytest.mark.parametrize("resource", [names.DEPLOYMENTS, names.DAEMON_SETS], ids=str)
def test_a_template_is_the_one_that_is_applied_again(resource):
    async def main():
        store = FakeStore()
        cluster = await registry(store)
        made = await cluster.create(resource, workload(), namespace="default")
        await made_earlier(cluster, store, resource, "web")
        again = await registry(store)
        assert again.get(resource, "web", "default")["spec"] == made["spec"]
        kept = decode(again.entry(resource, "web", "default").data)
        assert kept["metadata"]["uid"] == made["metadata"]["uid"]
        after = await again.replace(resource, "web", workload(), namespace="default")
        assert after["metadata"]["generation"] == 1

    asyncio.run(main())


def test_a_pod_can_be_labelled():
    async def main():
        store = FakeStore()
        cluster = await registry(store)
        pod = {"metadata": {"name": "p"}, "spec": workload()["spec"]["template"]["spec"]}
        await cluster.create(names.PODS, pod, namespace="default")
        await made_earlier(cluster, store, names.PODS, "p")
        again = await registry(store)

        def label(body):
            body["metadata"]["labels"] = {"x": "y"}

        await again.update(names.PODS, "p", label, namespace="default")

    asyncio.run(main())


def test_the_history_of_a_daemon_set_has_its_template_still():
    """So its pods are not replaced: they are marked as the revision says, not as one made now."""

    async def main():
        store = FakeStore()
        cluster = await registry(store)
        made = await cluster.create(names.DAEMON_SETS, workload(), namespace="default")
        _, (action,) = plan_history(names.DAEMON_SETS, made, [], REVISION_LABEL)
        owner = {"kind": "DaemonSet", "uid": made["metadata"]["uid"], "controller": True}
        body = revision(action.body["data"], **owner)
        await cluster.create(names.CONTROLLER_REVISIONS, body, namespace="default")
        await made_earlier(cluster, store, names.CONTROLLER_REVISIONS, "r")
        again = await registry(store)
        kept = again.get(names.CONTROLLER_REVISIONS, "r", "default")
        assert kept["data"] == action.body["data"]
        wire = again.get(names.DAEMON_SETS, "web", "default")
        assert DaemonSet.from_object(wire, [kept]).hash == "ofold"
        assert plan_history(names.DAEMON_SETS, wire, [kept], REVISION_LABEL)[1] == []

    asyncio.run(main())


@pytest.mark.parametrize("owner", [{}, {"kind": "DaemonSet", "uid": "u", "controller": True}])
@pytest.mark.parametrize("containers", ["none", ["none"], [{"resources": {"limits": ["cpu"]}}]])
def test_what_a_client_keeps_as_history_stays_and_keeps_nobody_from_starting(owner, containers):
    async def main():
        store = FakeStore()
        cluster = await registry(store)
        data = {"spec": {"template": {"spec": {"containers": containers}}}}
        body = revision({"any": 1}, **owner)
        await cluster.create(names.CONTROLLER_REVISIONS, body, namespace="default")
        entry = cluster.entry(names.CONTROLLER_REVISIONS, "r", "default")
        raw = encode({**entry.object(), "data": data})
        await stored(cluster, store, names.CONTROLLER_REVISIONS, "r", raw)
        again = await registry(store)
        assert again.get(names.CONTROLLER_REVISIONS, "r", "default")["data"] == data

    asyncio.run(main())
