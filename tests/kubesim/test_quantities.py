"""Objects keep their quantities in canonical form, whoever writes them, and whenever."""

from __future__ import annotations

import asyncio

from poolwright.kubesim.kinds import KINDS
from poolwright.kubesim.quantities import settle
from poolwright.kubesim.registry import Registry
from poolwright.model import kubernetes as names
from poolwright.model.cluster_key import ClusterKey

from .fake import FakeClock, FakeIdentity, FakeStore

KEY = ClusterKey("sub", "rg", "one")
SENT = {"limits": {"cpu": 0.5, "memory": "1024Mi", "example.com/gpu": 1}}
KEPT = {"cpu": "500m", "memory": "1Gi", "example.com/gpu": "1"}


async def registry(store=None):
    made = await Registry.load(KEY, store or FakeStore(), FakeClock(), FakeIdentity())
    if made.get(names.NAMESPACES, "default") is None:
        await made.create(names.NAMESPACES, {"metadata": {"name": "default"}})
    return made


def pod_spec(**resources):
    return {"containers": [{"name": "a", "image": "b", "resources": resources or SENT}]}


def deployment(name="web", **resources):
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod_spec(**resources)}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def resources_of(body):
    spec = body["spec"]
    return spec.get("template", {"spec": spec})["spec"]["containers"][0]["resources"]


def kind_named(name):
    return next(kind for kind in KINDS if kind.resource.kind == name)


def test_what_is_created_and_what_follows_from_it():
    async def main():
        cluster = await registry()
        pod = {"metadata": {"name": "p"}, "spec": pod_spec()}
        made = await cluster.create(names.PODS, pod, namespace="default")
        assert resources_of(made) == {"limits": KEPT, "requests": KEPT}
        assert cluster.get(names.PODS, "p", "default") == made
        made = await cluster.create(names.DEPLOYMENTS, deployment(), namespace="default")
        assert resources_of(made) == {"limits": KEPT}  # a template asks for nothing by itself

    asyncio.run(main())


def test_an_equal_quantity_is_no_change():
    async def main():
        cluster = await registry()
        made = await cluster.create(names.DEPLOYMENTS, deployment(), namespace="default")
        again = deployment(limits={"cpu": "0.50", "memory": 2**30, "example.com/gpu": "1.0"})
        again["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] = "1Gi"
        after = await cluster.replace(names.DEPLOYMENTS, "web", again, namespace="default")
        assert after["metadata"] == made["metadata"]
        other = deployment(limits={"cpu": "501m"})
        after = await cluster.replace(names.DEPLOYMENTS, "web", other, namespace="default")
        assert after["metadata"]["generation"] == 2

    asyncio.run(main())


def test_a_status_is_settled_too():
    async def main():
        cluster = await registry()
        await cluster.create(names.NODES, {"metadata": {"name": "n"}})

        def grow(body):
            body["status"] = {"capacity": {"cpu": 4, "memory": "2048Ki"}}

        made = await cluster.update(names.NODES, "n", grow, subresource="status")
        assert made["status"]["capacity"] == {"cpu": "4", "memory": "2Mi"}

    asyncio.run(main())


def test_every_place_that_the_schema_calls_a_quantity():
    spec = {
        "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1024Mi"}}],
        "overhead": {"cpu": "0.1"},
        "containers": [
            {"env": [{"valueFrom": {"resourceFieldRef": {"divisor": 1}}}], "resources": {}}
        ],
    }
    assert settle(kind_named("Pod"), {"spec": spec})
    assert spec["volumes"][0]["emptyDir"]["sizeLimit"] == "1Gi"
    assert spec["overhead"] == {"cpu": "100m"}
    assert spec["containers"][0]["env"][0]["valueFrom"]["resourceFieldRef"]["divisor"] == "1"
    limits = {"spec": {"limits": [{"max": {"cpu": 2}, "maxLimitRequestRatio": {"cpu": 1.5}}]}}
    assert settle(kind_named("LimitRange"), limits)
    assert limits["spec"]["limits"][0] == {
        "max": {"cpu": "2"},
        "maxLimitRequestRatio": {"cpu": "1500m"},
    }
    claim = {"spec": {"resources": {"requests": {"storage": 1024}}}}
    assert settle(kind_named("PersistentVolumeClaim"), claim)
    assert claim["spec"]["resources"]["requests"] == {"storage": "1024"}


def test_only_a_list_of_resources_is_rounded_to_thousandths():
    amounts = {"a": "1u", "b": 5}
    device = {"name": "d", "capacity": {"memory": {"value": "1u"}}}
    assert settle(kind_named("ResourceQuota"), {"spec": {"hard": amounts}})
    assert amounts == {"a": "1m", "b": "5"}
    assert not settle(kind_named("ResourceSlice"), {"spec": {"devices": [device]}})
    asked = {"exactly": {"capacity": {"requests": {"memory": "1u"}}}}
    assert not settle(kind_named("ResourceClaim"), {"spec": {"devices": {"requests": [asked]}}})
