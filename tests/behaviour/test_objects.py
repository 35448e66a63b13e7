"""Objects are made, changed by several people at once, and refused."""

from __future__ import annotations

import pytest

from behaviour.manifests import config_map, deployment, pod
from behaviour.world import JSON_PATCH, STRATEGIC_PATCH


@pytest.fixture
def maps(namespace):
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def deployments(namespace):
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


def test_what_is_created_carries_what_the_server_adds(world, maps):
    made = world.create(maps, config_map("settings", color="red"))
    metadata = made["metadata"]
    assert {"uid", "resourceVersion", "creationTimestamp", "managedFields"} <= set(metadata)
    assert "generation" not in metadata
    assert world.get(f"{maps}/settings") == made


def test_a_name_is_taken_once(world, maps):
    world.create(maps, config_map("one"))
    status = world.refused(world.ask("POST", maps, config_map("one")), 409, "AlreadyExists")
    assert status["message"] == 'configmaps "one" already exists'
    assert status["details"] == {"name": "one", "kind": "configmaps"}


def test_a_generated_name_has_five_more_characters(world, maps):
    body = {"metadata": {"generateName": "made-"}}
    names = {world.create(maps, body)["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("made-") and len(name) == 10 for name in names)


def test_a_stale_replacement_is_a_conflict(world, maps):
    made = world.create(maps, config_map("shared", a="1"))
    world.patch(f"{maps}/shared", {"data": {"a": "2"}})
    status = world.refused(world.ask("PUT", f"{maps}/shared", made), 409, "Conflict")
    assert status["message"] == (
        'Operation cannot be fulfilled on configmaps "shared": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


def test_a_replacement_without_a_version_wins(world, maps):
    world.create(maps, config_map("shared", a="1"))
    replaced = world.replace(f"{maps}/shared", config_map("shared", b="2"))
    assert replaced["data"] == {"b": "2"}


def test_a_change_of_nothing_is_no_new_version(world, maps):
    made = world.create(maps, config_map("still", a="1"))
    again = world.patch(f"{maps}/still", {"data": {"a": "1"}})
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_generation_counts_changes_of_the_wish(world, deployments):
    made = world.create(deployments, deployment("web", 0))
    assert made["metadata"]["generation"] == 1
    path = f"{deployments}/web"
    assert world.patch(path, {"spec": {"paused": True}})["metadata"]["generation"] == 2
    labelled = world.patch(path, {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 2


def test_patches_of_three_kinds(world, deployments):
    world.create(deployments, deployment("web", 0))
    path = f"{deployments}/web"
    container = {"name": "c", "env": [{"name": "A", "value": "1"}]}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    found = world.patch(path, patch, STRATEGIC_PATCH)["spec"]["template"]["spec"]["containers"]
    assert [item["image"] for item in found] == ["registry.k8s.io/pause:3.10"]
    assert found[0]["env"] == [{"name": "A", "value": "1"}]
    more = [{"op": "add", "path": "/metadata/labels", "value": {"x": "y"}}]
    assert world.patch(path, more, JSON_PATCH)["metadata"]["labels"] == {"x": "y"}
    assert "labels" not in world.patch(path, {"metadata": {"labels": None}})["metadata"]


def test_a_json_patch_that_does_not_fit(world, maps):
    world.create(maps, config_map("one"))
    patch = [{"op": "test", "path": "/data/a", "value": "1"}]
    response = world.ask("PATCH", f"{maps}/one", patch, media=JSON_PATCH)
    world.refused(response, 422, "Invalid")


def test_an_unknown_kind_of_patch(world, maps):
    world.create(maps, config_map("one"))
    response = world.ask("PATCH", f"{maps}/one", {}, media="text/plain")
    status = world.refused(response, 415, "UnsupportedMediaType")
    assert status["message"] == "415: Unsupported Media Type"


def test_a_dry_run_changes_nothing(world, maps):
    assert world.create(maps, config_map("ghost"), dryRun="All")["metadata"]["name"] == "ghost"
    assert world.ask("GET", f"{maps}/ghost").status_code == 404


def test_preconditions_of_a_deletion(world, maps):
    world.create(maps, config_map("kept"))
    wrong = {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}
    status = world.refused(world.ask("DELETE", f"{maps}/kept", wrong), 409, "Conflict")
    assert status["message"].startswith(
        'Operation cannot be fulfilled on ConfigMap "kept": the UID in the precondition '
        "(00000000-0000-0000-0000-000000000000) does not match the UID in record ("
    )
    world.delete(f"{maps}/kept")


def test_a_finalizer_holds_an_object(world, maps):
    body = config_map("held")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    world.create(maps, body)
    assert "deletionTimestamp" in world.delete(f"{maps}/held")["metadata"]
    assert world.get(f"{maps}/held")["metadata"]["deletionGracePeriodSeconds"] == 0
    world.patch(f"{maps}/held", {"metadata": {"finalizers": None}})
    assert world.ask("GET", f"{maps}/held").status_code == 404


def test_a_collection_is_deleted_by_labels(world, maps):
    for name, color in (("a", "red"), ("b", "red"), ("c", "blue")):
        body = config_map(name)
        body["metadata"]["labels"] = {"color": color}
        world.create(maps, body)
    world.delete(maps, labelSelector="color=red")
    names = [item["metadata"]["name"] for item in world.items(maps, labelSelector="color")]
    assert names == ["c"]


def test_pages_show_one_moment(world, maps):
    for name in "abcde":
        world.create(maps, config_map(f"page-{name}"))
    first = world.get(maps, limit="3")
    assert len(first["items"]) == 3
    world.create(maps, config_map("page-z"))
    token = first["metadata"]["continue"]
    rest = world.get(maps, **{"limit": "10", "continue": token})
    names = [item["metadata"]["name"] for item in first["items"] + rest["items"]]
    assert "page-z" not in names
    assert names[-5:] == [f"page-{name}" for name in "abcde"]
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("validation", "code"), [("Strict", 400), ("Warn", 201), ("Ignore", 201), ("Sometimes", 422)]
)
def test_unknown_fields(world, deployments, validation, code):
    body = deployment("web", 0)
    body["spec"]["colour"] = "red"
    response = world.ask("POST", deployments, body, fieldValidation=validation)
    assert response.status_code == code, response.text
    if validation == "Strict":
        assert response.json()["message"] == (
            'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
            'unknown field "spec.colour"'
        )
    if validation == "Warn":
        assert response.headers["Warning"] == '299 - "unknown field \\"spec.colour\\""'
    if validation == "Ignore":
        assert "Warning" not in response.headers


def test_everything_wrong_is_named_at_once(world, deployments):
    body = deployment("web")
    body["spec"]["replicas"] = -1
    body["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    status = world.refused(world.ask("POST", deployments, body), 422, "Invalid")
    causes = {cause["field"]: cause for cause in status["details"]["causes"]}
    assert causes["spec.replicas"]["reason"] == "FieldValueInvalid"
    assert causes["spec.template.metadata.labels"]["message"] == (
        'Invalid value: {"app":"other"}: `selector` does not match template `labels`'
    )


def test_what_may_not_change(world, namespace, deployments):
    world.create(deployments, deployment("web", 0))
    other = {"spec": {"selector": {"matchLabels": {"app": "web", "tier": "x"}}}}
    status = world.refused(
        world.ask("PATCH", f"{deployments}/web", other, media="application/merge-patch+json"),
        422,
        "Invalid",
    )
    assert "field is immutable" in status["message"]
    pods = f"/api/v1/namespaces/{namespace}/pods"
    world.create(pods, pod("fixed"))
    status = world.refused(
        world.ask(
            "PATCH",
            f"{pods}/fixed",
            {"spec": {"hostname": "x"}},
            media="application/merge-patch+json",
        ),
        422,
        "Invalid",
    )
    assert "pod updates may not change fields other than" in status["message"]


def test_lists_as_tables_and_as_metadata(world, maps):
    world.create(maps, config_map("shown", a="1", b="2"))
    table = world._client.get(
        maps.lstrip("/"),
        headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"},
    ).json()
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    rows = {row["cells"][0]: row for row in table["rows"]}
    assert rows["shown"]["cells"][1] == 2
    assert rows["shown"]["object"]["kind"] == "PartialObjectMetadata"
    listed = world._client.get(
        maps.lstrip("/"),
        headers={"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"},
    ).json()
    assert listed["kind"] == "PartialObjectMetadataList"
    assert all("data" not in item for item in listed["items"])
