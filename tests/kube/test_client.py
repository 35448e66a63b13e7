from __future__ import annotations

import asyncio
from contextlib import aclosing

import httpx
import pytest
from starlette.responses import JSONResponse, Response
from toy_server import status

from poolwright.kube.client import PAGE, SILENCE, Endpoint, HttpKube
from poolwright.kube.failure import Status, _Cause, _Details, answer_error
from poolwright.model.errors import (
    Conflict,
    Expired,
    InvalidRequest,
    NotFound,
    Precondition,
    Transient,
    Unknown,
    Unsupported,
)
from poolwright.model.kubernetes import DAEMON_SETS, NODES, POD_DISRUPTION_BUDGETS, PODS
from poolwright.ports.kube import PatchKind
from poolwright.sim.loop import run


def test_get_finds_or_says_not_found(talk):
    async def scenario(server, kube):
        server.put("pods", "a", "default")
        assert (await kube.get(PODS, "a", namespace="default"))["metadata"]["name"] == "a"
        with pytest.raises(NotFound, match="not found"):
            await kube.get(PODS, "b", namespace="default")
        assert server.requests[0][4] == "Bearer secret"

    talk(scenario)


def test_list_walks_all_pages(talk):
    async def scenario(server, kube):
        for index in range(2 * PAGE + 1):
            server.put("nodes", f"n{index:05}")
        listed = await kube.list(NODES, label_selector="a=b,c in (d)", field_selector="x=y")
        assert [o["metadata"]["name"] for o in listed.items] == [
            f"n{index:05}" for index in range(2 * PAGE + 1)
        ]
        assert listed.revision == str(server.revision)
        assert len(server.requests) == 3
        assert server.requests[2][2] == {
            "labelSelector": "a=b,c in (d)",
            "fieldSelector": "x=y",
            "limit": str(PAGE),
            "continue": str(2 * PAGE),
        }

    talk(scenario)


def test_list_whose_snapshot_is_lost_midway_starts_over_in_one_page(talk):
    async def scenario(server, kube):
        for index in range(PAGE + 1):
            server.put("nodes", f"n{index:05}")
        server.compact()
        listed = await kube.list(NODES)
        assert len(listed.items) == PAGE + 1
        assert "limit" not in server.requests[-1][2]

    talk(scenario)


def test_nodes_come_without_the_owners_of_their_fields(talk):
    async def scenario(server, kube):
        owned = [{"manager": "x", "fieldsV1": {"f:spec": {}}}]
        rest = {"spec": {"b": 1}, "status": {"e": [None]}}
        for plural, namespace in (("nodes", ""), ("daemonsets", "default")):
            meta = {"managedFields": owned, "labels": {"c": "d"}}
            server.put(plural, "a", namespace, metadata=meta, **rest)
        listed = await kube.list(NODES)
        found = [await kube.get(NODES, "a"), *listed.items]
        found.append(await kube.patch(NODES, "a", {"spec": {"b": 1}}))
        async with aclosing(kube.watch(NODES, after="0")) as events:
            found.append((await anext(events)).object)
        for node in found:
            assert "managedFields" not in node["metadata"]
            assert (node["metadata"]["name"], node["metadata"]["labels"]) == ("a", {"c": "d"})
            assert (node["spec"], node["status"]) == ({"b": 1}, {"e": [None]})
        kept = await kube.get(DAEMON_SETS, "a", namespace="default")
        assert kept["metadata"]["managedFields"] == owned

    talk(scenario)


def test_watch_delivers_while_it_is_open_and_ends_with_the_server(talk):
    async def scenario(server, kube):
        server.put("nodes", "old")
        seen = []

        async def follow():
            async with aclosing(kube.watch(NODES, after=str(server.revision))) as events:
                async for event in events:
                    seen.append((event.type, event.object["metadata"]["name"]))

        async with asyncio.TaskGroup() as group:
            task = group.create_task(follow())
            await asyncio.sleep(1)
            server.put("nodes", "a")
            await asyncio.sleep(1)
            assert seen == [("ADDED", "a")]
            server.put("nodes", "a")
            server.put("pods", "other", "default")
            server.remove("nodes", "a")
            await asyncio.sleep(1)
            server.close_watches()
            await asyncio.sleep(1)
            assert task.done()
        assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]

    talk(scenario)


def test_leaving_a_watch_hangs_up_at_the_server(talk):
    async def scenario(server, kube):
        server.put("nodes", "a")
        async with aclosing(kube.watch(NODES, after="0")) as events:
            async for _ in events:
                break
            assert server.watches == 1
        await asyncio.sleep(1)
        assert server.watches == 0

    talk(scenario)


def test_watch_from_a_forgotten_revision_is_expired(talk):
    async def scenario(server, kube):
        server.put("nodes", "a")
        server.compact()
        with pytest.raises(Expired):
            async for _ in kube.watch(NODES, after="1"):
                pass

    talk(scenario)


def test_watch_that_ends_in_an_error_event(talk):
    async def scenario(server, kube):
        for line, error in [
            (b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}', Expired),
            (b'{"type":"ERROR","object":{"kind":"Status","code":500}}', Transient),
            (b"<html>", Transient),
        ]:
            server.answer = Response(line + b"\n")
            with pytest.raises(error):
                async for _ in kube.watch(NODES, after="1"):
                    pass

    talk(scenario)


def test_watch_that_says_nothing_ends(talk):
    async def scenario(server, kube):
        server.put("nodes", "a")
        loop = asyncio.get_running_loop()
        began = loop.time()
        async for _ in kube.watch(NODES, after="0"):
            pass
        assert loop.time() - began == pytest.approx(SILENCE.total_seconds())
        await asyncio.sleep(1)
        assert server.watches == 0, "it is hung up"

    talk(scenario)


def test_watch_lives_by_its_bookmarks(talk):
    async def scenario(server, kube):
        server.put("nodes", "a")
        server.bookmark_seconds = 60

        async def follow():
            async for _ in kube.watch(NODES, after="0"):
                pass

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(500):
                await follow()
        assert len(server.requests) == 1

    talk(scenario)


def test_writes_carry_field_manager_content_type_and_guards(talk):
    async def scenario(server, kube):
        server.put("nodes", "a")
        server.put("pods", "p", "default")
        patch = {"spec": {"unschedulable": True}}
        await kube.patch(NODES, "a", patch)
        await kube.patch(NODES, "a", patch, kind=PatchKind.APPLY, force=True, subresource="status")
        await kube.delete(PODS, "p", namespace="default", uid="u1", grace_seconds=0)
        await kube.delete(PODS, "gone", namespace="default")
        await kube.evict("default", "p", uid="u2")
        await kube.evict("default", "gone", uid="u2")
        await kube.replace(NODES, "a", {"kind": "Node"})
        patched, applied, deleted, _, evicted, _, replaced = server.requests
        manager = {"fieldManager": "poolwright"}
        assert patched[2:4] == (manager, "application/merge-patch+json")
        assert patched[5] == patch
        assert applied[1].endswith("/nodes/a/status")
        assert applied[2:4] == ({**manager, "force": "true"}, "application/apply-patch+yaml")
        assert deleted[5]["preconditions"] == {"uid": "u1"}
        assert deleted[5]["gracePeriodSeconds"] == 0
        assert evicted[0] == "POST"
        assert evicted[1].endswith("/namespaces/default/pods/p/eviction")
        assert evicted[5]["deleteOptions"]["preconditions"] == {"uid": "u2"}
        assert replaced[0] == "PUT"
        assert replaced[2] == manager

    talk(scenario)


def test_groups_have_their_path(talk):
    async def scenario(server, kube):
        server.put("poddisruptionbudgets", "b", "default")
        await kube.get(POD_DISRUPTION_BUDGETS, "b", namespace="default")
        path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets/b"
        assert server.requests[0][1].endswith(path)

    talk(scenario)


@pytest.mark.parametrize(
    ("code", "reason", "cause", "read", "write"),
    [
        (400, "BadRequest", None, InvalidRequest, InvalidRequest),
        (401, "Unauthorized", None, Transient, Transient),
        (403, "Forbidden", None, InvalidRequest, InvalidRequest),
        (404, "NotFound", None, NotFound, NotFound),
        (405, "MethodNotAllowed", None, Unsupported, Unsupported),
        (409, "AlreadyExists", None, Conflict, Conflict),
        (409, "Conflict", None, Precondition, Precondition),
        (409, "Conflict", "FieldManagerConflict", Conflict, Conflict),
        (410, "Expired", None, Expired, Expired),
        (422, "Invalid", None, InvalidRequest, InvalidRequest),
        (429, "TooManyRequests", None, Transient, Transient),
        (429, "TooManyRequests", "DisruptionBudget", Conflict, Conflict),
        (500, "InternalError", None, Transient, Unknown),
        (502, "", None, Transient, Unknown),
        (503, "ServiceUnavailable", None, Transient, Transient),
        (504, "Timeout", None, Transient, Unknown),
    ],
)
def test_every_answer_has_its_error(code, reason, cause, read, write):
    details = _Details([_Cause(cause)] if cause else None)
    status = Status(code, reason, "because", details)
    assert type(answer_error(code, status, is_write=False)) is read
    error = answer_error(code, status, is_write=True)
    assert type(error) is write
    assert error.message == "because"


def test_an_endpoint_on_a_node_is_read_as_it_is(talk):
    async def scenario(server, kube):
        server.answer = Response(b"up 1\n", media_type="text/plain")
        assert await kube.proxy_node("n1", 19400, "/metrics") == b"up 1\n"
        assert server.requests[-1][1].endswith("/api/v1/nodes/n1:19400/proxy/metrics")
        server.answer = JSONResponse({"code": 404, "reason": "NotFound"}, status_code=404)
        with pytest.raises(NotFound):
            await kube.proxy_node("n1", 19400, "/nothing")
        server.answer = JSONResponse({"code": 503}, status_code=503)
        with pytest.raises(Transient):
            await kube.proxy_node("n1", 1, "/metrics")

    talk(scenario)


def throttled(seconds):
    """As API priority and fairness answers: text, and a header."""
    text = "Too many requests, please try again later."
    return Response(text, 429, {"Retry-After": str(seconds)})


@pytest.mark.parametrize(
    "ask",
    [
        lambda kube: kube.get(NODES, "a"),
        lambda kube: kube.patch(NODES, "a", {}),
        lambda kube: kube.list(NODES),
        lambda kube: anext(kube.watch(NODES, after="0")),
    ],
)
def test_throttled_comes_back_when_it_was_told_to(talk, ask):
    async def scenario(server, kube):
        server.put("nodes", "a")
        server.first_answers = [throttled(3), throttled(4)]
        loop = asyncio.get_running_loop()
        began = loop.time()
        await ask(kube)
        assert loop.time() - began == pytest.approx(7)
        assert len(server.requests) == 3

    talk(scenario)


def test_throttled_for_longer_than_the_timeout(talk):
    async def scenario(server, kube):
        server.answer = throttled(12)
        with pytest.raises(Transient) as caught:
            await kube.create(PODS, {}, namespace="default")
        assert caught.value.retry_after == 12
        assert len(server.requests) == 3, "one every twelve seconds of thirty"

    talk(scenario)


def test_budget_is_not_waited_for(talk):
    async def scenario(server, kube):
        server.answer = refused = status(429, "TooManyRequests", causes=["DisruptionBudget"])
        refused.headers["Retry-After"] = "10"
        with pytest.raises(Conflict):
            await kube.evict("default", "p", uid="u")
        assert len(server.requests) == 1

    talk(scenario)


def test_traffic_is_told(talk):
    class Counted:
        def __init__(self):
            self.requests, self.bytes = [], 0

        def sent(self, method, path, size):
            assert size > 100
            self.requests.append((method, path))

        def received(self, size):
            self.bytes += size

    async def scenario(server, kube):
        counted = Counted()
        observed = HttpKube(kube._connect, traffic=counted)
        server.put("nodes", "a", spec={"x": "y" * 10_000})
        await observed.get(NODES, "a")
        assert 10_000 < counted.bytes < 10_500
        await anext(observed.watch(NODES, after="0"))
        assert 20_000 < counted.bytes < 21_000
        assert counted.requests == [("GET", "/api/v1/nodes/a"), ("WATCH", "/api/v1/nodes")]

    talk(scenario)


@pytest.mark.parametrize(
    ("broken", "read", "write"),
    [
        (httpx.ConnectError("refused"), Transient, Transient),
        (httpx.ReadError("reset"), Transient, Unknown),
        (httpx.RemoteProtocolError("eof"), Transient, Unknown),
        (None, Transient, Unknown),  # never answers
    ],
)
def test_broken_connections_and_what_we_know_after(broken, read, write):
    connects = []

    class Broken(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            if broken is None:
                await asyncio.sleep(10_000)
            raise broken

    async def main():
        async def connect():
            connects.append(1)
            return Endpoint(Broken(), "https://localhost:1", "t")

        kube = HttpKube(connect)
        with pytest.raises(read):
            await kube.get(NODES, "a")
        with pytest.raises(write):
            await kube.create(NODES, {})
        assert len(connects) == 2, "a connection that failed is looked up again"

    run(main())


def test_application_that_dies_leaves_a_write_unknown(talk):
    async def scenario(server, kube):
        server.answer = ZeroDivisionError("bug in the server")
        with pytest.raises(Unknown):
            await kube.delete(NODES, "a")
        server.answer = None
        server.put("nodes", "a")
        await kube.get(NODES, "a")

    talk(scenario)


def test_one_who_is_told_to_come_at_once_asks_no_more_than_once(talk):
    async def scenario(server, kube):
        server.answer = throttled(0)
        with pytest.raises(Transient):
            await kube.get(NODES, "a")
        assert len(server.requests) == 1

    talk(scenario)


def test_an_answer_that_is_no_object(talk):
    async def scenario(server, kube):
        server.answer = Response(b"[1]")
        for ask, error in (
            (kube.get(NODES, "a"), Transient),
            (kube.list(NODES), Transient),
            (kube.create(NODES, {}), Unknown),
        ):
            with pytest.raises(error, match="not JSON, or no object"):
                await ask

    talk(scenario)


def test_no_token_is_shown_of_an_endpoint():
    endpoint = Endpoint(httpx.AsyncHTTPTransport(), "https://localhost", "sesame")
    assert endpoint.headers("application/json")["authorization"] == "Bearer sesame"
    assert "sesame" not in repr(endpoint)
