"""What an API server says of the rules that a definition of custom resources declares.

``rule_answers.json`` is what the real one said: schemas, and the causes of the refusals.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CASES = json.loads(Path(__file__).with_name("rule_answers.json").read_text())
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(schema):
    names = {"plural": "gauges", "singular": "gauge", "kind": "Gauge", "listKind": "GaugeList"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gauges.rules.example.com"},
        "spec": {
            "group": "rules.example.com", "scope": "Cluster", "names": names, "versions": [version],
        },
    }  # fmt: skip


def causes_of(response):
    if response.status_code == 201:
        return []
    assert response.status_code == 422, response.text
    found = response.json()["details"]["causes"]
    return sorted([each["field"], each["reason"], each["message"]] for each in found)


@pytest.mark.parametrize("name", CASES)
def test_rules_are_judged_when_they_are_declared(world, name):
    schema = CASES[name]["schema"]
    response = world.ask("POST", DEFINITIONS, definition(schema), dryRun="All")
    assert causes_of(response) == CASES[name]["causes"]
