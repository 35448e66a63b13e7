"""Several people apply to one object; the server knows who owns what."""

from __future__ import annotations

import pytest

from behaviour.manifests import IMAGE, config_map, deployment
from behaviour.world import APPLY_PATCH


@pytest.fixture
def maps(namespace):
    return f"/api/v1/namespaces/{namespace}/configmaps"


def owners(made):
    return {item["manager"]: item for item in made["metadata"]["managedFields"]}


def test_the_first_apply_creates(world, maps):
    body = config_map("shared", a="1")
    response = world.ask("PATCH", f"{maps}/shared", body, media=APPLY_PATCH, fieldManager="ann")
    assert response.status_code == 201
    fields = owners(response.json())["ann"]
    assert fields["operation"] == "Apply"
    assert fields["fieldsV1"] == {"f:data": {"f:a": {}}}


def test_two_owners_of_different_fields(world, maps):
    world.apply(f"{maps}/shared", config_map("shared", a="1"), "ann")
    both = world.apply(f"{maps}/shared", config_map("shared", b="2"), "bob")
    assert both["data"] == {"a": "1", "b": "2"}
    # What an owner no longer names, and nobody else owns, goes.
    rest = world.apply(f"{maps}/shared", config_map("shared"), "ann")
    assert rest["data"] == {"b": "2"}


def test_a_conflict_names_the_owner_and_force_takes_over(world, maps):
    path = f"{maps}/shared"
    world.apply(path, config_map("shared", a="1"), "ann")
    response = world.ask(
        "PATCH", path, config_map("shared", a="2"), media=APPLY_PATCH, fieldManager="bob"
    )
    status = world.refused(response, 409, "Conflict")
    assert status["message"] == 'Apply failed with 1 conflict: conflict with "ann": .data.a'
    assert status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "ann"', "field": ".data.a"}
    ]
    taken = world.apply(path, config_map("shared", a="2"), "bob", force="true")
    assert taken["data"] == {"a": "2"}
    assert "ann" not in owners(taken)


def test_equal_values_are_owned_by_both(world, maps):
    path = f"{maps}/shared"
    world.apply(path, config_map("shared", a="1"), "ann")
    world.apply(path, config_map("shared", a="1"), "bob")
    left = world.apply(path, config_map("shared"), "ann")
    assert left["data"] == {"a": "1"}


def test_lists_merge_by_their_keys(world, namespace):
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    world.apply(path, deployment("web", 0), "ann")
    sidecar = {"name": "sidecar", "image": IMAGE}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [sidecar]}}},
    }
    both = world.apply(path, body, "bob")
    containers = both["spec"]["template"]["spec"]["containers"]
    assert [item["name"] for item in containers] == ["c", "sidecar"]
    body["spec"]["template"]["spec"]["containers"] = []
    rest = world.apply(path, body, "bob")
    assert [item["name"] for item in rest["spec"]["template"]["spec"]["containers"]] == ["c"]


def test_an_update_after_an_apply_is_another_owner(world, maps):
    path = f"{maps}/shared"
    world.apply(path, config_map("shared", a="1"), "ann")
    changed = world.patch(path, {"data": {"a": "3"}}, fieldManager="kim")
    assert owners(changed)["kim"]["operation"] == "Update"
    assert "ann" not in owners(changed)


def test_an_apply_needs_an_owner_and_its_own_name(world, maps):
    response = world.ask("PATCH", f"{maps}/shared", config_map("shared"), media=APPLY_PATCH)
    status = world.refused(response, 422, "Invalid")
    assert status["details"]["causes"] == [
        {
            "reason": "FieldValueRequired",
            "message": "Required value: is required for apply patch",
            "field": "fieldManager",
        }
    ]
    response = world.ask(
        "PATCH", f"{maps}/shared", config_map("other"), media=APPLY_PATCH, fieldManager="ann"
    )
    world.refused(response, 400, "BadRequest")
