"""Custom resources: defined, served, pruned, defaulted, validated, scaled, shown and removed."""

from __future__ import annotations

import asyncio
from copy import deepcopy

import pytest

from poolwright.kubesim import structural
from poolwright.kubesim.registry import Registry

from .in_process import APPLY, MERGE, STRATEGIC, TABLE, pod, run

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
CRONTABS = "/apis/stable.example.com/v1/namespaces/default/crontabs"
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["schedule"],
            "properties": {
                "schedule": {"type": "string", "pattern": r"^\S+( \S+){4}$"},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
                "mode": {"type": "string", "enum": ["On", "Off"]},
                "ports": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string"}, "port": {"type": "integer"}},
                    },
                },
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
            "x-kubernetes-validations": [
                {"rule": "self.replicas <= 5 || self.mode == 'On'", "message": "big needs On"},
                {"rule": "self.schedule == oldSelf.schedule", "message": "schedule is fixed"},
            ],
        },
        "status": {
            "type": "object",
            "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}},
        },
    },
}


def definition(**version):
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {
            "group": "stable.example.com",
            "scope": "Namespaced",
            "names": {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": SCHEMA},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": [
                        {"name": "Spec", "type": "string", "jsonPath": ".spec.schedule"},
                        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
                    ],
                    **version,
                }
            ],
        },
    }


def crontab(name="one", **spec):
    return {
        "apiVersion": "stable.example.com/v1",
        "kind": "CronTab",
        "metadata": {"name": name},
        "spec": {"schedule": "* * * * *", **spec},
    }


def test_a_definition_serves_its_kind_until_it_goes():
    async def test(call):
        assert (await call("GET", CRONTABS)).status == 404
        made = await call("POST", DEFINITIONS, definition())
        assert made.status == 201, made.body
        conditions = {c["type"]: c["status"] for c in made.body["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}
        assert made.body["spec"]["names"]["listKind"] == "CronTabList"
        resources = (await call("GET", "/apis/stable.example.com/v1")).body["resources"]
        assert [r["name"] for r in resources] == [
            "crontabs",
            "crontabs/scale",
            "crontabs/status",
        ]
        listed = (await call("GET", CRONTABS)).body
        assert (listed["kind"], listed["items"]) == ("CronTabList", [])
        assert (await call("POST", CRONTABS, crontab())).status == 201
        v3 = (await call("GET", "/openapi/v3/apis/stable.example.com/v1")).body
        schema = v3["components"]["schemas"]["com.example.stable.v1.CronTab"]
        assert schema["properties"]["spec"]["required"] == ["schedule"]
        v2 = (await call("GET", "/openapi/v2")).body["definitions"]
        free = v2["com.example.stable.v1.CronTab"]["properties"]["spec"]["properties"]["free"]
        assert free == {"x-kubernetes-preserve-unknown-fields": True}
        await call("DELETE", f"{DEFINITIONS}/crontabs.stable.example.com")
        for _ in range(200):
            await asyncio.sleep(0)
            if (await call("GET", CRONTABS)).status == 404:
                break
        gone = await call("GET", f"{DEFINITIONS}/crontabs.stable.example.com")
        assert gone.status == 404
        assert (await call("GET", "/apis/stable.example.com/v1")).status == 404
        assert (await call("POST", DEFINITIONS, definition())).status == 201
        assert (await call("GET", CRONTABS)).body["items"] == []

    run(test)


def test_objects_are_pruned_defaulted_and_validated():
    async def test(call):
        await call("POST", DEFINITIONS, definition())
        body = crontab(unknown=1, free={"any": {"thing": 1}}, ports=[{"name": "a", "x": 1}])
        made = await call("POST", CRONTABS, body)
        assert made.body["spec"] == {
            "schedule": "* * * * *",
            "replicas": 1,
            "free": {"any": {"thing": 1}},
            "ports": [{"name": "a"}],
        }
        warnings = [value for name, value in made.headers if name == "warning"]
        assert warnings == [
            '299 - "unknown field \\"spec.unknown\\""',
            '299 - "unknown field \\"spec.ports[0].x\\""',
        ]
        strict = await call("POST", f"{CRONTABS}?fieldValidation=Strict", body)
        assert strict.body["message"] == (
            'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error:'
            ' unknown field "spec.unknown", unknown field "spec.ports[0].x"'
        )
        bad = crontab("bad", replicas=11, mode="Half", ports=[{"port": 1}, {"name": 5}])
        refused = await call("POST", CRONTABS, bad)
        assert refused.status == 422
        assert {(c["field"], c["message"]) for c in refused.body["details"]["causes"]} >= {
            (
                "spec.replicas",
                "Invalid value: 11: spec.replicas in body should be less than or equal to 10",
            ),
            ("spec.mode", 'Unsupported value: "Half": supported values: "On", "Off"'),
            ("spec.ports[0].name", "Required value"),
            (
                "spec.ports[1].name",
                'Invalid value: "integer": spec.ports[1].name in body must be of type string:'
                ' "integer"',
            ),
        }

    run(test)


def test_rules_in_cel_are_held():
    async def test(call):
        await call("POST", DEFINITIONS, definition())
        big = await call("POST", CRONTABS, crontab(replicas=6, mode="Off"))
        assert big.body["details"]["causes"] == [
            {
                "reason": "FieldValueInvalid",
                "message": "Invalid value: big needs On",
                "field": "spec",
            }
        ]
        assert (await call("POST", CRONTABS, crontab(replicas=6, mode="On"))).status == 201
        moved = await call(
            "PATCH", f"{CRONTABS}/one", {"spec": {"schedule": "1 * * * *"}}, content_type=MERGE
        )
        assert "schedule is fixed" in moved.body["message"]

    run(test)


def test_status_scale_and_columns():
    async def test(call):
        await call("POST", DEFINITIONS, definition())
        sent = {**crontab(), "status": {"replicas": 9}}
        assert "status" not in (await call("POST", CRONTABS, sent)).body
        state = {"status": {"replicas": 1, "selector": "app=x"}, "spec": {"replicas": 5}}
        changed = await call("PATCH", f"{CRONTABS}/one/status", state, content_type=MERGE)
        assert changed.body["status"]["replicas"] == 1
        assert (changed.body["spec"]["replicas"], changed.body["metadata"]["generation"]) == (1, 1)
        scale = (await call("GET", f"{CRONTABS}/one/scale")).body
        assert scale["status"] == {"replicas": 1, "selector": "app=x"}
        scaled = await call(
            "PATCH", f"{CRONTABS}/one/scale", {"spec": {"replicas": 3}}, content_type=MERGE
        )
        assert scaled.body["spec"] == {"replicas": 3}
        table = (await call("GET", CRONTABS, accept=TABLE)).body
        assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Spec", "Replicas"]
        assert [row["cells"] for row in table["rows"]] == [["one", "* * * * *", 3]]

    run(test)


def test_apply_merges_by_the_declared_list_keys():
    async def test(call):
        await call("POST", DEFINITIONS, definition())
        for manager, name in (("a", "x"), ("b", "y")):
            applied = crontab(ports=[{"name": name, "port": 1}])
            path = f"{CRONTABS}/one?fieldManager={manager}"
            assert (await call("PATCH", path, applied, content_type=APPLY)).status < 300
        ports = (await call("GET", f"{CRONTABS}/one")).body["spec"]["ports"]
        assert [port["name"] for port in ports] == ["x", "y"]
        refused = await call("PATCH", f"{CRONTABS}/one", {}, content_type=STRATEGIC)
        assert refused.status == 415

    run(test)


def test_a_new_default_is_read_from_old_objects():
    async def test(call):
        await call("POST", DEFINITIONS, definition())
        await call("POST", CRONTABS, crontab())
        schema = {
            **SCHEMA,
            "properties": {
                "spec": {
                    "type": "object",
                    "properties": {
                        "schedule": {"type": "string"},
                        "zone": {"type": "string", "default": "UTC"},
                    },
                }
            },
        }
        change = definition(schema={"openAPIV3Schema": schema})
        path = f"{DEFINITIONS}/crontabs.stable.example.com"
        assert (await call("PATCH", path, change, content_type=MERGE)).status == 200
        spec = (await call("GET", f"{CRONTABS}/one")).body["spec"]
        assert spec == {"schedule": "* * * * *", "zone": "UTC"}

    run(test)


def test_a_wrong_definition_is_refused():
    async def test(call):
        body = definition(schema={"openAPIV3Schema": {"type": "object", "properties": {"a": {}}}})
        body["metadata"]["name"] = "other.stable.example.com"
        refused = await call("POST", DEFINITIONS, body)
        assert {c["field"] for c in refused.body["details"]["causes"]} == {
            "metadata.name",
            "spec.validation.openAPIV3Schema.properties[a].type",
        }

    run(test)


def test_custom_objects_are_there_after_a_restart():
    async def test(call):
        await call("POST", DEFINITIONS, definition())
        await call("POST", CRONTABS, crontab())
        registry = call.registry
        again = await Registry.load(
            registry.cluster, registry._store, registry.clock, registry.identity
        )
        kind = again.catalog.custom_kind("crontabs.stable.example.com")
        assert [entry.name for entry in again.list(kind)] == ["one"]
        assert again.list(kind)[0].object() == registry.list(kind)[0].object()

    run(test)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("self.replicas = 42", "Syntax error"),
        ("self.nothing == 1", "undefined field 'nothing'"),
        ("nothing(self)", "undeclared reference to 'nothing'"),
        ("self.free.any == 1", "undefined field 'any'"),
        ("self.replicas", "cel expression must evaluate to a bool"),
        ("self.replicas < 5 && 'self.nothing' != ''", ""),
    ],
)
def test_rules_are_compiled_when_they_are_declared(rule, said):
    async def test(call):
        schema = deepcopy(SCHEMA)
        schema["properties"]["spec"]["x-kubernetes-validations"] = [{"rule": rule}]
        made = await call("POST", DEFINITIONS, definition(schema={"openAPIV3Schema": schema}))
        assert made.status == (422 if said else 201), made.body
        assert said in made.body.get("message", "")

    run(test)


def test_finalizers_of_custom_objects_need_no_domain():
    async def test(call):
        await call("POST", DEFINITIONS, definition())
        body = crontab()
        body["metadata"]["finalizers"] = ["test-finalizer"]
        assert (await call("POST", CRONTABS, body)).status == 201

    run(test)


def test_a_budget_asks_the_scale_of_a_custom_owner():
    async def test(call):
        await call("POST", DEFINITIONS, definition())
        owner = (await call("POST", CRONTABS, crontab(replicas=4))).body["metadata"]
        reference = {"apiVersion": "stable.example.com/v1", "kind": "CronTab", "controller": True}
        reference |= {"name": "one", "uid": owner["uid"]}
        for name in ("a", "b"):
            body = pod(name, app="custom")
            body["metadata"]["ownerReferences"] = [reference]
            assert (await call("POST", "/api/v1/namespaces/default/pods", body)).status == 201
        spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "custom"}}}
        await call("POST", BUDGETS, {"metadata": {"name": "one"}, "spec": spec})
        assert await expected(call, 4) == {"expectedPods": 4, "desiredHealthy": 3}
        patch = {"spec": {"replicas": 3}}
        await call("PATCH", f"{CRONTABS}/one", patch, content_type=MERGE)
        assert await expected(call, 3) == {"expectedPods": 3, "desiredHealthy": 2}

    run(test, controllers=True)


def test_a_scale_where_no_number_is_lets_no_pod_go():
    async def test(call):
        scale = {"specReplicasPath": ".spec.mode", "statusReplicasPath": ".status.replicas"}
        await call("POST", DEFINITIONS, definition(subresources={"scale": scale}))
        owner = (await call("POST", CRONTABS, crontab(mode="On"))).body["metadata"]
        reference = {"apiVersion": "stable.example.com/v1", "kind": "CronTab", "controller": True}
        body = pod("a", app="custom")
        body["metadata"]["ownerReferences"] = [{**reference, "name": "one", "uid": owner["uid"]}]
        assert (await call("POST", "/api/v1/namespaces/default/pods", body)).status == 201
        spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "custom"}}}
        await call("POST", BUDGETS, {"metadata": {"name": "one"}, "spec": spec})
        conditions = []
        while "SyncFailed" not in conditions:
            await asyncio.sleep(0.01)
            found = (await call("GET", f"{BUDGETS}/one")).body.get("status") or {}
            conditions = [each["reason"] for each in found.get("conditions") or ()]

    run(test, controllers=True)


async def expected(call, count):
    """A budget's count, once it is this one."""
    for _ in range(500):
        await asyncio.sleep(0.01)
        found = (await call("GET", f"{BUDGETS}/one")).body.get("status") or {}
        if found.get("expectedPods") == count:
            break
    return {name: found.get(name) for name in ("expectedPods", "desiredHealthy")}


def test_a_kind_that_goes_while_a_namespace_is_emptied_is_empty():
    async def test(call):
        name = "crontabs.stable.example.com"
        await call("POST", DEFINITIONS, definition())
        kind = call.registry.catalog.custom_kind(name)
        await call("POST", "/api/v1/namespaces", {"metadata": {"name": "leaving"}})
        objects = CRONTABS.replace("default", "leaving")
        for number in range(5):
            assert (await call("POST", objects, crontab(f"c{number}"))).status == 201
        await asyncio.gather(
            call("DELETE", "/api/v1/namespaces/leaving"), call("DELETE", f"{DEFINITIONS}/{name}")
        )
        for _ in range(300):
            await asyncio.sleep(0.01)
            if (await call("GET", "/api/v1/namespaces/leaving")).status == 404:
                break
        assert (await call("GET", "/api/v1/namespaces/leaving")).status == 404
        assert (await call("GET", f"{DEFINITIONS}/{name}")).status == 404
        assert list(call.registry.list(kind, "leaving")) == []
        assert call.registry.entry(kind, "c0", "leaving") is None

    run(test)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            "self.tags.all(a, self.tags.all(b, a + b != ''))",
            "'operation cancelled: actual cost limit exceeded': no further validation rules will be"
            " run due to call cost exceeds limit for rule: ",
        ),
        (
            "self.size > 1",
            "'no such overload': call arguments did not match a supported operator, function or"
            " macro signature for rule: ",
        ),
        ("self.tags[900] == ''", "index out of bounds: 900 evaluating rule: "),
    ],
)
def test_a_rule_that_cannot_be_evaluated_says_why(rule, said):
    schema = {
        "type": "object",
        "properties": {
            "tags": {"type": "array", "items": {"type": "string"}},
            "size": {"x-kubernetes-int-or-string": True},
        },
        "x-kubernetes-validations": [{"rule": rule}],
    }
    value = {"tags": [str(number) for number in range(600)], "size": "10%"}
    (cause,) = structural.validate(value, schema)
    assert cause.message == f'Invalid value: "object": {said}{rule}'
