"""What keeps objects out: quotas, limits, classes, policies, roles."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from poolwright.kubesim import housekeeping

from .in_process import MERGE, pod, run

PODS = "/api/v1/namespaces/default/pods"
QUOTAS = "/api/v1/namespaces/default/resourcequotas"
LIMITS = "/api/v1/namespaces/default/limitranges"
CONFIGS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


def gpu_pod(name, count, **resources):
    body = pod(name)
    body["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": count, **resources}}
    return body


async def settle():
    for _ in range(50):
        await asyncio.sleep(0)


async def used(call, name="q"):
    await settle()
    return (await call("GET", f"{QUOTAS}/{name}")).body["status"]["used"]


def test_a_quota_counts_gpus_and_objects_and_refuses_the_rest():
    async def test(call):
        hard = {"requests.nvidia.com/gpu": "2", "pods": "3", "count/configmaps": "1"}
        await call("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
        assert (await call("POST", PODS, gpu_pod("a", 2))).status == 201
        assert await used(call) == {
            "requests.nvidia.com/gpu": "2", "pods": "1", "count/configmaps": "0",
        }  # fmt: skip
        refused = await call("POST", PODS, gpu_pod("b", 1))
        assert (refused.status, refused.body["reason"]) == (403, "Forbidden")
        assert refused.body["message"] == (
            'pods "b" is forbidden: exceeded quota: q, requested: requests.nvidia.com/gpu=1,'
            " used: requests.nvidia.com/gpu=2, limited: requests.nvidia.com/gpu=2"
        )
        await call("POST", CONFIGS, {"metadata": {"name": "one"}})
        assert (await call("POST", CONFIGS, {"metadata": {"name": "two"}})).status == 403
        await call("DELETE", f"{PODS}/a?gracePeriodSeconds=0")
        assert (await used(call))["requests.nvidia.com/gpu"] == "0"
        assert (await call("POST", PODS, gpu_pod("b", 1))).status == 201
        finished = {"status": {"phase": "Succeeded"}}
        await call("PATCH", f"{PODS}/b/status", finished, content_type=MERGE)
        assert (await used(call))["pods"] == "0"

    run(test)


def test_requests_at_the_same_moment_share_one_quota():
    async def test(call):
        await call("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "3"}}})
        answers = await asyncio.gather(*(call("POST", PODS, pod(f"p{n}")) for n in range(8)))
        assert sorted(answer.status for answer in answers) == [201] * 3 + [403] * 5
        assert (await used(call))["pods"] == "3"

    run(test)


def test_a_quota_counts_what_a_pod_asks_for_as_a_whole():
    async def test(call):
        hard = {"requests.cpu": "1", "limits.memory": "1Gi"}
        await call("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
        body = pod("whole")
        body["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
        body["spec"]["resources"] = {"requests": {"cpu": "300m"}}
        assert (await call("POST", PODS, body)).status == 201  # and need not limit its memory
        assert await used(call) == {"requests.cpu": "300m", "limits.memory": "0"}
        body["metadata"]["name"] = "more"
        body["spec"]["resources"] = {"requests": {"cpu": "800m"}}
        refused = await call("POST", PODS, body)
        assert "requested: requests.cpu=800m, used: requests.cpu=300m" in refused.body["message"]

    run(test)


def test_scopes_choose_pods_and_compute_must_be_said():
    async def test(call):
        spec = {"hard": {"pods": "5"}, "scopes": ["BestEffort"]}
        await call("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": spec})
        await call("POST", PODS, pod("best"))
        await call("POST", PODS, gpu_pod("burst", 1, cpu="1"))
        assert await used(call) == {"pods": "1"}
        spec = {"hard": {"requests.cpu": "1", "limits.memory": "1Gi"}}
        await call("POST", QUOTAS, {"metadata": {"name": "c"}, "spec": spec})
        refused = await call("POST", PODS, pod("silent"))
        assert refused.body["message"] == (
            'pods "silent" is forbidden: failed quota: c: must specify limits.memory for: main;'
            " requests.cpu for: main"
        )

    run(test)


def test_limits_are_filled_in_and_held():
    async def test(call):
        limit = {
            "type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"},
            "max": {"cpu": "1"},
        }  # fmt: skip
        body = {"metadata": {"name": "l"}, "spec": {"limits": [limit]}}
        assert (await call("POST", LIMITS, body)).status == 201
        made = (await call("POST", PODS, pod("a"))).body
        assert made["spec"]["containers"][0]["resources"] == {
            "requests": {"cpu": "100m"}, "limits": {"cpu": "500m"},
        }  # fmt: skip
        assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
            "LimitRanger plugin set: cpu request for container main; cpu limit for container main"
        )
        refused = await call("POST", PODS, gpu_pod("b", 1, cpu="2"))
        assert refused.body["message"] == (
            'pods "b" is forbidden: maximum cpu usage per Container is 1, but limit is 2'
        )

    run(test)


def test_classes_are_resolved():
    async def test(call):
        path = "/apis/scheduling.k8s.io/v1/priorityclasses"
        body = {"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"}
        assert (await call("POST", path, body)).status == 201
        body = {"metadata": {"name": "nv"}, "handler": "nvidia",
                "overhead": {"podFixed": {"cpu": "250m"}},
                "scheduling": {"nodeSelector": {"gpu": "yes"}}}  # fmt: skip
        assert (await call("POST", "/apis/node.k8s.io/v1/runtimeclasses", body)).status == 201
        asked = pod("a")
        asked["spec"].update(priorityClassName="high", runtimeClassName="nv")
        spec = (await call("POST", PODS, asked)).body["spec"]
        assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "Never")
        assert (spec["overhead"], spec["nodeSelector"]) == ({"cpu": "250m"}, {"gpu": "yes"})
        for member, text in (
            ("priorityClassName", "no PriorityClass with name none was found"),
            ("runtimeClassName", 'pod rejected: RuntimeClass "none" not found'),
        ):
            bad = pod("b")
            bad["spec"][member] = "none"
            refused = await call("POST", PODS, bad)
            assert (refused.status, text in refused.body["message"]) == (403, True)

    run(test)


def deployment(name, replicas):
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def test_a_policy_in_cel_denies_and_warns():
    async def test(call):
        rule = {
            "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
            "resources": ["deployments"],
        }  # fmt: skip
        policy = {
            "metadata": {"name": "few"},
            "spec": {
                "matchConstraints": {"resourceRules": [rule]},
                "variables": [{"name": "n", "expression": "object.spec.replicas"}],
                "validations": [{"expression": "variables.n <= 2"}],
            },
        }
        assert (await call("POST", POLICIES, policy)).status == 201
        binding = {
            "metadata": {"name": "few-here"},
            "spec": {"policyName": "few", "validationActions": ["Deny"]},
        }
        assert (await call("POST", BINDINGS, binding)).status == 201
        assert (await call("POST", DEPLOYMENTS, deployment("a", 2))).status == 201
        refused = await call("POST", DEPLOYMENTS, deployment("b", 3))
        assert (refused.status, refused.body["reason"]) == (422, "Invalid")
        assert refused.body["message"] == (
            "deployments.apps \"b\" is forbidden: ValidatingAdmissionPolicy 'few' with binding"
            " 'few-here' denied request: failed expression: variables.n <= 2"
        )
        change = {"spec": {"replicas": 9}}
        patched = await call("PATCH", f"{DEPLOYMENTS}/a", change, content_type=MERGE)
        assert patched.status == 422
        actions = {"spec": {"validationActions": ["Warn"]}}
        await call("PATCH", f"{BINDINGS}/few-here", actions, content_type=MERGE)
        warned = await call("POST", DEPLOYMENTS, deployment("b", 3))
        assert warned.status == 201
        assert any(name == "warning" and "few" in value for name, value in warned.headers)

    run(test)


def policy_of(name, *validations, **spec):
    rule = {
        "apiGroups": ["", "apps"], "apiVersions": ["v1"], "operations": ["CREATE"],
        "resources": ["configmaps", "deployments"],
    }  # fmt: skip
    listed = [{"expression": each} if isinstance(each, str) else each for each in validations]
    matched = {"resourceRules": [rule]}
    spec = {"matchConstraints": matched, "validations": listed, **spec}
    return {"metadata": {"name": name}, "spec": spec}


async def bound(call, policy):
    name = policy["metadata"]["name"]
    made = await call("POST", POLICIES, policy)
    assert made.status == 201, made.body["message"]
    spec = {"policyName": name, "validationActions": ["Deny"]}
    await call("POST", BINDINGS, {"metadata": {"name": name}, "spec": spec})


def ruled(name, group, resources, operation, expression):
    """A policy about one operation on some resources."""
    rule = {
        "apiGroups": [group], "apiVersions": ["v1"], "operations": [operation],
        "resources": resources,
    }  # fmt: skip
    spec = {
        "matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": expression}],
    }  # fmt: skip
    return {"metadata": {"name": name}, "spec": spec}


def test_a_scale_is_judged_as_a_scale_and_not_as_what_it_scales():
    async def test(call):
        await call("POST", DEPLOYMENTS, deployment("web", 1))
        few = "object.spec.replicas <= 2"
        await bound(call, ruled("whole", "apps", ["deployments"], "UPDATE", few))

        async def scaled(count):
            change = {"spec": {"replicas": count}}
            return await call("PATCH", f"{DEPLOYMENTS}/web/scale", change, content_type=MERGE)

        assert (await scaled(3)).body["spec"] == {"replicas": 3}
        expression = (
            "object.kind == 'Scale' && oldObject.spec.replicas == 3"
            " && request.kind.kind == 'Scale' && request.subResource == 'scale'"
            " && object.spec.replicas <= 5"
        )
        await bound(call, ruled("scales", "apps", ["deployments/scale"], "UPDATE", expression))
        refused = await scaled(6)
        assert (refused.status, refused.body["reason"]) == (422, "Invalid")
        assert refused.body["message"].startswith(
            "deployments.apps \"web\" is forbidden: ValidatingAdmissionPolicy 'scales' with"
            " binding 'scales' denied request: failed expression: object.kind"
        )
        assert (await scaled(5)).body["spec"] == {"replicas": 5}

    run(test)


def test_an_eviction_is_judged_as_an_eviction_and_not_as_a_deletion():
    async def test(call):
        for name in ("kept", "held"):
            await call("POST", PODS, pod(name))
        await bound(call, ruled("deletions", "", ["pods"], "DELETE", "false"))
        expression = "object.kind != 'Eviction' || object.metadata.name != 'held'"
        await bound(call, ruled("evictions", "", ["pods/eviction"], "CREATE", expression))
        assert (await call("DELETE", f"{PODS}/kept")).status == 422

        async def evicted(name):
            body = {
                "apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": name, "namespace": "default"},
            }  # fmt: skip
            return await call("POST", f"{PODS}/{name}/eviction", body)

        refused = await evicted("held")
        assert refused.status == 422
        assert "'evictions' with binding 'evictions' denied request" in refused.body["message"]
        assert "conditions" not in (await call("GET", f"{PODS}/held")).body["status"]
        assert (await evicted("kept")).status == 201
        assert (await evicted("nobody")).status == 404

    run(test)


def test_a_policy_may_keep_people_out_of_containers():
    async def test(call):
        await call("POST", PODS, pod("web"))
        expression = (
            "request.kind.kind == 'PodExecOptions' && request.name == 'web'"
            " && object.command != ['sh'] && !(has(object.stdin) && object.stdin)"
        )
        await bound(call, ruled("quiet", "", ["pods/exec"], "CONNECT", expression))
        for query in ("command=sh", "command=ls&stdin=true"):
            refused = await call("POST", f"{PODS}/web/exec?{query}")
            assert (refused.status, refused.body["reason"]) == (422, "Invalid")
            assert "'quiet' with binding 'quiet' denied request" in refused.body["message"]
        for path in ("exec?command=ls", "attach"):  # let in, and refused for what they lack
            assert "denied" not in (await call("POST", f"{PODS}/web/{path}")).body["message"]

    run(test)


async def checked(call, name, generation):
    """A policy, once its types were checked."""
    while True:
        found = (await call("GET", f"{POLICIES}/{name}")).body
        if found["status"].get("observedGeneration") == generation:
            return found
        await asyncio.sleep(0)


async def denied(call, **more):
    """Why a configmap is not let in; empty if it is."""
    answer = await call("POST", f"{CONFIGS}?dryRun=All", {"metadata": {"name": "x"}}, **more)
    if answer.status == 201:
        return ""
    return answer.body["message"].partition("denied request: ")[2]


def test_expressions_that_do_not_fit_what_they_match_are_told():
    async def test(call):
        wanted = {
            "expression": "object.spec.replicas > '1'",
            "messageExpression": "'got ' + object.spec.replicas",
        }
        rules = [{
            "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"],
            "resources": ["deployments"],
        }]  # fmt: skip
        spec = {"matchConstraints": {"resourceRules": rules}, "validations": [wanted]}
        await call("POST", POLICIES, {"metadata": {"name": "confused"}, "spec": spec})
        told = await checked(call, "confused", 1)
        assert told["status"]["observedGeneration"] == 1
        first, second = told["status"]["typeChecking"]["expressionWarnings"]
        assert first == {
            "fieldRef": "spec.validations[0].expression",
            "warning": (
                "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for"
                " '_>_' applied to '(int, string)'\n | object.spec.replicas > '1'\n"
                " | .....................^\n"
            ),
        }
        assert second["fieldRef"] == "spec.validations[0].messageExpression"
        managers = told["metadata"]["managedFields"]
        assert ("validatingadmissionpolicy-status-controller", "status") in [
            (entry["manager"], entry.get("subresource")) for entry in managers
        ]
        change = {"spec": {"validations": [{"expression": "object.spec.replicas > 1"}]}}
        await call("PATCH", f"{POLICIES}/confused", change, content_type=MERGE)
        status = (await checked(call, "confused", 2))["status"]
        assert status == {"observedGeneration": 2, "typeChecking": {}}

    run(test)


def test_an_authorizer_answers_by_roles():
    async def test(call):
        may = "authorizer.group('').resource('secrets').namespace('default').check('get')"
        await bound(call, policy_of("secrets", {"expression": f"{may}.allowed()", "message": "no"}))
        assert await denied(call) == ""  # an administrator may all
        rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]
        role = {"metadata": {"name": "maker"}, "rules": rules}
        await call("POST", f"{RBAC}/namespaces/default/roles", role)
        binding = {
            "metadata": {"name": "makers"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "maker"},
            "subjects": [{"kind": "User", "name": "bob"}],
        }
        await call("POST", f"{RBAC}/namespaces/default/rolebindings", binding)
        bob = [(b"impersonate-user", b"bob")]
        assert await denied(call, headers=bob) == "no"
        rules.append({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]})
        await call("PUT", f"{RBAC}/namespaces/default/roles/maker", role)
        assert await denied(call, headers=bob) == ""
        told = 'RBAC: allowed by RoleBinding "makers/default" of Role "maker" to User "bob"'
        mine = f"authorizer.requestResource.check('create').reason() == '{told}'"
        await bound(call, policy_of("why", mine))
        assert await denied(call, headers=bob) == ""
        asked = {"name": "a", "expression": "string(authorizer.path('/x').check('get').allowed())"}
        shown = {"expression": "false", "messageExpression": "variables.a", "message": "plain"}
        await bound(call, policy_of("shown", shown, variables=[asked]))
        assert await denied(call) == "plain"  # messages have no authorizer, nor what asks it

    run(test)


def test_an_expression_may_cost_only_so_much():
    async def test(call):
        three = " && ".join(["authorizer.path('/x').check('get').allowed()"] * 3)
        await bound(call, policy_of("three", three))
        assert await denied(call) == (
            f"expression '{three}' resulted in error: operation cancelled: actual cost limit"
            " exceeded"
        )
        await call("DELETE", f"{BINDINGS}/three")
        asked = [{"name": "asked", "expression": three}]
        either = "variables.asked || object.metadata.name == 'x'"
        await bound(
            call, policy_of("either", either, "object.metadata.name == 'x'", variables=asked)
        )
        assert await denied(call) == ""
        await call("DELETE", f"{BINDINGS}/either")
        two = " && ".join(["authorizer.path('/x').check('get').allowed()"] * 2)
        await bound(call, policy_of("many", *[two] * 14))
        assert await denied(call) == ""
        await call("DELETE", f"{BINDINGS}/many")
        await bound(call, policy_of("too-many", *[two] * 15))
        assert await denied(call) == (
            "validation failed due to running out of cost budget, no further validation rules will"
            " be run"
        )

    run(test)


def test_what_may_not_be_deleted_keeps_its_namespace_and_no_other(monkeypatch):
    spaces = "/api/v1/namespaces"
    monkeypatch.setattr(housekeeping, "_AGAIN", timedelta(milliseconds=50))

    async def comes(call, path, status):
        while True:
            if (await call("GET", path)).status == status:
                return
            await asyncio.sleep(0.01)

    async def test(call):
        await call("POST", spaces, {"metadata": {"name": "one"}})
        for kind in ("configmaps", "secrets"):
            await call("POST", f"{spaces}/one/{kind}", {"metadata": {"name": "kept"}})
        rule = {
            "apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"],
            "resources": ["configmaps"],
        }  # fmt: skip
        await bound(call, policy_of("p", "false", matchConstraints={"resourceRules": [rule]}))
        await call("DELETE", f"{spaces}/one")
        await comes(call, f"{spaces}/one/secrets/kept", 404)
        await call("POST", spaces, {"metadata": {"name": "two"}})
        await comes(call, f"{spaces}/two/serviceaccounts/default", 200)
        told = (await call("GET", f"{spaces}/one")).body["status"]["conditions"]
        said = {each["type"]: each for each in told}["NamespaceDeletionContentFailure"]
        assert (said["status"], said["reason"]) == ("True", "ContentDeletionFailed")
        assert said["message"].startswith(
            'Failed to delete all resource types, 1 remaining: configmaps "kept" is forbidden: '
        )
        await call("DELETE", f"{BINDINGS}/p")
        await comes(call, f"{spaces}/one", 404)

    run(test)


def test_a_variable_without_a_value_is_an_error_where_it_is_used():
    async def test(call):
        broken = [{"name": "v", "expression": "object.data.nope"}]
        await bound(call, policy_of("broken", "variables.v == 'x' || true", variables=broken))
        assert await denied(call) == ""
        await call("DELETE", f"{BINDINGS}/broken")
        await bound(call, policy_of("used", "variables.v == 'x'", variables=broken))
        assert await denied(call) == (
            "expression 'variables.v == 'x'' resulted in error: composited variable \"v\" fails to"
            " evaluate: no such key: data"
        )

    run(test)


@pytest.mark.parametrize(
    ("spec", "field", "said"),
    [
        ({"validations": [{"expression": "1"}]}, "validations[0].expression",
         'Invalid value: "1": must evaluate to bool but got int'),
        ({"validations": [{"expression": "true", "messageExpression": "1"}]},
         "validations[0].messageExpression",
         'Invalid value: "1": must evaluate to string but got int'),
        ({"auditAnnotations": [{"key": "k", "valueExpression": "1"}]},
         "auditAnnotations[0].valueExpression",
         'Invalid value: "1": must evaluate to one of [string null_type] but got int'),
        ({"variables": [{"name": "for", "expression": "1"}]}, "variables[0].name",
         'Invalid value: "for": must be a valid CEL identifier'),
        ({"matchConditions": [{"name": "a", "expression": "variables.x == 1"}]},
         "matchConditions[0].expression",
         'Invalid value: "variables.x == 1": compilation failed: ERROR: <input>:1:1: undeclared'
         " reference to 'variables' (in container '')\n | variables.x == 1\n | ^"),
    ],
)  # fmt: skip
def test_what_an_expression_of_a_policy_must_be(spec, field, said):
    async def test(call):
        refused = await call("POST", POLICIES, policy_of("bad", "true", **spec))
        assert refused.status == 422
        causes = [(each["field"], each["message"]) for each in refused.body["details"]["causes"]]
        assert set(causes) == {(f"spec.{field}", said)}

    run(test)


def test_an_expression_that_does_not_compile_is_refused():
    async def test(call):
        rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}
        spec = {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "object.spec =="}],
        }
        refused = await call("POST", POLICIES, {"metadata": {"name": "bad"}, "spec": spec})
        assert refused.body["details"]["causes"][0]["field"] == "spec.validations[0].expression"

    run(test)


def test_who_is_no_admin_needs_a_role():
    async def test(call):
        bob = [(b"impersonate-user", b"bob")]
        refused = await call("GET", PODS, headers=bob)
        assert (refused.status, refused.body["message"]) == (
            403,
            'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the'
            ' namespace "default"',
        )
        rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
        await call("POST", f"{RBAC}/namespaces/default/roles",
                   {"metadata": {"name": "reader"}, "rules": rules})  # fmt: skip
        binding = {
            "metadata": {"name": "bob"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "User", "name": "bob"}],
        }
        bound = await call("POST", f"{RBAC}/namespaces/default/rolebindings", binding)
        assert bound.status == 201
        assert (await call("GET", PODS, headers=bob)).status == 200
        assert (await call("POST", PODS, pod("a"), headers=bob)).status == 403
        assert (await call("GET", "/api/v1/nodes", headers=bob)).status == 403
        assert (await call("GET", "/apis", headers=bob)).status == 200
        asked = {"spec": {"namespace": "default"}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        found = (await call("POST", path, asked, headers=bob)).body["status"]["resourceRules"]
        assert {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]} in found
        for verb, allowed in (("list", True), ("delete", False)):
            attributes = {"verb": verb, "resource": "pods", "namespace": "default"}
            path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            body = {"spec": {"resourceAttributes": attributes}}
            answer = await call("POST", path, body, headers=bob)
            assert answer.body["status"]["allowed"] is allowed

    run(test)


@pytest.mark.parametrize(
    ("of_account", "of_pod", "mounted"),
    [(None, None, True), (False, None, False), (False, True, True), (None, False, False)],
)
def test_the_account_token_is_mounted_unless_it_is_not_wanted(of_account, of_pod, mounted):
    async def test(call):
        account = {"metadata": {"name": "robot"}}
        if of_account is not None:
            account["automountServiceAccountToken"] = of_account
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        assert (await call("POST", accounts, account)).status == 201
        body = pod("a")
        body["spec"]["serviceAccountName"] = "robot"
        if of_pod is not None:
            body["spec"]["automountServiceAccountToken"] = of_pod
        spec = (await call("POST", PODS, body)).body["spec"]
        mounts = spec["containers"][0].get("volumeMounts", [])
        assert len(mounts) == len(spec.get("volumes", [])) == mounted
        if mounted:
            assert mounts[0]["name"] == spec["volumes"][0]["name"]
            assert mounts[0]["name"].startswith("kube-api-access-")

    run(test)
