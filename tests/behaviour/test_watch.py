"""Watches: nothing missed, nothing twice, over new connections and restarts."""

from __future__ import annotations

import json

import pytest

from behaviour.manifests import config_map


@pytest.fixture
def maps(namespace):
    return f"/api/v1/namespaces/{namespace}/configmaps"


def seen(events, count):
    result = []
    for event in events:
        result.append((event["type"], event["object"]["metadata"]["name"]))
        if len(result) == count:
            break
    return result


def name_is(name):
    return {"fieldSelector": f"metadata.name={name}"}


def test_a_watch_tells_a_life(world, maps):
    start = world.get(maps)["metadata"]["resourceVersion"]
    world.create(maps, config_map("one", a="1"))
    world.patch(f"{maps}/one", {"data": {"a": "2"}})
    world.delete(f"{maps}/one")
    with world.watch(maps, resourceVersion=start, **name_is("one")) as events:
        assert seen(events, 3) == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]


def test_a_watch_goes_on_where_it_ended(world, maps):
    start = world.get(maps)["metadata"]["resourceVersion"]
    for index in range(6):
        world.create(maps, config_map(f"m{index}"))
    with world.watch(maps, resourceVersion=start) as events:
        first = [next(events)["object"]["metadata"] for _ in range(3)]
    assert [item["name"] for item in first] == ["m0", "m1", "m2"]
    with world.watch(maps, resourceVersion=first[-1]["resourceVersion"]) as events:
        assert [name for _, name in seen(events, 3)] == ["m3", "m4", "m5"]


def test_leaving_a_selector_is_a_deletion(world, maps):
    body = config_map("moved")
    body["metadata"]["labels"] = {"color": "red"}
    start = world.create(maps, body)["metadata"]["resourceVersion"]
    with world.watch(maps, resourceVersion=start, labelSelector="color=red") as events:
        world.patch(f"{maps}/moved", {"metadata": {"labels": {"color": "blue"}}})
        world.patch(f"{maps}/moved", {"metadata": {"labels": {"color": "red"}}})
        assert seen(events, 2) == [("DELETED", "moved"), ("ADDED", "moved")]


def test_a_watch_can_begin_with_what_is_there(world, maps):
    world.create(maps, config_map("there"))
    query = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
        **name_is("there"),
    }
    with world.watch(maps, **query) as events:
        first, bookmark = next(events), next(events)
        assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "there")
        assert bookmark["type"] == "BOOKMARK"
        annotations = bookmark["object"]["metadata"]["annotations"]
        assert annotations == {"k8s.io/initial-events-end": "true"}
        world.patch(f"{maps}/there", {"data": {"a": "1"}})
        assert seen(events, 1) == [("MODIFIED", "there")]


def test_a_watch_that_asks_wrongly(world, maps):
    response = world.ask("GET", maps, watch="true", sendInitialEvents="true")
    status = world.refused(response, 422, "Invalid")
    assert "resourceVersionMatch" in status["message"]


def test_a_version_that_never_was(world, maps):
    response = world.ask("GET", maps, resourceVersion="word")
    status = world.refused(response, 400, "BadRequest")
    assert status["message"] == (
        'invalid resource version: resourceVersion: Invalid value: "word": '
        'strconv.ParseUint: parsing "word": invalid syntax'
    )


def test_a_table_is_watched_as_rows(world, maps):
    start = world.create(maps, config_map("row", a="1"))["metadata"]["resourceVersion"]
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    params = {"watch": "true", "resourceVersion": start, "timeoutSeconds": "30"}
    world.patch(f"{maps}/row", {"data": {"b": "2"}})
    with world._client.stream("GET", maps.lstrip("/"), params=params, headers=accept) as answer:
        event = json.loads(next(answer.iter_lines()))
    assert event["object"]["kind"] == "Table"
    assert event["object"]["rows"][0]["cells"][:2] == ["row", 2]


def test_nothing_is_lost_over_a_restart(world, maps):
    """A watch goes on where it was, or is told that it must list again."""
    start = world.create(maps, config_map("before"))["metadata"]["resourceVersion"]
    made = [world.create(maps, config_map(f"r{index}")) for index in range(3)]
    world.stack.restart()
    with world.watch(maps, resourceVersion=start) as events:
        first = next(events)
        if first["type"] == "ERROR":
            assert (first["object"]["code"], first["object"]["reason"]) == (410, "Expired")
        else:
            names = [first["object"]["metadata"]["name"], *(name for _, name in seen(events, 2))]
            assert names == ["r0", "r1", "r2"]
    listed = world.get(maps)
    assert {"r0", "r1", "r2"} <= {item["metadata"]["name"] for item in listed["items"]}
    with world.watch(maps, resourceVersion=listed["metadata"]["resourceVersion"]) as events:
        later = world.create(maps, config_map("after"))
        assert seen(events, 1) == [("ADDED", "after")]
    versions = [int(item["metadata"]["resourceVersion"]) for item in (*made, later)]
    assert versions == sorted(set(versions))
