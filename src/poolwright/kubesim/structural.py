"""Structural schemas of custom resources: prune, default, validate, and compile for merging.

Source: k8s.io/apiextensions-apiserver pkg/apiserver/schema (pruning, defaulting, listtype) and
k8s.io/kube-openapi pkg/validation (rules, wording).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

from poolwright.kubesim import cel
from poolwright.kubesim.schema import Shape, shape
from poolwright.kubesim.status import (
    Cause,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from poolwright.model.json_value import children

Schema = Mapping[str, Any]
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_OPEN = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"
_ROOT_MEMBERS = ("apiVersion", "kind", "metadata")
_NEW = object()
"""In the place of the value that there was before, where nothing corresponds to it."""


def _properties(schema: Schema) -> Mapping[str, Schema]:
    return schema.get("properties") or {}


def _items(schema: Schema) -> Schema:
    return schema.get("items") or {}


def _inner(schema: Schema, name: str) -> Schema | None:
    """The schema of a member; empty if anything goes there, None if it is not known."""
    known = _properties(schema).get(name)
    if known is not None:
        return known
    more: Any = schema.get("additionalProperties")
    if more:
        return cast("Schema", more) if isinstance(more, dict) else {_OPEN: True}
    return {_OPEN: True} if schema.get(_OPEN) else None


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


# Pruning and defaulting


def prune(value: Any, schema: Schema, path: str, unknown: list[str], *, root: bool = False) -> None:
    """Drop in place what the schema does not know, noting where it was."""
    if isinstance(value, list):
        items = _items(schema)
        for position, item in enumerate(cast("list[Any]", value)):
            prune(item, items, f"{path}[{position}]", unknown)
    if not isinstance(value, dict):
        return
    members = cast("dict[str, Any]", value)
    embedded = root or bool(schema.get(_EMBEDDED))
    for name in list(members):
        here = _joined(path, name)
        if embedded and name in _ROOT_MEMBERS:
            if name == "metadata" and not root:
                _prune_metadata(members[name], here, unknown)
            continue
        inner = _inner(schema, name)
        if inner is None:
            unknown.append(here)
            del members[name]
        elif inner.get("type") or not inner.get(_OPEN):
            prune(members[name], inner, here, unknown)


def _prune_metadata(value: Any, path: str, unknown: list[str]) -> None:
    if isinstance(value, dict):
        metadata = cast("dict[str, Any]", value)
        for name in [name for name in metadata if name not in shape(OBJECT_META).members]:
            unknown.append(f"{path}.{name}")
            del metadata[name]


def default(value: Any, schema: Schema) -> None:
    """Fill in place what was left out; a null that may not be one counts as left out."""
    if isinstance(value, list):
        for item in cast("list[Any]", value):
            default(item, _items(schema))
    if not isinstance(value, dict):
        return
    members = cast("dict[str, Any]", value)
    for name, inner in _properties(schema).items():
        if name in members and members[name] is None and not inner.get("nullable"):
            del members[name]
        if name not in members and "default" in inner:
            members[name] = json.loads(json.dumps(inner["default"]))
    for name, found in members.items():
        inner = _inner(schema, name)
        if inner is not None and found is not None:
            default(found, inner)


# Validation


def validate(value: Any, schema: Schema, old: Any = None) -> Iterator[Cause]:
    """Broken rules of a whole object.

    What an update leaves as it was is not held to rules that came after it ("ratcheting").
    Source: k8s.io/apiextensions-apiserver pkg/apiserver/validation/ratcheting.go, and
    k8s.io/apiserver pkg/cel/common/equality.go (which old value corresponds to which).
    """
    before = _NEW if old is None else old
    yield from _check(value, schema, "", before)
    yield from _check_expressions(value, before, schema, "")


def _is_as_it_was(value: Any, old: Any) -> bool:
    """Whether an update leaves a value alone: true is not 1, though Python compares them so."""
    if old is _NEW or old != value:
        return False
    return json.dumps(old, sort_keys=True) == json.dumps(value, sort_keys=True)


def _old_member(old: Any, name: str) -> Any:
    return cast("dict[str, Any]", old).get(name, _NEW) if isinstance(old, dict) else _NEW


def _old_items(items: list[Any], old: Any, schema: Schema) -> list[Any]:
    """What each item was: known by its keys in a list that is a map, and nowhere else."""
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if schema.get("x-kubernetes-list-type") != "map" or not isinstance(old, list):
        return [_NEW] * len(items)
    before = {_key_of(item, keys): item for item in cast("list[Any]", old)}
    return [before.get(_key_of(item, keys), _NEW) for item in items]


def _key_of(item: Any, keys: Iterable[str]) -> str:
    members = cast("dict[str, Any]", item) if isinstance(item, dict) else {}
    return json.dumps([members.get(key) for key in keys], sort_keys=True)


_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"), (str, "string"), (dict, "object"), (list, "array"), (int, "integer"),
    (float, "number"),
)  # fmt: skip


def _type_of(value: Any) -> str:
    return next((name for kind, name in _NAMES if isinstance(value, kind)), "null")


def _fits(value: Any, schema: Schema) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        return isinstance(value, int | str) and not isinstance(value, bool)
    wanted, found = schema.get("type"), _type_of(value)
    if not wanted or wanted == found:
        return True
    if found == "integer":
        return wanted == "number"
    return found == "number" and wanted == "integer" and float(value).is_integer()


def _check(value: Any, schema: Schema, path: str, old: Any = _NEW) -> Iterator[Cause]:
    if (value is None and schema.get("nullable")) or _is_as_it_was(value, old):
        return
    if not _fits(value, schema):
        wanted, found = schema.get("type") or "integer,string", _type_of(value)
        yield Cause(
            "FieldValueTypeInvalid",
            path or "<nil>",
            f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"',
        )
        return
    allowed = schema.get("enum")
    if allowed and value not in allowed:
        words = [text if isinstance(text, str) else json.dumps(text) for text in allowed]
        yield not_supported(path, value, words)
    if isinstance(value, str):
        yield from _check_text(value, schema, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _check_number(value, schema, path)
    elif isinstance(value, list):
        yield from _check_items(cast("list[Any]", value), schema, path, old)
    elif isinstance(value, dict):
        yield from _check_members(cast("dict[str, Any]", value), schema, path, old)
    yield from _check_choices(value, schema, path)


def _broken(path: str, value: Any, text: str) -> Cause:
    return invalid(path, value, f"{path} in body {text}")


_FORMATS = {
    "date-time": re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)"),
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "uuid": re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}"),
    "byte": re.compile(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"),
    "ipv4": re.compile(r"(\d{1,3}\.){3}\d{1,3}"),
    "email": re.compile(r"[^@\s]+@[^@\s]+"),
}


@lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _check_text(value: str, schema: Schema, path: str) -> Iterator[Cause]:
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if longest is not None and len(value) > longest:
        yield Cause("FieldValueTooLong", path, f"Too long: may not be more than {longest} bytes")
    if shortest is not None and len(value) < shortest:
        yield _broken(path, value, f"should be at least {shortest} chars long")
    pattern = schema.get("pattern")
    if pattern and not _pattern(pattern).search(value):
        yield _broken(path, value, f"should match '{pattern}'")
    wanted = _FORMATS.get(schema.get("format", ""))
    if wanted is not None and not wanted.fullmatch(value):
        yield _broken(path, value, f'must be of type {schema["format"]}: "{value}"')


def _check_number(value: int | float, schema: Schema, path: str) -> Iterator[Cause]:
    most, least = schema.get("maximum"), schema.get("minimum")
    if most is not None and (value >= most if schema.get("exclusiveMaximum") else value > most):
        equal = "" if schema.get("exclusiveMaximum") else " or equal to"
        yield _broken(path, value, f"should be less than{equal} {_number(most)}")
    if least is not None and (value <= least if schema.get("exclusiveMinimum") else value < least):
        equal = "" if schema.get("exclusiveMinimum") else " or equal to"
        yield _broken(path, value, f"should be greater than{equal} {_number(least)}")
    factor = schema.get("multipleOf")
    if factor and value % factor:
        yield _broken(path, value, f"should be a multiple of {_number(factor)}")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _too_many(path: str, count: int, most: int) -> Cause:
    return Cause("FieldValueTooMany", path, f"Too many: {count}: must have at most {most} items")


def _check_items(items: list[Any], schema: Schema, path: str, old: Any) -> Iterator[Cause]:
    most, least = schema.get("maxItems"), schema.get("minItems")
    if most is not None and len(items) > most:
        yield _too_many(path, len(items), most)
    if least is not None and len(items) < least:
        yield _broken(path, len(items), f"should have at least {least} items")
    for position, (item, was) in enumerate(zip(items, _old_items(items, old, schema), strict=True)):
        yield from _check(item, _items(schema), f"{path}[{position}]", was)
    kind = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    seen: set[str] = set()
    for position, item in enumerate(items if kind in {"set", "map"} else ()):
        identity = item if kind == "set" else {key: item.get(key) for key in keys}
        text = json.dumps(identity, sort_keys=True)
        if text in seen:
            shown = json.dumps(identity, separators=(",", ":"))
            yield Cause("FieldValueDuplicate", f"{path}[{position}]", f"Duplicate value: {shown}")
        seen.add(text)


def _check_members(members: dict[str, Any], schema: Schema, path: str, old: Any) -> Iterator[Cause]:
    most, least = schema.get("maxProperties"), schema.get("minProperties")
    if most is not None and len(members) > most:
        yield _too_many(path, len(members), most)
    if least is not None and len(members) < least:
        yield _broken(path, len(members), f"should have at least {least} properties")
    for name in schema.get("required") or ():
        if name not in members:
            yield required(_joined(path, name))
    for name, value in members.items():
        inner = _inner(schema, name)
        if inner is not None:
            yield from _check(value, inner, _joined(path, name), _old_member(old, name))


def _check_choices(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    def holds(part: Schema) -> bool:
        return next(_check(value, part, path), None) is None

    for part in schema.get("allOf") or ():
        yield from _check(value, part, path)
    any_of, one_of = schema.get("anyOf"), schema.get("oneOf")
    if any_of and not any(holds(part) for part in any_of):
        yield invalid(path, "", f'"{path}" must validate at least one schema (anyOf)')
    if one_of:
        held = sum(holds(part) for part in one_of)
        if held != 1:
            found = f"Found {held} valid alternatives" if held else "Found none valid"
            yield invalid(
                path, "", f'"{path}" must validate one and only one schema (oneOf). {found}'
            )
    if schema.get("not") and holds(schema["not"]):
        yield invalid(path, "", f'"{path}" must not validate the schema (not)')


_OLD_SELF = re.compile(r"(?<![.\w])oldSelf\b")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')


def _speaks_of_old(text: str) -> bool:
    return _OLD_SELF.search(_QUOTED.sub("", text)) is not None


def _with_optional_old(text: str, *, is_there: bool) -> str:
    """A rule whose ``oldSelf`` may be absent, in terms of what is there."""
    wanted = "optional.of(oldSelf)" if is_there else "optional.none()"
    parts = re.split(f"({_QUOTED.pattern})", text)
    return "".join(p if n % 2 else _OLD_SELF.sub(wanted, p) for n, p in enumerate(parts))


def _check_expressions(
    value: Any, old: Any, schema: Schema, path: str, *, is_settled: bool = False
) -> Iterator[Cause]:
    """Rules in CEL, from the outside in. One that speaks of oldSelf needs an old value, or says
    that it can do without; any other passes over what is settled: as it was, or part of it.
    """
    if value is None:
        return
    is_settled = is_settled or _is_as_it_was(value, old)
    for rule in children(schema, "x-kubernetes-validations"):
        yield from _check_rule(rule, value, old, schema, path, is_settled=is_settled)
    if isinstance(value, list):
        items = cast("list[Any]", value)
        for position, was in enumerate(_old_items(items, old, schema)):
            here, item = f"{path}[{position}]", items[position]
            yield from _check_expressions(item, was, _items(schema), here, is_settled=is_settled)
    elif isinstance(value, dict):
        known = _properties(schema)
        for name, found in cast("dict[str, Any]", value).items():
            inner, was = _inner(schema, name), _old_member(old, name)
            here = _joined(path, name) if name in known else f"{path}[{name}]"
            if inner is not None:
                yield from _check_expressions(found, was, inner, here, is_settled=is_settled)


def _check_rule(
    rule: Mapping[str, Any], value: Any, old: Any, schema: Schema, path: str, *, is_settled: bool
) -> Iterator[Cause]:
    text, is_optional = str(rule.get("rule", "")), bool(rule.get("optionalOldSelf"))
    looks_back = _speaks_of_old(text)
    if looks_back and old is _NEW and not is_optional:
        return
    values = {"self": value} if old is _NEW else {"self": value, "oldSelf": old}
    plain = _with_optional_old(text, is_there=old is not _NEW) if is_optional else text
    kind, where = schema.get("type", ""), path or "<nil>"
    told = str(rule.get("message") or "").strip()
    try:
        if cel.evaluate(plain, values) is True:
            return
    except cel.CelError as error:
        words = "{} evaluating rule: {}"
        if str(error) in _ERRORS_OF_RULES:
            words = f"'{{}}': {_ERRORS_OF_RULES[str(error)]} for rule: {{}}"
        yield invalid(where, kind, words.format(error, told or text.strip()))
        return
    if is_settled and not looks_back:
        return
    where = path + str(rule.get("fieldPath") or "") or where
    words = _rule_message(rule, values) or told or f"failed rule: {text.strip()}"
    reason = rule.get("reason") or "FieldValueInvalid"
    if reason in _REFUSALS:
        yield _REFUSALS[reason](where, words)
    elif reason == "FieldValueDuplicate":
        yield duplicate(where, value)
    elif kind in {"object", "array"}:
        yield Cause("FieldValueInvalid", where, f"Invalid value: {words}")
    else:
        yield invalid(where, value, words)


_ERRORS_OF_RULES = {
    "no such overload": "call arguments did not match a supported operator, function or macro"
    " signature",
    cel.COST_EXCEEDED: "no further validation rules will be run due to call cost exceeds limit",
}
_REFUSALS: Mapping[str, Callable[[str, str], Cause]] = {
    "FieldValueForbidden": forbidden,
    "FieldValueRequired": required,
}


def _rule_message(rule: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """What a rule's messageExpression says; nothing if it fails."""
    expression = str(rule.get("messageExpression") or "")
    try:
        found = cel.evaluate(expression, values) if expression else ""
    except cel.CelError:
        return ""
    return found.strip() if isinstance(found, str) else ""


# Merging


def compiled(schema: Schema, *, root: bool = False) -> Shape:
    """The shape that apply and ownership work by."""
    if schema.get("x-kubernetes-int-or-string"):
        return Shape("int-or-string")
    kind = schema.get("type", "")
    if kind == "array":
        item = compiled(_items(schema))
        return Shape(
            "array",
            item=item,
            list_type=schema.get("x-kubernetes-list-type") or "atomic",
            map_keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()),
            key_defaults={
                key: inner["default"]
                for key, inner in _properties(_items(schema)).items()
                if key in (schema.get("x-kubernetes-list-map-keys") or ()) and "default" in inner
            },
        )
    if kind == "object" or root:
        atomic = schema.get("x-kubernetes-map-type") == "atomic"
        more: Any = schema.get("additionalProperties")
        if more and not _properties(schema):
            inner = compiled(cast("Schema", more)) if isinstance(more, dict) else Shape("any")
            return Shape("map", item=inner, atomic=atomic)
        members = {name: compiled(inner) for name, inner in _properties(schema).items()}
        if root or schema.get(_EMBEDDED):
            members.update(apiVersion=Shape("string"), kind=Shape("string"))
            members["metadata"] = shape(OBJECT_META)
        return Shape("object", members=members, atomic=atomic)
    return Shape(kind or "any")
