"""What a definition asks of its objects: of their status, too."""

from __future__ import annotations

import pytest

from behaviour.world import MERGE_PATCH

GROUP = "stories.example.com"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
UNCHECKED = {
    "reason": "FieldValueInvalid",
    "field": "<nil>",
    "message": "Invalid value: null: some validation rules were not checked because the object was"
    " invalid; correct the existing errors to complete validation",
}
ITEM = {
    "type": "object",
    "required": ["type"],
    "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
}
EMBEDDED = {
    "type": "object",
    "x-kubernetes-embedded-resource": True,
    "x-kubernetes-preserve-unknown-fields": True,
}
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer"},
                "wait": {"type": "string", "format": "duration"},
                "inner": EMBEDDED,
            },
            "x-kubernetes-validations": [{"rule": "!has(self.size) || self.size < 10"}],
        },
        "status": {
            "type": "object",
            "properties": {
                "phase": {"type": "string", "enum": ["Up", "Down"]},
                "count": {"type": "integer"},
                "size": {"type": "integer", "default": 3},
                "conditions": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["type"],
                    "items": ITEM,
                },
            },
        },
    },
}


@pytest.fixture
def gadgets(world, namespace):
    """Where objects of a kind of this test's own are."""
    plural = f"gadgets{namespace.replace('-', '')}"
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "deprecated": True,
        "schema": {"openAPIV3Schema": SCHEMA},
        "subresources": {"status": {}},
    }
    kind = f"Gadget{namespace.replace('-', '')}"
    body = {
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {"plural": plural, "kind": kind},
            "scope": "Namespaced",
            "versions": [version],
        },
    }
    world.create(CRDS, body)
    path = f"/apis/{GROUP}/v1/namespaces/{namespace}/{plural}"
    world.until(lambda: world.ask("GET", path).status_code == 200)
    yield path
    world.ask("DELETE", f"{CRDS}/{plural}.{GROUP}")


def gadget(path, name="a", **spec):
    kind = path.rpartition("/")[2].removeprefix("gadgets")
    api = {"apiVersion": f"{GROUP}/v1", "kind": f"Gadget{kind}"}
    return {**api, "metadata": {"name": name}, "spec": spec}


def causes(world, said):
    return world.refused(said, 422, "Invalid")["details"]["causes"]


def test_a_status_is_held_against_its_schema(world, gadgets):
    world.create(gadgets, gadget(gadgets))

    def told(status):
        path = f"{gadgets}/a/status"
        return causes(world, world.ask("PATCH", path, {"status": status}, media=MERGE_PATCH))

    assert told({"phase": "Nope"}) == [
        {
            "reason": "FieldValueNotSupported",
            "message": 'Unsupported value: "Nope": supported values: "Up", "Down"',
            "field": "status.phase",
        },
        UNCHECKED,
    ]
    assert told({"count": "x"}) == [
        {
            "reason": "FieldValueTypeInvalid",
            "message": 'Invalid value: "string": count in body must be of type integer: "string"',
            "field": "status.count",
        },
        UNCHECKED,
    ]
    assert told({"conditions": [{"type": "A"}, {"type": "A"}]}) == [
        {
            "reason": "FieldValueDuplicate",
            "message": 'Duplicate value: {"type":"A"}',
            "field": "status.conditions[1]",
        }
    ]
    assert told({"conditions": [{"status": "A"}]})[0]["field"] == "status.conditions[0].type"
    assert "status" not in world.get(f"{gadgets}/a")


def test_a_status_is_pruned_and_filled(world, gadgets):
    world.create(gadgets, {**gadget(gadgets, size=1), "status": {"phase": "Nope", "count": "x"}})
    assert "status" not in world.get(f"{gadgets}/a")
    body = {"spec": {"size": 5}, "status": {"count": 2, "other": 1}}
    said = world.ask("PATCH", f"{gadgets}/a/status", body, media=MERGE_PATCH)
    assert (said.json()["spec"], said.json()["status"]) == ({"size": 1}, {"count": 2, "size": 3})
    assert '299 - "unknown field \\"status.other\\""' in said.headers["warning"]
    said = world.patch(f"{gadgets}/a", {"spec": {"size": 6}, "status": {"phase": "Nope"}})
    assert (said["spec"], said["status"]) == ({"size": 6}, {"count": 2, "size": 3})


@pytest.mark.parametrize("wait", ["1h5m", "1 minute", "3 days", "-1.5h", "0", "2w"])
def test_what_a_duration_is(world, gadgets, wait):
    world.create(gadgets, gadget(gadgets, wait=wait))


@pytest.mark.parametrize("wait", ["abc", "1", "", "5 apples"])
def test_what_no_duration_is(world, gadgets, wait):
    said = world.ask("POST", gadgets, gadget(gadgets, wait=wait))
    assert causes(world, said) == [
        {
            "reason": "FieldValueTypeInvalid",
            "message": f'Invalid value: "{wait}": spec.wait in body must be of type duration:'
            f' "{wait}"',
            "field": "spec.wait",
        },
        UNCHECKED,
    ]


def test_an_object_inside_is_one(world, gadgets):
    world.create(gadgets, gadget(gadgets, inner={"apiVersion": "v1", "kind": "Pod", "x": 1}))
    said = world.ask("POST", gadgets, gadget(gadgets, "b", inner={"apiVersion": "v1"}))
    missing = {"reason": "FieldValueRequired", "message": "Required value"}
    assert causes(world, said) == [{**missing, "field": "spec.inner.kind"}, UNCHECKED]
    wrong = {"apiVersion": "a/b/c", "kind": "k k", "metadata": {"labels": {"x y": "z z"}}}
    said = causes(world, world.ask("POST", gadgets, gadget(gadgets, "b", inner=wrong)))
    said.sort(key=lambda cause: cause["field"])  # the real one's order is any
    labels = "spec.inner.metadata.labels"
    fields = ["spec.inner.apiVersion", "spec.inner.kind", labels, labels]
    assert [cause["field"] for cause in said] == fields
    assert said[0]["message"].endswith("unexpected GroupVersion string: a/b/c")
    assert "may have mixed case, but should otherwise match: a DNS-1035" in said[1]["message"]


def test_all_who_use_a_deprecated_version_are_told(world, gadgets):
    kind = gadget(gadgets)["kind"]
    told = f'299 - "{GROUP}/v1 {kind} is deprecated"'
    assert world.ask("GET", gadgets).headers["warning"] == told
    assert world.ask("POST", gadgets, gadget(gadgets, wait="x")).headers["warning"] == told


def test_nothing_is_made_while_its_definition_goes(world, gadgets):
    held = gadget(gadgets)
    held["metadata"]["finalizers"] = ["example.com/hold"]
    world.create(gadgets, held)
    name = f"{gadgets.rpartition('/')[2]}.{GROUP}"
    world.delete(f"{CRDS}/{name}")
    why = f'{name} "late" is forbidden: create not allowed while custom resource definition is'
    said = world.ask("POST", gadgets, gadget(gadgets, "late"))
    assert world.refused(said, 403, "Forbidden")["message"] == f"{why} terminating"
    world.patch(f"{gadgets}/a", {"metadata": {"finalizers": None}})
    world.until_gone(f"{CRDS}/{name}", 40)
