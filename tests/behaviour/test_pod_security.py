"""Pod Security: what the labels of a namespace keep its pods from."""

from __future__ import annotations

import pytest

from behaviour.manifests import deployment, pod

LABEL = "pod-security.kubernetes.io/"
HOST = "host namespaces (hostNetwork=true)"


@pytest.fixture
def label(world, namespace):
    def put(**labels):
        named = {LABEL + mode.replace("_", "-"): value for mode, value in labels.items()}
        body = {"metadata": {"labels": named}}
        media = "application/merge-patch+json"
        return world.ask("PATCH", f"/api/v1/namespaces/{namespace}", body, media=media)

    return put


def warned(response):
    return [text for name, text in response.headers.multi_items() if name == "warning"]


def in_effect(world, namespace):
    """A real API server reads the labels from a cache."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    body = pod("probe", hostPID=True)
    world.until(lambda: world.ask("POST", path, body, dryRun="All").status_code == 403)


def test_what_is_enforced_is_refused(world, namespace, label):
    assert label(enforce="baseline").status_code == 200
    in_effect(world, namespace)
    path = f"/api/v1/namespaces/{namespace}/pods"
    said = world.refused(world.ask("POST", path, pod("a", hostNetwork=True)), 403, "Forbidden")
    assert said["message"] == (
        f'pods "a" is forbidden: violates PodSecurity "baseline:latest": {HOST}'
    )
    assert said["details"] == {"name": "a", "kind": "pods"}
    world.create(path, pod("b"))


def test_a_deployment_is_warned_of_and_its_pods_do_not_come(world, namespace, label):
    assert label(enforce="baseline").status_code == 200
    in_effect(world, namespace)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    answer = world.ask("POST", path, deployment("d", hostNetwork=True))
    assert answer.status_code == 201
    assert warned(answer) == [f'299 - "would violate PodSecurity \\"baseline:latest\\": {HOST}"']

    def failure():
        conditions = world.get(f"{path}/d").get("status", {}).get("conditions", ())
        found = [c for c in conditions if c["type"] == "ReplicaFailure"]
        return found[0] if found else None

    condition = world.until(failure)
    assert condition["reason"] == "FailedCreate"
    assert f'is forbidden: violates PodSecurity "baseline:latest": {HOST}' in condition["message"]


def test_pods_that_are_there_are_told_of(world, namespace, label):
    path = f"/api/v1/namespaces/{namespace}/pods"
    world.create(path, pod("a", hostIPC=True))
    world.create(path, pod("b", hostIPC=True))
    answer = label(enforce="baseline", enforce_version="v1.30")
    assert warned(answer) == [
        f'299 - "existing pods in namespace \\"{namespace}\\" violate the new PodSecurity enforce'
        ' level \\"baseline:v1.30\\""',
        '299 - "a (and 1 other pod): host namespaces"',
    ]
    assert warned(label(enforce="privileged")) == []


def test_labels_that_say_nothing_are_refused(world, namespace, label):
    said = world.refused(label(enforce="strict", audit_version="1.30"), 422, "Invalid")
    assert said["message"] == (
        f'Namespace "{namespace}" is invalid: [metadata.labels[{LABEL}enforce]: Invalid value: '
        f'"strict": must be one of privileged, baseline, restricted, metadata.labels[{LABEL}'
        'audit-version]: Invalid value: "1.30": must be "latest" or "v1.x"]'
    )
