"""Lists in pieces show one moment, and names are drawn again when they are taken."""

from __future__ import annotations

import asyncio

import pytest

from poolwright.sim import loop

from .in_process import TABLE, cluster, run

CONFIGS = "/api/v1/namespaces/default/configmaps"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


async def make(call, *names):
    for name in names:
        await call("POST", CONFIGS, {"metadata": {"name": name}, "data": {"v": "1"}})


def found(answer):
    return [(i["metadata"]["name"], i["data"]["v"]) for i in answer.body["items"]]


def test_the_pieces_of_a_list_show_the_moment_of_the_first():
    async def test(call):
        await make(call, "a", "b", "c", "d")
        first = await call("GET", f"{CONFIGS}?limit=2")
        metadata = first.body["metadata"]
        assert metadata["remainingItemCount"] == 2
        await call("DELETE", f"{CONFIGS}/c")
        await call("PUT", f"{CONFIGS}/d", {"metadata": {"name": "d"}, "data": {"v": "2"}})
        await make(call, "e")
        second = await call("GET", f"{CONFIGS}?limit=2&continue={metadata['continue']}")
        assert found(first) + found(second) == [(name, "1") for name in "abcd"]
        assert second.body["metadata"]["resourceVersion"] == metadata["resourceVersion"]
        exact = await call(
            "GET",
            f"{CONFIGS}?resourceVersionMatch=Exact&resourceVersion={metadata['resourceVersion']}",
        )
        assert found(exact) == [(name, "1") for name in "abcd"]
        assert found(await call("GET", CONFIGS)) == [
            ("a", "1"), ("b", "1"), ("d", "2"), ("e", "1"),
        ]  # fmt: skip

    run(test)


def test_a_piece_whose_moment_is_forgotten_can_be_continued_as_it_is():
    async def test(call):
        await make(call, "a", "b", "c")
        first = (await call("GET", f"{CONFIGS}?limit=1")).body["metadata"]
        await call("DELETE", f"{CONFIGS}/b")
        cache = call.registry.cache(call.registry.catalog.stored_as("/configmaps"))
        cache.floor = call.registry.revision
        expired = await call("GET", f"{CONFIGS}?limit=1&continue={first['continue']}")
        assert (expired.status, expired.body["reason"]) == (410, "Expired")
        token = expired.body["metadata"]["continue"]
        rest = await call("GET", f"{CONFIGS}?continue={token}")
        assert found(rest) == [("c", "1")]

    run(test)


def test_a_generated_name_that_is_taken_is_drawn_again():
    async def test(call):
        identity, drawn = call.registry.identity, ["aaaaa", "aaaaa", "bbbbb"]
        identity.suffix = lambda _length: drawn.pop(0)
        made = [
            (await call("POST", CONFIGS, {"metadata": {"generateName": "x-"}})).body["metadata"]
            for _ in range(2)
        ]
        assert [metadata["name"] for metadata in made] == ["x-aaaaa", "x-bbbbb"]

    run(test)


def test_a_put_makes_what_kubernetes_lets_a_put_make():
    async def test(call):
        body = {"metadata": {"name": "one"}, "spec": {"holderIdentity": "me"}}
        assert (await call("PUT", f"{LEASES}/one", body)).status == 201
        assert (await call("PUT", f"{CONFIGS}/one", {"metadata": {"name": "one"}})).status == 404

    run(test)


@pytest.mark.parametrize("accept", ["application/json", TABLE])
def test_a_long_list_is_sent_while_it_is_made(accept):
    async def test(call):
        names = [f"m{number:04d}" for number in range(1_200)]
        await make(call, *names)
        answer = await call("GET", CONFIGS, accept=accept)
        assert "content-length" not in dict(answer.headers)
        assert max(map(len, answer.parts)) < len(answer.data) * 0.6
        items = answer.body["rows" if accept == TABLE else "items"]
        assert [item.get("object", item)["metadata"]["name"] for item in items] == names

    run(test)


def test_a_watch_that_is_late_hears_what_others_heard_long_ago():
    async def main():
        async with cluster() as call:
            since = call.registry.revision
            path = f"{CONFIGS}?watch=1&resourceVersion={since}&timeoutSeconds=60"
            early = asyncio.ensure_future(call("GET", path))
            await make(call, *(f"m{number:04d}" for number in range(600)))
            late = await call("GET", path)
            assert len(late.data.splitlines()) == 600
            assert late.data == (await early).data

    loop.run(main())  # on virtual time


def test_a_list_in_yaml_is_one_document():
    async def test(call):
        await make(call, "a", "b")
        answer = await call("GET", CONFIGS, accept="application/yaml")
        assert answer.status == 200
        assert dict(answer.headers)["content-type"] == "application/yaml"
        lines = answer.data.decode().splitlines()
        assert lines.count("kind: ConfigMapList") == 1
        assert [line.strip() for line in lines if "name: " in line] == ["name: a", "name: b"]

    run(test)
