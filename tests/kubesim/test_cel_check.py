"""What is said of an expression before it is evaluated, beside what an API server says of it."""

from __future__ import annotations

import pytest

from poolwright.kubesim import cel
from poolwright.kubesim.cel_schema import escaped, policy_variables, type_of, type_of_kind
from poolwright.kubesim.cel_tree import descendants
from poolwright.kubesim.cel_type import DYN, STRING, list_of, parse_types

DEPLOYMENT = type_of_kind("io.k8s.api.apps.v1.Deployment", "Deployment")
KNOWN = policy_variables(object_=DEPLOYMENT)
UNTYPED = policy_variables()


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("object.spec.replicas > 1", "bool"),
        ("object.spec.replicas", "int"),
        ("object.metadata.namespace + object.metadata.name", "string"),
        ("object.metadata.labels", "map(string, string)"),
        ("object.metadata.labels.app", "string"),
        ("object.metadata.creationTimestamp", "timestamp"),
        ("object.spec.strategy.rollingUpdate.maxSurge", "dyn"),
        ("object.spec.template.spec.containers.map(c, c.name)", "list(string)"),
        ("object.spec.template.spec.containers.filter(c, has(c.image)).size()", "int"),
        ("object.spec.?replicas.orValue(1)", "int"),
        ("object.metadata.finalizers.exists_one(f, f == 'x')", "bool"),
        ("has(object.spec.paused) ? [1] : []", "list(int)"),
        ("{'a': object.spec.replicas}", "map(string, int)"),
        ("request.userInfo.extra['x'][0]", "string"),
        ("authorizer.group('').resource('pods').check('get').allowed()", "bool"),
        ("quantity('1').add(quantity('2'))", "kubernetes.Quantity"),
        ("ip.isCanonical('::1') && sets.contains([1], [2])", "bool"),
        ("dyn(1)", "dyn"),
        ("type(1) == int", "bool"),
    ],
)
def test_what_an_expression_is(expression, result):
    assert str(cel.check(expression, KNOWN)) == result


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (
            "object.spec.replicas > '1'",
            "found no matching overload for '_>_' applied to '(int, string)'",
        ),
        ("object.spec.nope == 1", "undefined field 'nope'"),
        ("has(object.spec.nope)", "undefined field 'nope'"),
        ("object.spec.?nope.hasValue()", "undefined field 'nope'"),
        ("object.spec.template.spec.containers.all(c, c.imag == '')", "undefined field 'imag'"),
        ("object.spec.replicas.x == 1", "type 'int' does not support field selection"),
        (
            "object.spec.replicas.all(x, true)",
            "expression of type 'int' cannot be range of a comprehension",
        ),
        (
            "object.metadata.name.startsWith(1)",
            "found no matching overload for 'startsWith' applied to 'string.(int)'",
        ),
        ("object.metadata.finalizers.all(f, f)", "expected type 'bool' but found 'string'"),
        (
            "object.spec.replicas == null",
            "found no matching overload for '_==_' applied to '(int, null)'",
        ),
        ("[1, object.metadata.name] == []", "expected type 'int' but found 'string'"),
        ("nope == 1", "undeclared reference to 'nope' (in container '')"),
        ("nope(1)", "undeclared reference to 'nope' (in container '')"),
        ("duration('x') > duration('1s')", "invalid duration argument"),
        ("object.metadata.name.matches('(')", "invalid matches argument"),
        ("math.greatest(1, 2) == 2", "undeclared reference to 'math'"),
    ],
)
def test_what_is_wrong_with_it(expression, said):
    with pytest.raises(cel.CelError) as refused:
        cel.check(expression, KNOWN)
    assert said in str(refused.value)


def test_every_complaint_says_where():
    with pytest.raises(cel.CelError) as refused:
        cel.check("object.spec.paused &&\n  object.a == 'é' + 1", KNOWN)
    assert str(refused.value) == (
        "ERROR: <input>:2:9: undefined field 'a'\n |   object.a == 'é' + 1\n | ........^\n"
        "ERROR: <input>:2:19: found no matching overload for '_+_' applied to '(string, int)'\n"
        " |   object.a == 'é' + 1\n | ...............．..^"
    )


def test_nothing_is_said_of_what_is_not_typed():
    assert str(cel.check("object.spec.nope > '1' && object.x.all(y, y.z == 1)", UNTYPED)) == "bool"


def test_every_expression_of_a_tree_is_found():
    tree = cel.parse("has(object.x) && [1].all(y, {'a': y}.a > 0)")
    fields = [node["select"]["field"] for node in descendants(tree.root) if "select" in node]
    assert fields == ["x", "a"]


@pytest.mark.parametrize(
    ("name", "written"),
    [("a-b", "a__dash__b"), ("a/b.c", "a__slash__b__dot__c"), ("a__b", "a__underscores__b"),
     ("namespace", "__namespace__"), ("plain", "plain"), ("1a", ""), ("ä", "")],
)  # fmt: skip
def test_how_names_of_fields_are_written(name, written):
    assert escaped(name) == written


def test_the_types_of_a_custom_resource():
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "a-b": {"type": "string"},
                    "size": {"x-kubernetes-int-or-string": True},
                    "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    "bare": {"x-kubernetes-preserve-unknown-fields": True},
                    "raw": {"type": "string", "format": "byte"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
            }
        },
    }
    found = type_of(schema, "self", is_root=True)
    spec = found.member("spec")
    assert (spec.member("a__dash__b"), spec.member("size")) == (STRING, DYN)
    assert spec.member("tags") == list_of(STRING)
    assert str(spec.member("raw")) == "bytes"
    assert spec.member("bare") is None
    assert spec.member("open").member("x") is None
    assert found.member("metadata").member("name") == STRING
    assert found.member("metadata").member("labels") is None


def test_types_are_read_as_they_are_written():
    (found,) = parse_types("map(string, list(<T>))")
    assert str(found) == "map(string, list(T))"
    assert found.parameters[1].parameters[0].is_variable


def test_a_pattern_may_hold_any_sign():
    assert str(cel.check("object.metadata.name.matches('é😀+')", KNOWN)) == "bool"
