from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from random import Random

from starlette.responses import JSONResponse

from poolwright.kube.client import SILENCE
from poolwright.kube.clusters import HttpClusters
from poolwright.kube.view import InformerView
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.node import AGENT_POOL_LABEL
from poolwright.ports.kube import ControlPlane
from poolwright.sim.clock import SimClock


def node(server, name, pool, **rest):
    server.put("nodes", name, metadata={"labels": {AGENT_POOL_LABEL: pool}}, **rest)


def pod(server, name, node_name="", phase="Pending"):
    server.put("pods", name, "default", spec={"nodeName": node_name}, status={"phase": phase})


@asynccontextmanager
async def following(kube, view=None):
    view = view or InformerView(kube, SimClock(), Random(1), raise_bugs=True)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(view.run())
        try:
            yield view
        finally:
            task.cancel()


def names(items):
    return [item.name for item in items]


def test_view_is_empty_until_synced_then_indexed_and_kept_up_to_date(talk):
    async def scenario(server, kube):
        node(server, "b1", "blue")
        node(server, "a1", "blue")
        node(server, "r1", "red")
        pod(server, "p2", "a1")
        pod(server, "p1", "a1")
        pod(server, "waits")
        pod(server, "ended", phase="Succeeded")
        server.put("poddisruptionbudgets", "budget", "default", status={"disruptionsAllowed": 1})
        async with following(kube) as view:
            assert not view.is_synced
            assert view.nodes() == ()
            await asyncio.sleep(1)
            assert view.is_synced
            assert names(view.nodes()) == ["a1", "b1", "r1"]
            assert names(view.nodes("blue")) == ["a1", "b1"]
            assert names(view.pods_on("a1")) == ["p1", "p2"]
            assert names(view.pending_pods()) == ["waits"]
            assert view.budgets("default")[0].disruptions_allowed == 1
            assert view.node("r1").pool == "red"

            node(server, "b1", "red")
            server.remove("nodes", "a1")
            pod(server, "waits", "b1")
            server.remove("pods", "p2", "default")
            await asyncio.sleep(1)
            assert names(view.nodes("blue")) == []
            assert names(view.nodes("red")) == ["b1", "r1"]
            assert view.node("a1") is None
            assert names(view.pods_on("b1")) == ["waits"]
            assert names(view.pods_on("a1")) == ["p1"]
            assert view.pending_pods() == ()

    talk(scenario)


def test_budget_that_allows_again_wakes_every_pool(talk):
    def allow(server, count):
        status = {"disruptionsAllowed": count}
        server.put("poddisruptionbudgets", "budget", "default", status=status)

    async def told(changes):
        """Who is told, until nothing more comes."""
        found = set()
        while True:
            try:
                found.add((await asyncio.wait_for(anext(changes), 5)).pool)
            except TimeoutError:
                return found

    async def scenario(server, kube):
        node(server, "a", "blue")
        allow(server, 0)
        async with following(kube) as view:
            await asyncio.sleep(1)
            for count, expected in ((1, {"", "blue"}), (2, {""}), (0, {""})):
                changes = view.changes()
                allow(server, count)
                assert await told(changes) == expected
            changes = view.changes()
            server.remove("poddisruptionbudgets", "budget", "default")
            assert await told(changes) == {"", "blue"}

    talk(scenario)


def test_node_of_somebody_else_belongs_to_no_pool(talk):
    async def scenario(server, kube):
        node(server, "ours", "blue")
        node(server, "foreign", "blue")
        view = InformerView(
            kube, SimClock(), Random(1), owns=lambda node: node.name == "ours", raise_bugs=True
        )
        async with following(kube, view):
            await asyncio.sleep(1)
            assert names(view.nodes("blue")) == ["ours"]
            assert names(view.nodes()) == ["foreign", "ours"]
            assert view.node("foreign").pool == ""

    talk(scenario)


def test_closed_watch_resumes_without_listing(talk):
    async def scenario(server, kube):
        node(server, "a", "blue")
        async with following(kube) as view:
            await asyncio.sleep(1)
            lists = sum("watch" not in r[2] for r in server.requests)
            server.close_watches()
            node(server, "b", "blue")
            await asyncio.sleep(5)
            node(server, "c", "blue")
            await asyncio.sleep(5)
            assert names(view.nodes("blue")) == ["a", "b", "c"]
            assert sum("watch" not in r[2] for r in server.requests) == lists == 3

    talk(scenario)


def test_a_view_says_how_long_it_heard_nothing(talk):
    async def scenario(server, kube):
        server.bookmark_seconds = 60
        async with following(kube) as view:
            assert view.silent_for is None
            await asyncio.sleep(30)
            assert 29 < view.silent_for.total_seconds() <= 30
            await asyncio.sleep(35)
            assert view.silent_for.total_seconds() < 6, "a bookmark"
            node(server, "a", "blue")
            await asyncio.sleep(1)
            assert view.silent_for.total_seconds() <= 1
            server.answer = JSONResponse({}, status_code=503)
            server.close_watches()
            await asyncio.sleep(1)
            assert view.silent_for is None
            server.answer = None
            await asyncio.sleep(120)
            assert view.silent_for.total_seconds() < 61

    talk(scenario)


def test_expired_watch_lists_again_and_sees_what_went(talk):
    async def scenario(server, kube):
        node(server, "a", "blue")
        node(server, "b", "blue")
        async with following(kube) as view:
            await asyncio.sleep(1)
            changes = view.changes()
            server.close_watches()
            server.remove("nodes", "a")
            node(server, "c", "red")
            server.compact()
            await asyncio.sleep(5)
            assert names(view.nodes()) == ["b", "c"]
            told = set()
            for _ in range(3):
                told.add((await anext(changes)).pool)
            assert told == {"", "blue", "red"}

    talk(scenario)


def test_server_that_is_away_is_asked_again_and_the_picture_stays(talk):
    async def scenario(server, kube):
        node(server, "a", "blue")
        async with following(kube) as view:
            await asyncio.sleep(1)
            server.answer = JSONResponse({"code": 503, "reason": "ServiceUnavailable"}, 503)
            server.close_watches()
            await asyncio.sleep(600)
            assert names(view.nodes()) == ["a"]
            assert len(server.requests) < 150
            server.answer = None
            node(server, "b", "blue")
            await asyncio.sleep(60)
            assert names(view.nodes()) == ["a", "b"]

    talk(scenario)


def test_watches_that_died_without_a_word_are_found_out(talk):
    async def scenario(server, kube):
        node(server, "a", "blue")
        async with following(kube) as view:
            await asyncio.sleep(1)
            server.is_stalled = True
            node(server, "b", "blue")
            await asyncio.sleep(1)
            server.is_stalled = False
            assert names(view.nodes()) == ["a"]
            await asyncio.sleep(SILENCE.total_seconds() + 5)
            assert names(view.nodes()) == ["a", "b"]
            assert sum("watch" not in r[2] for r in server.requests) == 3

    talk(scenario)


def test_an_idle_hour_is_watched_and_nothing_else(talk):
    async def scenario(server, kube):
        node(server, "a", "blue")
        async with following(kube):
            await asyncio.sleep(1)
            server.requests.clear()
            await asyncio.sleep(3600)
            assert all("watch" in request[2] for request in server.requests)
            assert len(server.requests) <= 3 * (3600 / SILENCE.total_seconds() + 1)

    talk(scenario)


def test_server_that_forgets_at_once_is_asked_ever_less_often(talk):
    async def scenario(server, kube):
        node(server, "a", "blue")
        server.compacted = 10**9
        async with following(kube):
            await asyncio.sleep(600)
            assert len(server.requests) < 400

    talk(scenario)


def test_woken_view_does_not_wait_for_the_end_of_its_back_off(talk):
    async def scenario(server, kube):
        server.answer = JSONResponse({"code": 503, "reason": "ServiceUnavailable"}, 503)
        node(server, "a", "blue")
        async with following(kube) as view:
            await asyncio.sleep(300)
            server.answer = None
            await asyncio.sleep(1)
            assert not view.is_synced
            view.wake()
            await asyncio.sleep(0.1)
            assert view.is_synced
            requests = len(server.requests)
            view.wake()
            await asyncio.sleep(1)
            assert len(server.requests) == requests

    talk(scenario)


def test_changes_are_one_per_pool_and_heartbeats_are_none(talk):
    async def scenario(server, kube):
        for index in range(50):
            node(server, f"a{index}", "blue")
        async with following(kube) as view:
            await asyncio.sleep(1)
            changes = view.changes()
            for index in range(50):
                node(server, f"a{index}", "blue")  # only the revision moves
            await asyncio.sleep(1)
            for index in range(50):
                node(server, f"a{index}", "blue", spec={"unschedulable": True})
            node(server, "r", "red")
            await asyncio.sleep(1)
            pod(server, "p", "r")
            await asyncio.sleep(1)
            told = [(await anext(changes)).pool for _ in range(2)]
            assert told == ["blue", "red"]
            await changes.aclose()

    talk(scenario)


def test_clusters_share_a_view_and_forget_it(talk):
    key = ClusterKey("s", "g", "c")

    async def scenario(server, kube):
        transport = (await kube._connect()).transport

        class ControlPlanes:
            plane = None

            async def get(self, cluster):
                return self.plane

            async def token(self, cluster, *, admin):
                return "secret"

        planes = ControlPlanes()
        clusters = HttpClusters(planes, lambda plane: transport, SimClock(), Random(1))
        view = clusters.view(key)
        node(server, "a", "blue")
        async with asyncio.TaskGroup() as group:
            task = group.create_task(clusters.run())
            await asyncio.sleep(30)
            assert not view.is_synced, "there is no control plane yet"
            planes.plane = ControlPlane("v1.35.4", True, "https://localhost:1/k8s/s/g/c", b"")
            await asyncio.sleep(60)
            assert clusters.view(key) is view
            assert names(view.nodes("blue")) == ["a"]
            assert server.watches == 3
            clusters.forget(key)
            await asyncio.sleep(1)
            assert server.watches == 0
            assert clusters.view(key) is not view
            task.cancel()

    talk(scenario)


def test_nodes_whose_capacity_others_wrote_into_are_told_of(talk):
    def offer(server, name, **allocatable):
        capacity = {"cpu": "2", "example.com/foo": "5"}
        status = {"capacity": capacity, "allocatable": {"cpu": "1900m", **allocatable}}
        node(server, name, "blue", status=status)

    async def scenario(server, kube):
        offer(server, "a")
        offer(server, "b", **{"example.com/foo": "5"})
        async with following(kube) as view:
            await asyncio.sleep(1)
            told = []
            end = view.on_amends(told.append)
            assert told == ["a"]
            assert view.node("a").amends == {"example.com/foo": 5}
            offer(server, "b", **{"example.com/foo": "5", "example.com/bar": "1"})
            await asyncio.sleep(1)
            assert told == ["a", "b"]
            assert view.node("b").amends == {"example.com/bar": None}
            offer(server, "b", **{"example.com/foo": "5"})
            await asyncio.sleep(1)
            assert told == ["a", "b"]
            end()
            offer(server, "b")
            await asyncio.sleep(1)
            assert told == ["a", "b"]

    talk(scenario)
