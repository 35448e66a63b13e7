"""The template language: lenient text, expressions, expansion, and clear refusals."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from poolwright.arm.template.expansion import FUNCTIONS, Surroundings, Template
from poolwright.arm.template.language import Evaluator, TemplateError
from poolwright.arm.template.text import TextError, read_text

SEED_TEMPLATE = json.loads((Path(__file__).parent / "aks-agentpools.json").read_text())


def surroundings(**deployed):
    return Surroundings(
        subscription="s1",
        tenant="t1",
        resource_group={
            "name": "rg1",
            "location": "eastus",
            "tags": {},
            "id": "/subscriptions/s1/resourceGroups/rg1",
        },
        deployment="d1",
        endpoint="https://localhost:8443",
        now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        new_guid=lambda: "00000000-0000-0000-0000-000000000001",
        reference=lambda identifier: deployed.get(identifier.rpartition("/")[2]),
    )


def template(**members):
    return {"$schema": "x", "contentVersion": "1.0.0.0", "resources": [], **members}


def evaluate(text, **parameters):
    class Scope:
        pass

    scope = Scope()
    scope.parameters = parameters
    scope.raw_variables = {}
    scope.variables = {}
    scope.copy = {}
    scope.surroundings = surroundings()
    scope.in_defaults = False
    return Evaluator(FUNCTIONS, scope).text(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("[[literal]", "[literal]"),
        ("[concat('a', 1, 'b''c')]", "a1b'c"),
        ("[concat(createArray(1), createArray(2, 3))]", [1, 2, 3]),
        ("[if(equals('a', 'a'), 'yes', div(1, 0))]", "yes"),
        ("[parameters('p').x[1]]", "second"),
        ("[length(parameters('P').x)]", 2),
        ("[format('{0}-{1}', 'a', 2)]", "a-2"),
        ("[toUpper(substring('poolwright', 0, 4))]", "POOL"),
        ("[union(createObject('a', 1), createObject('b', 2))]", {"a": 1, "b": 2}),
        ("[coalesce(null(), 'x')]", "x"),
        ("[resourceGroup().location]", "eastus"),
        (
            "[resourceId('Microsoft.ContainerService/managedClusters/agentPools', 'c', 'p')]",
            "/subscriptions/s1/resourceGroups/rg1/providers/Microsoft.ContainerService/managedClusters/c/agentPools/p",
        ),
        (
            "[resourceId('other', 'A.B/c', 'n')]",
            "/subscriptions/s1/resourceGroups/other/providers/A.B/c/n",
        ),
        ("[mod(-7, 3)]", -1),
        ("[split('a,b', ',')]", ["a", "b"]),
        ("[base64ToString(base64('ä'))]", "ä"),
        ("[contains(createObject('Key', 1), 'key')]", True),
        ("[and(true(), not(false()))]", True),
        ("[string(createArray('a', true()))]", '["a",true]'),
        ("[dateTimeAdd('2026-01-01T00:00:00Z', 'P1DT1H')]", "2026-01-02T01:00:00Z"),
    ],
)
def test_expressions(text, value):
    assert evaluate(text, p={"x": ["first", "second"]}) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[frobnicate('x')]", "The template function 'frobnicate' is not valid"),
        ("[concat('a'", "The template function"),
        ("[concat('a']", "Unable to parse language expression"),
        ("[parameters('nope')]", "The template parameter 'nope' is not found"),
        ("[resourceGroup().nope]", "The language expression property 'nope' doesn't exist"),
        ("[div(1, 0)]", "cannot divide by zero"),
        ("[newGuid()]", "only allowed in the default value"),
        ("[copyIndex()]", "outside of its copy loop"),
        ("[substring('abc', 2, 9)]", "within the string"),
        ("[length()]", "requires 1 argument(s)"),
    ],
)
def test_refused_expressions(text, message):
    if text == "[concat('a'":
        assert evaluate(text) == text  # no closing bracket: not an expression
        return
    with pytest.raises(TemplateError) as caught:
        evaluate(text)
    assert message in caught.value.message
    assert caught.value.code == "InvalidTemplate"


def test_text_as_az_splices_it():
    head = '{"properties": {"parameters": {"a": {"value": 1}}, "mode": "Incremental", '
    body = head + 'template:{\n// c\n"x": "two\nlines", /* b */ "y": [1, 2,],}}}'
    assert read_text(body) == {
        "properties": {
            "parameters": {"a": {"value": 1}},
            "mode": "Incremental",
            "template": {"x": "two\nlines", "y": [1, 2]},
        }
    }


@pytest.mark.parametrize(
    "text", ["", "{", '{"a" 1}', '"abc', "[1 2]", "{} x", '"\\q"', "[" * 500, "tru"]
)
def test_text_that_nobody_can_read(text):
    with pytest.raises(TextError, match="line '1'"):
        read_text(text)


def test_seed_template():
    given = {"clusterName": {"value": "c1"}, "location": {"value": "eastus"}}
    expanded = Template(SEED_TEMPLATE, given, surroundings())
    (resource,) = expanded.resources
    assert resource.id.endswith("/managedClusters/c1/agentPools/myagentpool")
    assert resource.api_version == "2019-04-01"
    body = expanded.body(resource)
    assert body["properties"] == {
        "maxPods": 30,
        "osDiskSizeGB": 0,
        "count": 3,
        "vmSize": "Standard_DS2_v2",
        "osType": "Linux",
        "storageProfile": "ManagedDisks",
        "type": "VirtualMachineScaleSets",
        "vnetSubnetID": "",
        "orchestratorVersion": "1.12.8",
    }


def test_missing_and_unknown_parameters():
    with pytest.raises(TemplateError, match="template parameter 'clusterName'"):
        Template(SEED_TEMPLATE, {}, surroundings())
    given = {"clusterName": {"value": "c"}, "location": {"value": "l"}, "nope": {"value": 1}}
    with pytest.raises(TemplateError, match="'nope'"):
        Template(SEED_TEMPLATE, given, surroundings())


def test_copies_dependencies_and_outputs():
    raw = template(
        parameters={"n": {"type": "int", "defaultValue": 2, "maxValue": 5}},
        variables={
            "copy": [{"name": "names", "count": 2, "input": "[concat('v', copyIndex('names'))]"}]
        },
        resources=[
            {
                "type": "A.B/cs",
                "apiVersion": "1",
                "name": "c",
                "resources": [
                    {"type": "ps", "apiVersion": "1", "name": "inner", "dependsOn": ["c"]}
                ],
            },
            {
                "type": "A.B/cs/ps",
                "apiVersion": "1",
                "name": "[concat('c/p', copyIndex(1))]",
                "copy": {"name": "loop", "count": "[parameters('n')]"},
                "dependsOn": ["[resourceId('A.B/cs', 'c')]"],
                "properties": {"index": "[copyIndex()]"},
            },
            {"type": "A.B/last", "apiVersion": "1", "name": "last", "dependsOn": ["loop"]},
            {"type": "A.B/never", "apiVersion": "1", "name": "never", "condition": False},
        ],
        outputs={
            "names": {"type": "array", "value": "[variables('names')]"},
            "of": {"type": "string", "value": "[reference('c').fqdn]"},
        },
    )
    expanded = Template(raw, {}, surroundings(c={"properties": {"fqdn": "f"}}))
    by_name = {r.name: r for r in expanded.resources}
    assert list(by_name) == ["c", "c/inner", "c/p1", "c/p2", "last"]
    assert by_name["c/p2"].depends_on == (by_name["c"].id,)
    assert by_name["last"].depends_on == (by_name["c/p1"].id, by_name["c/p2"].id)
    assert expanded.body(by_name["c/p2"]) == {"properties": {"index": 1}}
    assert expanded.outputs() == {
        "names": {"type": "Array", "value": ["v0", "v1"]},
        "of": {"type": "String", "value": "f"},
    }
    with pytest.raises(TemplateError, match="maxValue"):
        Template(raw, {"n": {"value": 6}}, surroundings())


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ([{"type": "A.B/c", "name": "x"}], "'apiVersion' not found"),
        ([{"type": "A.B/c/d", "name": "x", "apiVersion": "1"}], "incorrect segment lengths"),
        (
            [{"type": "A.B/c", "name": "x", "apiVersion": "1", "dependsOn": ["y"]}],
            "'y' is not defined",
        ),
        (
            [
                {"type": "A.B/c", "name": "x", "apiVersion": "1", "dependsOn": ["y"]},
                {"type": "A.B/c", "name": "y", "apiVersion": "1", "dependsOn": ["x"]},
            ],
            "Circular dependency",
        ),
        ([{"type": "A.B/c", "name": "x", "apiVersion": "1"}] * 2, "defined multiple times"),
    ],
)
def test_refused_templates(resources, message):
    with pytest.raises(TemplateError) as caught:
        Template(template(resources=resources), {}, surroundings())
    assert message in caught.value.message
