"""Limits: quotas, ranges, policies, and who may do what."""

from __future__ import annotations

import pytest

from behaviour.manifests import IMAGE, config_map, deployment, pod


@pytest.fixture
def path(namespace):
    return f"/api/v1/namespaces/{namespace}"


def used(world, path, name):
    return world.get(f"{path}/resourcequotas/{name}").get("status", {}).get("used", {})


def test_a_quota_of_gpus(world, path):
    hard = {"requests.nvidia.com/gpu": "2"}
    quota = {"metadata": {"name": "gpus"}, "spec": {"hard": hard}}
    world.create(f"{path}/resourcequotas", quota)
    world.until(lambda: used(world, path, "gpus") == {"requests.nvidia.com/gpu": "0"})

    def trainer(name, gpus):
        limits = {"nvidia.com/gpu": str(gpus)}
        return pod(
            name, containers=[{"name": "c", "image": IMAGE, "resources": {"limits": limits}}]
        )

    world.create(f"{path}/pods", trainer("first", 1))
    response = world.ask("POST", f"{path}/pods", trainer("second", 2))
    status = world.refused(response, 403, "Forbidden")
    assert status["message"] == (
        'pods "second" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=2, '
        "used: requests.nvidia.com/gpu=1, limited: requests.nvidia.com/gpu=2"
    )
    world.delete(f"{path}/pods/first")
    world.until(lambda: used(world, path, "gpus") == {"requests.nvidia.com/gpu": "0"})
    world.create(f"{path}/pods", trainer("second", 2))


def test_a_quota_of_objects_and_cpu(world, path):
    hard = {"count/configmaps": "2", "requests.cpu": "1"}
    world.create(f"{path}/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    world.until(lambda: "requests.cpu" in used(world, path, "q"))
    # kube-root-ca.crt is there already.
    world.until(lambda: used(world, path, "q").get("count/configmaps") == "1")
    world.create(f"{path}/configmaps", config_map("second"))
    response = world.ask("POST", f"{path}/configmaps", config_map("third"))
    assert (
        "exceeded quota: q, requested: count/configmaps=1"
        in (world.refused(response, 403, "Forbidden")["message"])
    )
    bare = pod("bare", containers=[{"name": "c", "image": IMAGE}])
    response = world.ask("POST", f"{path}/pods", bare)
    assert world.refused(response, 403, "Forbidden")["message"] == (
        'pods "bare" is forbidden: failed quota: q: must specify requests.cpu for: c'
    )


def test_a_range_fills_in_and_refuses(world, path):
    limit = {
        "type": "Container",
        "default": {"cpu": "200m"},
        "defaultRequest": {"cpu": "100m"},
        "max": {"cpu": "1"},
    }
    world.create(
        f"{path}/limitranges", {"metadata": {"name": "range"}, "spec": {"limits": [limit]}}
    )
    bare = [{"name": "c", "image": IMAGE}]

    def filled():
        made = world.create(f"{path}/pods", pod("filled", containers=bare), dryRun="All")
        return made["spec"]["containers"][0]["resources"]

    expected = {"limits": {"cpu": "200m"}, "requests": {"cpu": "100m"}}
    world.until(lambda: filled() == expected)
    greedy = {"name": "c", "image": IMAGE, "resources": {"limits": {"cpu": "2"}}}
    response = world.ask("POST", f"{path}/pods", pod("greedy", containers=[greedy]))
    assert world.refused(response, 403, "Forbidden")["message"] == (
        'pods "greedy" is forbidden: maximum cpu usage per Container is 1, but limit is 2'
    )


def test_a_deployment_says_that_its_quota_is_used_up(world, namespace, path):
    hard = {"pods": "1"}
    world.create(f"{path}/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    world.until(lambda: used(world, path, "q") == {"pods": "0"})
    apps = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    world.create(apps, deployment("web", 2))

    def failure():
        conditions = world.get(f"{apps}/web").get("status", {}).get("conditions", [])
        return [item for item in conditions if item["type"] == "ReplicaFailure"]

    (condition,) = world.until(failure)
    assert condition["reason"] == "FailedCreate"
    assert "exceeded quota: q, requested: pods=1, used: pods=1" in condition["message"]


@pytest.fixture
def policy(world, namespace):
    """Replicas of at most two in this namespace."""
    base = "/apis/admissionregistration.k8s.io/v1"
    name = f"{namespace}-small"
    rule = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["deployments"],
    }
    validation = {"expression": "object.spec.replicas <= 2", "message": "two are enough"}
    world.create(
        f"{base}/validatingadmissionpolicies",
        {
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [rule]},
                "validations": [validation],
            },
        },
    )
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    world.create(
        f"{base}/validatingadmissionpolicybindings",
        {
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": selector},
            },
        },
    )
    yield name
    world.delete(f"{base}/validatingadmissionpolicybindings/{name}")
    world.delete(f"{base}/validatingadmissionpolicies/{name}")


def test_a_policy_refuses(world, namespace, policy):
    apps = f"/apis/apps/v1/namespaces/{namespace}/deployments"

    def refusal():
        response = world.ask("POST", apps, deployment("big", 3), dryRun="All")
        return response.status_code == 422 and response.json()

    status = world.until(refusal)
    assert status["message"] == (
        f"deployments.apps \"big\" is forbidden: ValidatingAdmissionPolicy '{policy}' with binding "
        f"'{policy}' denied request: two are enough"
    )
    assert status["reason"] == "Invalid"
    world.create(apps, deployment("small", 0))


def test_a_service_account_may_what_its_role_says(world, namespace, path):
    base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}
    world.create(f"{base}/roles", {"metadata": {"name": "reader"}, "rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    world.create(
        f"{base}/rolebindings",
        {"metadata": {"name": "reader"}, "subjects": [subject], "roleRef": reference},
    )
    user = f"--as=system:serviceaccount:{namespace}:default"
    world.until(
        lambda: world.kubectl("auth can-i list configmaps", user, namespace=namespace).code == 0
    )
    assert world.kubectl("auth can-i delete pods", user, namespace=namespace).out == "no\n"
    said = world.kubectl("get pods", user, namespace=namespace)
    assert said.code == 1
    assert said.err == (
        'Error from server (Forbidden): pods is forbidden: User "system:serviceaccount:'
        f'{namespace}:default" cannot list resource "pods" in API group "" in the namespace '
        f'"{namespace}"\n'
    )
