"""Tags as resources of their own (``az tag``), and the names that a subscription uses."""

from .world import ROOT, play

GROUP = f"{ROOT}/resourceGroups/rg1"
TAGS = f"{GROUP}/providers/Microsoft.Resources/tags/default"


def body(operation, **tags):
    return {"operation": operation, "properties": {"tags": tags}}


def test_tags_of_a_group():
    async def scenario(world):
        await world.put(GROUP, {"location": "eastus", "tags": {"a": "1"}})
        merged = await world.call("PATCH", TAGS, body("Merge", b="2"))
        less = await world.call("PATCH", TAGS, body("delete", a="1", b="other"))
        replaced = await world.call("PATCH", TAGS, body("Replace", c="3"))
        put = await world.put(TAGS, {"properties": {"tags": {"d": "4"}}})
        read = await world.get(TAGS)
        names = await world.get(f"{ROOT}/tagNames")
        gone = await world.call("DELETE", TAGS)
        group = await world.get(GROUP)
        return merged, less, replaced, put, read, names, gone, group

    merged, less, replaced, put, read, names, gone, group = play(scenario)
    assert merged.json["properties"] == {"tags": {"a": "1", "b": "2"}}
    assert less.json["properties"] == {"tags": {"b": "2"}}
    assert replaced.json["properties"] == {"tags": {"c": "3"}}
    assert read.json == put.json
    assert read.json["id"] == TAGS
    assert [(one["tagName"], one["values"][0]["tagValue"]) for one in names.json["value"]] == [
        ("d", "4")
    ]
    assert gone.status == 200
    assert group.json["tags"] == {}


def test_refusals():
    async def scenario(world):
        missing = await world.get(TAGS)
        await world.put(GROUP, {"location": "eastus"})
        unknown = await world.call("PATCH", TAGS, body("Toggle", a="1"))
        wrong = await world.put(TAGS, {"properties": {"tags": {"a": 1}}})
        return missing, unknown, wrong, await world.get(GROUP)

    missing, unknown, wrong, group = play(scenario)
    assert (missing.status, missing.json["error"]["code"]) == (404, "ResourceGroupNotFound")
    assert (unknown.status, unknown.json["error"]["code"]) == (400, "InvalidRequestContent")
    assert (wrong.status, wrong.json["error"]["code"]) == (400, "InvalidRequestContent")
    assert group.json["tags"] == {}
