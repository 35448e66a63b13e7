"""What every request meets before a handler: headers, versions, 404 order, bodies, methods."""

import asyncio
import re

import pytest
import structlog
import structlog.testing

from poolwright.arm.routes import ROUTES
from poolwright.arm.routing import Route, RouteTable

from .world import (
    AKS_VERSION,
    HOST,
    ROOT,
    SUBSCRIPTION,
    TOKEN,
    asgi_call,
    play,
)

GROUP = f"{ROOT}/resourceGroups/rg1"
CLUSTER = f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/c1"


def test_every_answer_carries_arms_headers():
    async def scenario(world):
        return await world.get("/subscriptions", headers={"x-ms-correlation-request-id": "corr"})

    headers = play(scenario).headers
    assert headers["cache-control"] == "no-cache"
    assert headers["strict-transport-security"].startswith("max-age=")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-type"].startswith("application/json")
    assert headers["x-ms-correlation-request-id"] == "corr"
    assert re.fullmatch(
        rf"LOCAL:\d{{8}}T\d{{6}}Z:{headers['x-ms-request-id']}", headers["x-ms-routing-request-id"]
    )
    assert "x-ms-ratelimit-remaining-subscription-reads" in headers
    assert "x-ms-client-request-id" not in headers


def test_client_request_id_is_echoed_when_asked_for():
    async def scenario(world):
        return await world.get(
            "/subscriptions",
            headers={
                "x-ms-client-request-id": "mine",
                "x-ms-return-client-request-id": "true",
            },
        )

    assert play(scenario).headers["x-ms-client-request-id"] == "mine"


@pytest.mark.parametrize(
    ("path", "version", "status", "code"),
    [
        # Source: facts aks-api §5.2, in the order in which ARM decides.
        ("/subscriptions", None, 400, "MissingApiVersionParameter"),
        ("/subscriptions", "yesterday", 400, "InvalidApiVersionParameter"),
        ("/subscriptions", "2024-13-01", 400, "InvalidApiVersionParameter"),
        ("/subscriptions/nonsense", "2024-11-01", 400, "InvalidSubscriptionId"),
        (
            "/subscriptions/99999999-9999-9999-9999-999999999999",
            "2024-11-01",
            404,
            "SubscriptionNotFound",
        ),
        (
            "/subscriptions/99999999-9999-9999-9999-999999999999/resourceGroups/rg1",
            "2024-11-01",
            404,
            "SubscriptionNotFound",
        ),
        (f"{ROOT}/resourceGroups/nope", "2024-11-01", 404, "ResourceGroupNotFound"),
        (
            f"{ROOT}/providers/Microsoft.Nothing/things",
            "2024-11-01",
            404,
            "InvalidResourceNamespace",
        ),
        (
            f"{ROOT}/providers/Microsoft.ContainerService/gadgets",
            AKS_VERSION,
            404,
            "InvalidResourceType",
        ),
        (f"{ROOT}/gadgets", "2024-11-01", 404, "InvalidResourceType"),
        ("/gadgets", "2024-11-01", 404, "MissingSubscription"),
        (
            f"{ROOT}/providers/Microsoft.ContainerService/locations/eastus/kubernetesVersions",
            "2018-01-01",
            400,
            "NoRegisteredProviderFound",
        ),
        (f"{CLUSTER}/operations", AKS_VERSION, 404, "ResourceGroupNotFound"),
    ],
)
def test_refusals_before_the_handler(path, version, status, code):
    async def scenario(world):
        return await world.get(path, version=version)

    answer = play(scenario)
    assert (answer.status, answer.code) == (status, code)
    assert "error" in answer.json, "the front door wraps its errors"


def test_missing_cluster_is_a_missing_parent():
    async def scenario(world):
        await world.put(GROUP, {"location": "eastus"})
        return await world.get(f"{CLUSTER}/operations", version=AKS_VERSION)

    answer = play(scenario)
    assert (answer.status, answer.code) == (404, "ParentResourceNotFound")
    assert "managedClusters/c1' could not be found" in answer.json["error"]["message"]


def test_unsupported_version_lists_ours():
    async def scenario(world):
        path = f"{ROOT}/providers/Microsoft.ContainerService/locations/westus2/kubernetesVersions"
        return await world.get(path, version="2030-01-01")

    message = play(scenario).json["error"]["message"]
    assert "for location 'westus2' and API version '2030-01-01'" in message
    assert "2026-08-01" in message
    assert "2019-02-01" in message
    assert "locations/kubernetesVersions" in message


def test_paths_ignore_case_and_trailing_slash():
    async def scenario(world):
        await world.put(f"{ROOT}/RESOURCEGROUPS/MyGroup", {"location": "eastus"})
        first = await world.get(f"/SUBSCRIPTIONS/{SUBSCRIPTION}/resourcegroups/mygroup/")
        return first.json["name"]

    assert play(scenario) == "MyGroup"


def test_percent_encoded_segments_are_decoded_once():
    async def scenario(world):
        await world.put(f"{ROOT}/resourceGroups/a%28b%29", {"location": "eastus"})
        return (await world.get(f"{ROOT}/resourceGroups/A(b)")).json["name"]

    assert play(scenario) == "a(b)"


def test_wrong_method_says_which_are_allowed():
    async def scenario(world):
        return await world.call("POST", "/subscriptions"), await world.call("OPTIONS", GROUP)

    wrong, options = play(scenario)
    assert (wrong.status, wrong.code) == (405, "MethodNotAllowed")
    assert wrong.headers["allow"] == "GET, HEAD, OPTIONS"
    assert options.status == 200
    assert options.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"


def test_head_has_no_body():
    async def scenario(world):
        return await world.call("HEAD", "/subscriptions")

    answer = play(scenario)
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"location": "eastus",}', b"\xff\xfe", b"null", b"[]", b'"x"', b"[" * 9999],
)
def test_malformed_bodies_change_nothing(body):
    async def scenario(world):
        answer = await world.put(GROUP, raw=body, headers={"content-type": "application/json"})
        return answer, await world.get(GROUP)

    answer, after = play(scenario)
    assert (answer.status, answer.code) == (400, "InvalidRequestContent")
    assert after.status == 404


def test_wrong_content_type():
    async def scenario(world):
        return await world.put(GROUP, raw=b"{}", headers={"content-type": "text/plain"})

    answer = play(scenario)
    assert (answer.status, answer.code) == (415, "UnsupportedMediaType")


def test_huge_body_is_refused_and_not_kept():
    async def scenario(world):
        chunks = [b"x" * 100] * 12
        answer = await world.call("PUT", GROUP, chunks=chunks)
        return answer, await world.get(GROUP)

    answer, after = play(scenario, body_bytes_max=1000)
    assert (answer.status, answer.code) == (413, "RequestEntityTooLarge")
    assert after.status == 404


def test_endless_body_is_cut_off():
    read = 0

    async def scenario(world):
        async def receive():
            nonlocal read
            read += 1
            return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

        sent = []

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "PUT",
            "path": GROUP,
            "raw_path": GROUP.encode(),
            "query_string": b"api-version=2024-11-01",
            "scheme": "https",
            "headers": [(b"host", HOST.encode()), (b"authorization", f"Bearer {TOKEN}".encode())],
        }
        await world.app(scope, receive, send)
        return sent[0]["status"]

    assert play(scenario, body_bytes_max=1000) == 413
    assert read < 30


def test_slow_client_gets_408():
    async def scenario(world):
        async def stall():
            await asyncio.Event().wait()

        return await world.call("PUT", GROUP, chunks=[stall])

    from datetime import timedelta

    answer = play(scenario, body_timeout=timedelta(milliseconds=20))
    assert (answer.status, answer.code) == (408, "RequestTimeout")


def test_client_that_goes_away_gets_nothing():
    async def scenario(world):
        return await world.call("PUT", GROUP, chunks=[b"{", None])

    assert play(scenario) is None


@pytest.mark.parametrize("host", ["", "evil host", "a\tb", "x/y", "a:b:c"])
def test_bad_host_header(host):
    async def scenario(world):
        return await asgi_call(world.app, "GET", "/metadata/endpoints", "", {"host": host}, [b""])

    answer = play(scenario)
    assert (answer.status, answer.code) == (400, "BadHostHeader")


def test_every_route_answers_an_empty_request_below_500():
    """No route falls over an empty body and names that do not exist."""

    async def scenario(world):
        await world.put(GROUP, {"location": "eastus"})
        answers = {}
        for route in world.app.routes:
            path = route.template.replace("{subscription}", SUBSCRIPTION)
            path = re.sub(r"\{\w+\}", "missing", path)
            version = route.versions[-1] if route.versions else "2024-11-01"
            answer = await world.call(
                route.method, path, version=version, headers={"content-type": "application/json"}
            )
            answers[f"{route.method} {route.template}"] = answer.status
        return answers

    answers = play(scenario)
    assert len(answers) > 60
    assert {path: status for path, status in answers.items() if status >= 500} == {}


def test_literal_segments_win_over_names_and_wrong_turns_are_taken_back():
    async def handler(context, request):
        raise AssertionError

    table = RouteTable(
        [
            Route("GET", "/a/{x}/c", handler),
            Route("GET", "/a/b/d", handler),
            Route("PUT", "/a/{x}", handler),
        ]
    )
    assert table.match("GET", "/A/B/C").names == {"x": "B"}
    assert table.match("GET", "/a/b/d").route.template == "/a/b/d"
    assert table.match("GET", "/a/b") is not None
    assert table.match("GET", "/a/b").route is None
    assert table.match("GET", "/a") is None
    assert table.match("GET", "/a//c") is None


def test_types_of_routes():
    types = {(route.namespace, route.resource_type) for route in ROUTES}
    assert ("Microsoft.ContainerService", "locations/operations") in types
    assert ("Microsoft.Features", "providers/features") in types
    assert ("", "subscriptions/resourceGroups") in types


def test_writes_are_logged_without_secrets():
    async def scenario(world):
        with structlog.testing.capture_logs() as lines:
            await world.put(f"{GROUP}?secret=in-query", {"location": "eastus", "tags": {"a": "b"}})
            await world.put(GROUP, {"location": "westus2"}, headers={"commandname": "group create"})
            await world.call(
                "POST",
                "/adfs/oauth2/token",
                raw=b"grant_type=client_credentials&client_id=a&client_secret=hush",
                token=None,
            )
            await world.get(GROUP)
        return lines

    lines = play(scenario)
    assert [(line["method"], line["status"], line["code"]) for line in lines] == [
        ("PUT", 201, None),
        ("PUT", 409, "InvalidResourceGroupLocation"),
        ("POST", 200, None),
    ]
    assert lines[1]["command"] == "group create"
    for secret in ("hush", "in-query", TOKEN):
        assert secret not in str(lines)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("rg1", rb'{"location": "eastus", "tags": {"a": "\ud800"}}'),
        ("rg1", rb'{"location": "eastus", "tags": {"a": "\u0000"}}'),
        ("rg1", rb'{"location": "eastus", "tags": {"a": 1e999}}'),
        ("rg1", b'{"location": "eastus", "tags": {"a": ' + b"9" * 400 + b"}}"),
        ("%00", b'{"location": "eastus"}'),
        ("%ff%fe", b'{"location": "eastus"}'),
        ("%ud800", b'{"location": "eastus"}'),
        ("a%2Fb", b'{"location": "eastus"}'),
        ("%F0%9F%98%80", b'{"location": "eastus"}'),
    ],
)
def test_hostile_text_is_never_a_failure_of_ours(name, raw):
    async def scenario(world):
        path = f"{ROOT}/resourceGroups/{name}"
        put = await world.put(path, raw=raw, headers={"content-type": "application/json"})
        read = await world.get(path)
        query = await world.get(f"{ROOT}/resources?$filter=name%20eq%20'%00%ff'&%00=%ff")
        return put.status, read.status, query.status

    statuses = play(scenario)
    assert max(statuses) < 500
    assert statuses[0] in {201, 400}
