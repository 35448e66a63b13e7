import asyncio

import pytest

from poolwright.kubesim.binding import bind_pod
from poolwright.kubesim.registry import Registry
from poolwright.kubesim.status import StatusError
from poolwright.model import kubernetes as names
from poolwright.model.cluster_key import ClusterKey

from .fake import FakeClock, FakeIdentity, FakeStore

KEY = ClusterKey("sub", "rg", "one")


def run(main):
    return asyncio.run(main)


async def registry(store=None):
    made = await Registry.load(KEY, store or FakeStore(), FakeClock(), FakeIdentity())
    if made.get(names.NAMESPACES, "default") is None:
        await made.create(names.NAMESPACES, {"metadata": {"name": "default"}})
    return made


def pod(name, **spec):
    spec.setdefault("containers", [{"name": "main", "image": "busybox"}])
    return {"metadata": {"name": name}, "spec": spec}


def test_created_object_is_read_back_with_server_metadata():
    async def main():
        cluster = await registry()
        made = await cluster.create(names.PODS, pod("a"), namespace="default")
        again = cluster.get(names.PODS, "a", "default")
        assert again == made
        assert made["metadata"]["creationTimestamp"] == "2026-01-02T03:04:05Z"
        assert int(made["metadata"]["resourceVersion"]) == cluster.revision
        with pytest.raises(StatusError) as refused:
            await cluster.create(names.PODS, pod("a"), namespace="default")
        assert refused.value.reason == "AlreadyExists"
        assert refused.value.message == 'pods "a" already exists'

    run(main())


def test_indexes_follow_updates_and_deletes():
    async def main():
        cluster = await registry()
        await cluster.create(names.PODS, pod("a"), namespace="default")
        seen = []
        cluster.subscribe(seen.append, [names.PODS], lost=seen.append)

        await bind_pod(cluster, "default", "a", "n1")
        assert [e.name for e in cluster.pods_on("n1")] == ["a"]
        assert list(cluster.pods_on("")) == []
        _, gone = await cluster.delete(names.PODS, "a", namespace="default")
        assert not gone  # 30 s of grace on a bound pod
        _, gone = await cluster.delete(names.PODS, "a", namespace="default", grace_seconds=0)
        assert gone
        assert list(cluster.pods_on("n1")) == []
        assert [c.type for c in seen] == ["MODIFIED", "MODIFIED", "DELETED"]

    run(main())


def test_lost_race_is_tried_again_and_a_client_guard_is_not():
    async def main():
        cluster = await registry()
        await cluster.create(names.CONFIG_MAPS, {"metadata": {"name": "c"}}, namespace="default")

        async def add(key):
            def mutate(body):
                body.setdefault("data", {})[key] = "1"

            await cluster.update(names.CONFIG_MAPS, "c", mutate, namespace="default")

        await asyncio.gather(*(add(f"k{n}") for n in range(5)))
        body = cluster.get(names.CONFIG_MAPS, "c", "default")
        assert sorted(body["data"]) == ["k0", "k1", "k2", "k3", "k4"]
        body["metadata"]["resourceVersion"] = "1"
        with pytest.raises(StatusError) as refused:
            await cluster.replace(names.CONFIG_MAPS, "c", body, namespace="default")
        assert refused.value.status == 409

    run(main())


def test_state_is_found_again_after_a_restart():
    async def main():
        store = FakeStore()
        first = await registry(store)
        made = await first.create(names.PODS, pod("a", nodeName="n1"), namespace="default")
        second = await registry(store)
        assert second.get(names.PODS, "a", "default") == made
        assert second.revision == first.revision
        assert [e.name for e in second.pods_on("n1")] == ["a"]

    run(main())


def service(name, **spec):
    spec.setdefault("ports", [{"port": 80, "nodePort": 31111}])
    return {"metadata": {"name": name}, "spec": {"type": "NodePort", **spec}}


@pytest.mark.parametrize(
    ("asked", "field", "why"),
    [
        ({}, "spec.ports[0].nodePort", "Invalid value: 31111: provided port is already allocated"),
        (
            {"ports": [{"port": 80}], "clusterIP": "10.0.0.99"},
            "spec.clusterIPs",
            'Invalid value: ["10.0.0.99"]: failed to allocate IP 10.0.0.99: provided IP is already'
            " allocated",
        ),
    ],
)
def test_what_two_services_ask_for_at_once_one_gets(asked, field, why):
    async def main():
        cluster = await registry()
        bodies = [service(name, **asked) for name in "abc"]
        made = await asyncio.gather(
            *(cluster.create(names.SERVICES, body, namespace="default") for body in bodies),
            return_exceptions=True,
        )
        refused = [answer for answer in made if isinstance(answer, StatusError)]
        assert [(error.status, error.reason) for error in refused] == [(422, "Invalid")] * 2
        for error in refused:
            (cause,) = error.body()["details"]["causes"]
            assert (cause["field"], cause["message"]) == (field, why)
        (kept,) = cluster.list(names.SERVICES, "default")
        await cluster.delete(names.SERVICES, kept.name, namespace="default")
        await cluster.create(names.SERVICES, service("d", **asked), namespace="default")

    run(main())


def test_services_that_ask_for_nothing_at_once_get_what_nobody_else_has():
    async def main():
        cluster = await registry()
        bodies = [service(f"s{n}", ports=[{"port": 80}]) for n in range(300)]
        made = await asyncio.gather(
            *(cluster.create(names.SERVICES, body, namespace="default") for body in bodies)
        )
        assert len({body["spec"]["ports"][0]["nodePort"] for body in made}) == 300
        assert len({body["spec"]["clusterIP"] for body in made}) == 300

    run(main())
