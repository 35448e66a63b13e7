"""Amounts are kept in one form, so that an equal amount is no change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from behaviour.manifests import deployment, pod

ANSWERS = json.loads((Path(__file__).parents[1] / "model" / "quantity_answers.json").read_text())
LIMITS = {"cpu": "1000m", "memory": "1024Mi"}


def limited(body, **limits):
    spec = body["spec"].get("template", body)["spec"]
    spec["containers"][0]["resources"] = {"limits": limits or LIMITS}
    return body


def limits_of(body):
    return body["spec"].get("template", body)["spec"]["containers"][0]["resources"]["limits"]


@pytest.mark.parametrize(("sent", "plain", "listed"), ANSWERS, ids=repr)
def test_the_form_of_an_amount(world, sent, plain, listed):
    body = pod("x")
    body["spec"]["volumes"] = [{"name": "v", "emptyDir": {"sizeLimit": sent}}]
    made = world.create("/api/v1/namespaces/default/pods", body, dryRun="All")
    assert made["spec"]["volumes"][0]["emptyDir"]["sizeLimit"] == plain
    quota = {"metadata": {"name": "x"}, "spec": {"hard": {"requests.cpu": sent}}}
    path = "/api/v1/namespaces/default/resourcequotas"
    made = world.create(path, quota, dryRun="All")
    assert made["spec"]["hard"]["requests.cpu"] == listed


def test_an_equal_amount_is_no_change(world, namespace):
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    made = world.create(path, limited(deployment("web", 0)))
    assert limits_of(made) == {"cpu": "1", "memory": "1Gi"}
    assert "requests" not in made["spec"]["template"]["spec"]["containers"][0]["resources"]
    container = {"name": "c", "resources": {"limits": {"cpu": 1, "memory": "1024Mi"}}}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    media = "application/strategic-merge-patch+json"
    after = world.patch(f"{path}/web", patch, media)
    assert after["metadata"]["generation"] == 1
    assert limits_of(after) == {"cpu": "1", "memory": "1Gi"}


def test_a_pod_asks_for_its_limits(world, namespace):
    made = world.create(f"/api/v1/namespaces/{namespace}/pods", limited(pod("a")))
    resources = made["spec"]["containers"][0]["resources"]
    assert resources["requests"] == resources["limits"] == {"cpu": "1", "memory": "1Gi"}


def test_another_form_of_an_amount_is_a_conflict_between_appliers(world, namespace):
    pods = f"/api/v1/namespaces/{namespace}/pods/a"
    body = {"apiVersion": "v1", "kind": "Pod", **limited(pod("a"))}
    media = "application/apply-patch+yaml"
    first = world.ask("PATCH", pods, body, media=media, fieldManager="one")
    assert first.status_code == 201, first.text
    again = world.ask("PATCH", pods, body, media=media, fieldManager="two")
    assert world.refused(again, 409, "Conflict")["details"]["causes"][0]["field"].endswith("cpu")
