"""What an API server says of expressions in CEL: when a policy is made, of the types that it
matches, and before a request. ``expression_answers.json`` is what the real one said.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from behaviour.manifests import config_map

ANSWERS = json.loads(Path(__file__).with_name("expression_answers.json").read_text())
BASE = "/apis/admissionregistration.k8s.io/v1"
POLICIES = f"{BASE}/validatingadmissionpolicies"
BINDINGS = f"{BASE}/validatingadmissionpolicybindings"
_NUMBERED = re.compile(r"Deployment\d+")


def policy(name, validations, resource="deployments", **spec):
    rule = {
        "apiGroups": ["apps" if resource == "deployments" else ""], "apiVersions": ["v1"],
        "operations": ["CREATE"], "resources": [resource],
    }  # fmt: skip
    matched = {"resourceRules": [rule]}
    spec = {"matchConstraints": matched, "validations": validations, **spec}
    return {"metadata": {"name": name}, "spec": spec}


def test_expressions_are_held_to_the_types_that_they_meet(world, namespace):
    expressions = list(ANSWERS["typed"])
    validations = [{"expression": each} for each in expressions]
    world.create(POLICIES, policy(namespace, validations))
    path = f"{POLICIES}/{namespace}"
    world.until(lambda: "typeChecking" in world.get(path).get("status", {}))
    warnings = world.get(path)["status"]["typeChecking"]["expressionWarnings"]
    told = {each["fieldRef"]: each["warning"] for each in warnings}
    world.delete(path)
    found = {
        each: _NUMBERED.sub("Deployment", told.get(f"spec.validations[{place}].expression", ""))
        for place, each in enumerate(expressions)
    }
    assert found == ANSWERS["typed"]


def test_expressions_that_cannot_be_are_refused(world, namespace):
    expressions = list(ANSWERS["refused"])
    validations = [{"expression": each} for each in expressions]
    response = world.ask("POST", POLICIES, policy(namespace, validations))
    causes = world.refused(response, 422, "Invalid")["details"]["causes"]
    told = {each["field"]: each["message"] for each in causes}
    found = {
        each: told.get(f"spec.validations[{place}].expression", "")
        for place, each in enumerate(expressions)
    }
    assert found == ANSWERS["refused"]


@pytest.fixture
def denial(world, namespace):
    """Why a policy with this specification denies a configmap; empty if it does not."""
    made = []

    def of(spec):
        name = f"{namespace}-{len(made)}"
        made.append(name)
        world.create(POLICIES, policy(name, **spec, resource="configmaps"))
        selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
        binding = {
            "policyName": name, "validationActions": ["Warn"],
            "matchResources": {"namespaceSelector": selector},
        }  # fmt: skip
        world.create(BINDINGS, {"metadata": {"name": name}, "spec": binding})

        def warned():
            body = config_map("x", **{f"a{number:02}": "v" for number in range(70)})
            path = f"/api/v1/namespaces/{namespace}/configmaps"
            headers = world.ask("POST", path, body, dryRun="All").headers
            mine = (text for text in headers.get_list("warning") if f"'{name}'" in text)
            return next(mine, "").partition(f"binding '{name}': ")[2].removesuffix('"')

        return world.until(warned)

    yield of
    for name in made:
        world.delete(f"{BINDINGS}/{name}")
        world.delete(f"{POLICIES}/{name}")


@pytest.mark.parametrize("name", ANSWERS["evaluated"])
def test_expressions_that_fail_say_why(denial, name):
    said = ANSWERS["evaluated"][name]
    assert denial(said["spec"]) == said["message"]
