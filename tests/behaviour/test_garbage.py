"""What depends on something goes with it, before it, or stays."""

from __future__ import annotations

import time

import pytest

from behaviour.manifests import config_map, deployment


@pytest.fixture
def apps(namespace):
    return f"/apis/apps/v1/namespaces/{namespace}"


@pytest.fixture
def pods(namespace):
    return f"/api/v1/namespaces/{namespace}/pods"


@pytest.fixture
def web(world, apps):
    path = f"{apps}/deployments/web"
    world.create(f"{apps}/deployments", deployment("web", 2))
    world.until(lambda: world.get(path).get("status", {}).get("readyReplicas") == 2)
    return path


def test_the_background_takes_dependents_later(world, web, apps, pods):
    deleted = world.delete(web, {"propagationPolicy": "Background"})
    assert deleted["status"] == "Success"
    assert world.ask("GET", web).status_code == 404
    world.until(lambda: not world.items(pods) and not world.items(f"{apps}/replicasets"))


def test_the_foreground_waits_for_dependents(world, web, apps, pods):
    held = {"metadata": {"finalizers": ["example.com/hold"]}}
    name = world.items(pods)[0]["metadata"]["name"]
    world.patch(f"{pods}/{name}", held)
    deleted = world.delete(web, {"propagationPolicy": "Foreground"})
    assert deleted["metadata"]["finalizers"] == ["foregroundDeletion"]
    world.until(lambda: len(world.items(pods)) == 1)
    assert world.ask("GET", web).status_code == 200
    world.patch(f"{pods}/{name}", {"metadata": {"finalizers": None}})
    world.until_gone(web)
    assert world.items(f"{apps}/replicasets") == []


def test_orphans_stay(world, web, apps, pods):
    world.delete(web, {"propagationPolicy": "Orphan"})
    world.until_gone(web)
    (left,) = world.items(f"{apps}/replicasets")
    assert "ownerReferences" not in left["metadata"]
    assert len(world.items(pods)) == 2


def test_an_owner_that_never_was(world, namespace):
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    body = config_map("lost")
    body["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": "nobody",
            "uid": "00000000-0000-0000-0000-000000000001",
        }
    ]
    world.create(maps, body)
    world.until_gone(f"{maps}/lost")


def test_an_owner_of_a_kind_that_nobody_knows(world, namespace):
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    lost = {"apiVersion": "v1", "kind": "ConfigMap", "name": "n", "uid": "lost-uid"}
    unknown = {"apiVersion": "foo/v9", "kind": "Bar", "name": "n", "uid": "unknown-uid"}
    for name, owners in (("kept", [unknown]), ("both", [lost, unknown]), ("gone", [lost])):
        body = config_map(name)
        body["metadata"]["ownerReferences"] = owners
        world.create(maps, body)
    world.until_gone(f"{maps}/gone")
    time.sleep(1)  # what must not happen has no event to wait for
    assert world.get(f"{maps}/both")["metadata"]["ownerReferences"] == [lost, unknown]
    assert world.ask("GET", f"{maps}/kept").status_code == 200


def test_a_namespace_takes_everything(world):
    name = world.create("/api/v1/namespaces", {"metadata": {"generateName": "whole-"}})
    name = name["metadata"]["name"]
    path = f"/api/v1/namespaces/{name}"
    body = config_map("held")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    world.create(f"{path}/configmaps", body)
    world.create(f"{path}/secrets", {"metadata": {"name": "s"}})
    world.delete(path)

    def remains():
        status = world.get(path)["status"]
        found = {item["type"]: item["status"] for item in status.get("conditions", [])}
        return status["phase"] == "Terminating" and (
            found.get("NamespaceFinalizersRemaining") == "True"
        )

    world.until(remains)
    response = world.ask("POST", f"{path}/configmaps", config_map("late"))
    status = world.refused(response, 403, "Forbidden")
    assert status["message"] == (
        f'configmaps "late" is forbidden: unable to create new content in namespace {name} '
        "because it is being terminated"
    )
    assert status["details"]["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {name} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    world.patch(f"{path}/configmaps/held", {"metadata": {"finalizers": None}})
    world.until_gone(path)
