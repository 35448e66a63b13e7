"""Rules that came after an object bind what an update changes, and nothing else of it."""

import pytest

from poolwright.kubesim.structural import validate

NOT_FOO = {"type": "string", "enum": ["notfoo"]}
RULE = {"type": "string", "x-kubernetes-validations": [{"rule": "self == 'foo'"}]}


def by_key(item):
    return {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["key"],
        "items": {"type": "object", "properties": {"key": {"type": "string"}, "field": item}},
    }


def schema(item):
    return {
        "type": "object",
        "properties": {
            "field": item,
            "other": {"type": "string"},
            "list": by_key(item),
            "map": {
                "type": "object",
                "additionalProperties": {"type": "object", "properties": {"field": item}},
            },
            "atomic": {"type": "array", "items": item},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": item},
        },
    }


def broken(new, item, old=None):
    return [cause.field for cause in validate(new, schema(item), old)]


def settled(value):
    return {
        "field": value,
        "list": [{"key": "a", "field": value}],
        "map": {"k": {"field": value}},
        "atomic": [value],
        "set": [value],
    }


@pytest.mark.parametrize(("item", "bad", "good"), [(NOT_FOO, "foo", "notfoo"), (RULE, "x", "foo")])
def test_what_an_update_leaves_alone_is_not_held_to_later_rules(item, bad, good):
    old = settled(bad)
    assert len(broken(old, item)) == 5
    assert broken({**old, "other": "new"}, item, old) == []
    moved = [{"key": "b", "field": good}, {"key": "a", "field": bad, "other": "new"}]
    grown = {"j": {"field": good}, **old["map"]}
    assert broken({**old, "list": moved, "map": grown}, item, old) == []


@pytest.mark.parametrize(("item", "bad", "good"), [(NOT_FOO, "foo", "notfoo"), (RULE, "x", "foo")])
def test_what_it_changes_is(item, bad, good):
    old = settled(good)
    at = "[k]" if item is RULE else ".k"
    assert set(broken(settled(bad), item, old)) == {
        "field", "list[0].field", f"map{at}.field", "atomic[0]", "set[0]",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["atomic", "set"])
@pytest.mark.parametrize(("item", "bad", "good"), [(NOT_FOO, "foo", "notfoo"), (RULE, "x", "foo")])
def test_items_that_nothing_tells_apart_count_as_new_once_their_list_changes(name, item, bad, good):
    old = {name: [bad]}
    assert broken({name: [bad], "other": "new"}, item, old) == []
    assert broken({name: [bad, good]}, item, old) == [f"{name}[0]"]


def test_a_rule_that_looks_back_holds_always():
    moves = {"type": "string", "x-kubernetes-validations": [{"rule": "self != oldSelf"}]}
    old = {"field": "a", "list": [{"key": "a", "field": "a"}]}
    assert broken(old, moves, old) == ["field", "list[0].field"]
    assert broken(old, moves) == []


def test_a_rule_may_do_without_an_old_value():
    rule = "!oldSelf.hasValue() || oldSelf.value() != self || self == 'oldSelf'"
    item = {
        "type": "string",
        "x-kubernetes-validations": [{"rule": rule, "optionalOldSelf": True}],
    }
    assert broken({"field": "a"}, item) == []
    assert broken({"field": "a"}, item, {}) == []
    assert broken({"field": "a"}, item, {"field": "b"}) == []
    assert broken({"field": "a"}, item, {"field": "a"}) == ["field"]
    assert broken({"field": "oldSelf"}, item, {"field": "oldSelf"}) == []


def test_a_broken_rule_says_what_the_real_server_says():
    def said(rule, value="x", kind="string"):
        found = {"type": kind, "x-kubernetes-validations": [rule]}
        return [c.text() for c in validate({"field": value}, schema(found))]

    assert said({"rule": "self == 'a'"}) == [
        "field: Invalid value: \"x\": failed rule: self == 'a'"
    ]
    assert said({"rule": "false", "message": " no "}, {"a": 1}, "object") == [
        "field: Invalid value: no"
    ]
    assert said({"rule": "false", "messageExpression": "self + '!'", "message": "no"}) == [
        'field: Invalid value: "x": x!'
    ]
    assert said({"rule": "false", "messageExpression": "string(1/0)", "message": "no"}) == [
        'field: Invalid value: "x": no'
    ]
    assert said({"rule": "false", "message": "no", "reason": "FieldValueForbidden"}) == [
        "field: Forbidden: no"
    ]


def test_true_in_the_place_of_one_is_a_change():
    counted = {"type": "integer"}
    assert len(broken({"field": True}, counted, {"field": 1})) == 1
    assert broken({"field": 1, "other": "new"}, counted, {"field": 1}) == []
