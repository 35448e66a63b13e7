"""What an API server says of the rules of custom resources: when they are declared, and before
what is written. ``rule_answers.json`` is what the real one said.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ANSWERS = json.loads(Path(__file__).with_name("rule_answers.json").read_text())
NAME = "gauges.rules.example.com"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(schema):
    names = {"plural": "gauges", "singular": "gauge", "kind": "Gauge", "listKind": "GaugeList"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
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


@pytest.mark.parametrize("name", ANSWERS["declared"])
def test_rules_are_judged_when_they_are_declared(world, name):
    said = ANSWERS["declared"][name]
    response = world.ask("POST", DEFINITIONS, definition(said["schema"]), dryRun="All")
    assert causes_of(response) == said["causes"]


@pytest.fixture
def gauges(world):
    """Ask for a gauge of a schema; the definition goes away afterwards."""

    def ask(schema, spec):
        world.create(DEFINITIONS, definition(schema))
        body = {"apiVersion": "rules.example.com/v1", "kind": "Gauge", "spec": spec}
        body["metadata"] = {"name": "a"}

        def answer():
            found = world.ask("POST", "/apis/rules.example.com/v1/gauges", body, dryRun="All")
            return None if found.status_code in {404, 429} else found

        return world.until(answer)

    yield ask
    world.delete(f"{DEFINITIONS}/{NAME}")
    world.until_gone(f"{DEFINITIONS}/{NAME}")


@pytest.mark.parametrize("name", ANSWERS["judged"])
def test_rules_judge_what_is_written(gauges, name):
    said = ANSWERS["judged"][name]
    assert causes_of(gauges(said["schema"], said["spec"])) == said["causes"]
