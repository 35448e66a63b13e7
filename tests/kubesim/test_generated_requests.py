"""Requests made from the published schemas, right and wrong: every answer is below 500."""

from __future__ import annotations

import copy
import random

import pytest

from poolwright.kubesim.kinds import KINDS
from poolwright.kubesim.schema import shape_of

from .in_process import APPLY, MERGE, STRATEGIC, TABLE, run

WRONG = [None, 5, "x", [], {}, True, 1.5, [None], {"a": None}, -1, "", 2**40]
TEXTS = ["a", "app", "x-1", "Always", "TCP", "1", "In", "RollingUpdate", "NoSchedule", "Bad_", ""]
NAMES = ["n1", "n2", "n3"]


def value(rng, shape, depth=0):
    if rng.random() < 0.03:
        return copy.deepcopy(rng.choice(WRONG))
    match shape.kind:
        case "object":
            share = 0.35 if depth < 2 else 0.15 if depth < 6 else 0
            return {
                name: value(rng, member, depth + 1)
                for name, member in shape.members.items()
                if name in shape.required or rng.random() < share
            }
        case "map":
            keys = rng.sample(["a", "b.c/d", "bad key!", "x"], rng.randint(0, 2))
            return {key: value(rng, shape.item, depth + 1) for key in keys}
        case "array":
            return [value(rng, shape.item, depth + 1) for _ in range(rng.randint(0, 2))]
        case "string":
            return "2026-01-01T00:00:00Z" if shape.format == "date-time" else rng.choice(TEXTS)
        case "integer":
            return rng.choice([0, 1, 2, 80, -1])
        case "boolean":
            return rng.choice([True, False])
        case "quantity":
            return rng.choice(["1", "100m", "1Gi", "x", 2, "-1"])
        case "int-or-string":
            return rng.choice([1, "25%", "x", 0, -1])
        case _:
            return {}


def body_of(rng, kind):
    shape = shape_of(kind.resource)
    body = value(rng, shape)
    if not isinstance(body, dict):
        return body
    body["metadata"] = value(rng, shape.members["metadata"]) if rng.random() < 0.5 else {}
    if isinstance(body["metadata"], dict):
        for name in ("resourceVersion", "namespace", "uid", "managedFields"):
            body["metadata"].pop(name, None)
        if rng.random() < 0.9:
            body["metadata"]["name"] = rng.choice(NAMES)
    body["kind"], body["apiVersion"] = kind.resource.kind, kind.resource.api_version
    return body


def requests(rng, kind):
    resource = kind.resource
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else "/api/v1"
    scope = "/namespaces/default" if resource.namespaced else ""
    collection = f"{base}{scope}/{resource.plural}"
    one = f"{collection}/{rng.choice(NAMES)}"
    body = body_of(rng, kind)
    yield "POST", collection, body, "application/json"
    yield "PUT", one, body, "application/json"
    yield "PATCH", one, body, rng.choice([MERGE, STRATEGIC])
    yield "PATCH", f"{one}/status", body, MERGE
    yield "PATCH", f"{one}?fieldManager=m{rng.randint(1, 2)}&force=true", body, APPLY
    for subresource in ("eviction", "binding", "token", "scale"):
        if subresource in kind.subresources:
            yield "POST", f"{one}/{subresource}", body, "application/json"
            yield "PATCH", f"{one}/{subresource}", body, MERGE
    yield "GET", collection, None, "application/json"
    if rng.random() < 0.2:
        yield "DELETE", f"{one}?gracePeriodSeconds=0", None, "application/json"


@pytest.mark.parametrize("seed", range(3))
def test_no_request_ends_in_a_server_error(seed):
    rng = random.Random(seed)
    outcomes = []

    async def test(call):
        for _ in range(40):
            kind = rng.choice(KINDS)
            for method, path, body, media in requests(rng, kind):
                answer = await call(method, path, body, content_type=media)
                assert answer.status < 500, (method, path, body, answer.data)
                outcomes.append(answer.status)
                if method == "GET":
                    table = await call("GET", path, accept=TABLE)
                    widths = {len(row["cells"]) for row in table.body["rows"]}
                    assert widths <= {len(table.body["columnDefinitions"])}

    run(test)
    accepted = sum(status < 300 for status in outcomes)
    assert 0.1 < accepted / len(outcomes) < 0.8
