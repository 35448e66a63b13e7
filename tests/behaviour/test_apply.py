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


def service(name, checked="", **more):
    """A service whose status nobody but us writes."""
    condition = {
        "type": "Checked", "status": checked, "reason": "Looked", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    status = {"status": {"conditions": [condition]}} if checked else {}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, **status, **more}


CHECKED = '.status.conditions[type="Checked"].status'


@pytest.fixture
def looked_at(world, namespace):
    """The path of a service that has a status by ann."""
    path = f"/api/v1/namespaces/{namespace}/services/door"
    spec = {"ports": [{"name": "web", "port": 80}]}
    world.apply(path, service("door", spec=spec), "maker")
    world.apply(f"{path}/status", service("door", "True"), "ann")
    return path


def test_a_status_is_owned_apart_from_its_object(world, looked_at):
    found = owners(world.get(looked_at))
    assert found["ann"]["operation"] == "Apply"
    assert found["ann"]["subresource"] == "status"
    members = ("lastTransitionTime", "message", "reason", "status", "type")
    condition = {".": {}, **{f"f:{member}": {} for member in members}}
    assert found["ann"]["fieldsV1"] == {
        "f:status": {"f:conditions": {'k:{"type":"Checked"}': condition}}
    }
    assert "subresource" not in found["maker"]
    assert "f:status" not in found["maker"]["fieldsV1"]


def test_a_conflict_over_a_status_says_that_it_is_one(world, looked_at):
    path = f"{looked_at}/status"
    response = world.ask(
        "PATCH", path, service("door", "False"), media=APPLY_PATCH, fieldManager="bob"
    )
    status = world.refused(response, 409, "Conflict")
    assert status["message"] == (
        f'Apply failed with 1 conflict: conflict with "ann" with subresource "status": {CHECKED}'
    )
    taken = world.apply(path, service("door", "False"), "bob", force="true")
    assert taken["status"]["conditions"][0]["status"] == "False"
    fields = owners(taken)["ann"]["fieldsV1"]["f:status"]["f:conditions"]
    assert "f:status" not in fields['k:{"type":"Checked"}']
    body = {"status": {"conditions": [{**service("", "True")["status"]["conditions"][0]}]}}
    world.patch(path, body, fieldManager="kim")
    response = world.ask(
        "PATCH", path, service("door", "False"), media=APPLY_PATCH, fieldManager="bob"
    )
    message = world.refused(response, 409, "Conflict")["message"]
    assert message.startswith('Apply failed with 1 conflict: conflict with "kim" with subresource')
    assert message.endswith(f": {CHECKED}")


def test_a_status_request_leaves_the_rest_alone_and_the_other_way_round(world, looked_at):
    other = {"spec": {"ports": [{"name": "web", "port": 90}]}}
    kept = world.apply(f"{looked_at}/status", service("door", "True", **other), "eve")
    assert kept["spec"]["ports"][0]["port"] == 80
    assert list(owners(kept)["eve"]["fieldsV1"]) == ["f:status"]
    kept = world.apply(looked_at, service("door", "False", **other), "maker")
    assert kept["status"]["conditions"][0]["status"] == "True"
    assert kept["spec"]["ports"][0]["port"] == 90
    assert "f:status" not in owners(kept)["maker"]["fieldsV1"]


def test_a_status_may_be_given_up(world, looked_at):
    left = world.apply(f"{looked_at}/status", service("door"), "ann")
    assert not left["status"].get("conditions")
    assert "ann" not in owners(left)


def test_who_applied_stands_before_who_updated(world, looked_at):
    patch = {"metadata": {"annotations": {"note": "1"}}}
    world.patch(looked_at, patch, fieldManager="abe")
    entries = world.get(looked_at)["metadata"]["managedFields"]
    assert [entry["operation"] for entry in entries] == ["Apply", "Apply", "Update"]


def test_what_had_no_owner_is_defended_too(world, looked_at):
    patch = {"metadata": {"managedFields": [{}]}}
    assert "managedFields" not in world.patch(looked_at, patch)["metadata"]
    path = f"{looked_at}/status"
    response = world.ask(
        "PATCH", path, service("door", "False"), media=APPLY_PATCH, fieldManager="bob"
    )
    message = world.refused(response, 409, "Conflict")["message"]
    assert "before-first-apply" in message
    assert message.endswith(CHECKED)
